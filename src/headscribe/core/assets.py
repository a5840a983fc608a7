"""What comes with Headscribe: models, an annotator, texts; whole and unaltered, or an error.

`assets/manifest.json` holds a hash of every file. `python -m headscribe.core.assets` writes it anew
after an asset was made anew.
"""

import json
from functools import cache
from hashlib import blake2b
from pathlib import Path

from headscribe.core.errors import RunError

ASSETS = Path(__file__).parents[1] / "assets"
MANIFEST = "manifest.json"
REMEDY = "install headscribe again (pip install --force-reinstall headscribe)"


@cache
def asset(name: str, root: Path = ASSETS) -> Path:
    """The folder of an asset, its files checked against the manifest; once a process.

    Args:
        name: `stories`, `en` or `samples`.

    Raises:
        RunError: a file is missing or damaged; names it and the remedy.
    """
    manifest = root / MANIFEST
    try:
        expected: dict[str, str] = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise RunError(f"{manifest} is missing or damaged: {REMEDY}") from error
    files = {file: digest for file, digest in expected.items() if file.startswith(f"{name}/")}
    if not files:
        raise RunError(f"{manifest} knows no asset {name}: {REMEDY}")
    for file, digest in files.items():
        try:
            found = digest_of(root / file)
        except OSError as error:
            raise RunError(f"the bundled file {root / file} is missing: {REMEDY}") from error
        if found != digest:
            raise RunError(f"the bundled file {root / file} is damaged: {REMEDY}")
    return root / name


def digest_of(path: Path) -> str:
    """32 hexadecimal digits of hash over a file."""
    return blake2b(path.read_bytes(), digest_size=16).hexdigest()


def manifest_of(root: Path = ASSETS) -> str:
    """The manifest of the files that lie there now, as it is stored."""
    files = {
        path.relative_to(root).as_posix(): digest_of(path)
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    return json.dumps(files, indent=1) + "\n"


if __name__ == "__main__":
    (ASSETS / MANIFEST).write_text(manifest_of(), encoding="utf-8")
