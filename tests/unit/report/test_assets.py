"""The committed script and style sheet are those that `web/` builds."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from headscribe.report.page import asset

WEB = Path(__file__).parents[3] / "web"
BUILT = ("report.js", "report.css", "explore.js", "explore.css")


def sources() -> str:
    """The hash of the sources, as `build.mjs` computes it."""
    names = ["build.mjs", "package-lock.json"]
    names += [f"src/{path.name}" for path in sorted((WEB / "src").iterdir())]
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\n".encode())
        digest.update((WEB / name).read_bytes())
    return digest.hexdigest()


@pytest.mark.parametrize("name", BUILT)
def test_the_assets_say_that_they_were_built_from_these_sources(name):
    found = re.search(r"built from web/, sources ([0-9a-f]{64})", asset(name)[:200])
    assert found is not None
    assert found[1] == sources(), "web/ was changed: make assets"


def test_a_new_build_gives_the_same_assets(tmp_path):
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("needs node and npm; the hash of the sources was compared instead")
    copy = tmp_path / "web"
    shutil.copytree(WEB, copy, ignore=shutil.ignore_patterns("node_modules"))
    fetched = subprocess.run(
        ["npm", "ci", "--no-audit", "--no-fund"], cwd=copy, capture_output=True, text=True
    )
    if fetched.returncode:
        last = (fetched.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"npm ci cannot fetch what web/ builds with ({last}); hashes were compared")
    subprocess.run(["node", "build.mjs", str(tmp_path)], cwd=copy, capture_output=True, check=True)
    for name in BUILT:
        assert (tmp_path / name).read_text(encoding="utf-8") == asset(name)


def test_the_lock_file_names_no_registry():
    assert "resolved" not in (WEB / "package-lock.json").read_text(encoding="utf-8")
