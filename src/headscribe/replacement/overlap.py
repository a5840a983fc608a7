"""What speaks against a measurement beforehand: texts that were fitted on, another model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headscribe.models.model import Model
from headscribe.results.run import Run
from headscribe.text.hashes import TEXTS, text_hash
from headscribe.text.passages import Passage


def origin(programs: Any) -> Run | None:  # noqa: ANN401
    """The run that programs come from: given as its folder, or as a file in it."""
    if not isinstance(programs, str | Path):
        return None
    path = Path(programs)
    folder = path.parent if path.is_file() else path
    return Run.open(folder) if (folder / "run.json").is_file() else None


def warnings(
    model: Model, source: Run | None, measured: Sequence[Passage], fit: Sequence[Passage]
) -> list[str]:
    """What has to be said above every figure.

    Args:
        model: the model that the programs are put into.
        source: the run that they come from.
        fit: the texts that controls are estimated on, and weights tuned.
    """
    said = []
    if source is not None:
        facts = source.manifest.get("model") or {}
        fitted = facts.get("fingerprint")
        if fitted is not None and fitted != model.fingerprint:
            name = facts.get("name", "another model")
            said.append(
                f"the programs were fitted on another model ({name}, fingerprint {fitted}; this "
                f"is {model.name}, {model.fingerprint}): what they do here says nothing of how "
                "well they describe that one"
            )
        said += _fitted_on(source, measured)
    shared = _shared({text_hash(passage.text) for passage in fit}, measured)
    if shared:
        said.append(
            f"{shared} of the {len(measured)} texts measured on are among the --fit-text: controls "
            "(and what is tuned or fitted on these) look better than on unseen text"
        )
    return said


def _fitted_on(source: Run, measured: Sequence[Passage]) -> list[str]:
    if TEXTS not in source.manifest["tables"]:
        return [
            f"the run {source.folder} does not say which texts its programs were fitted on (an "
            "older version made it), so that nobody can tell whether they are measured on these"
        ]
    shared = _shared(set(source.table(TEXTS).column("hash").to_pylist()), measured)
    if not shared:
        return []
    return [
        f"{shared} of the {len(measured)} texts measured on are among those that the programs "
        "were fitted on: they look better than on unseen text"
    ]


def _shared(hashes: set[str], measured: Sequence[Passage]) -> int:
    return sum(text_hash(passage.text) in hashes for passage in measured)
