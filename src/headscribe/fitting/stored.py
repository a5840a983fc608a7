"""Formulas and patterns that a user keeps in files, and those of a fit."""

import json
from pathlib import Path

import numpy as np

from headscribe.core.errors import RunError, UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, are_formulas
from headscribe.patterns.contract import Pattern
from headscribe.results.run import Run
from headscribe.scoring.profile import CELL_CLASSES


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected a file of text ({error})") from error


def patterns_of_file(path: str | Path, *, trust: bool = False) -> tuple[Pattern, ...]:
    """The patterns of a file of formulas, of relations, or of Python that is trusted.

    Raises:
        UsageError: what is wrong with the file; says where.
    """
    from headscribe.patterns.files import load_patterns

    file = Path(path)
    if file.is_file() and holds_formulas(file):
        return Formula.parse_all(_text_of(file))
    return load_patterns(file, trust=trust)


def stored_formulas(folder: str | Path) -> dict[HeadId, Formula]:
    """The formulas of a fit, by head, best explained first (IoU on texts that chose nothing).

    Args:
        folder: the run of a fit; or a file of formulas, named by their heads, in the order in which
            heads are to be replaced (`formulas.txt` of a run, edited perhaps).

    Raises:
        UsageError: neither; or a formula that is not named after a head.
        RunError: a formula in the run is damaged.
    """
    if Path(folder).is_file():
        return {
            HeadId.parse(formula.name): formula
            for formula in Formula.parse_all(_text_of(Path(folder)))
        }
    run = fit_run(folder)
    rows = run.table("formulas").to_pylist()
    rows.sort(key=lambda row: -(row["formula_raw_iou_mean"] or 0.0))
    try:
        return {
            HeadId(row["layer"], row["head"]): Formula.from_json(json.loads(row["formula"]))
            for row in rows
        }
    except json.JSONDecodeError as error:
        raise RunError(f"{folder}: a stored formula is damaged ({error})") from error


def stored_profiles(folder: str | Path) -> dict[HeadId, np.ndarray] | None:
    """The profile of every head of a fit; None in a file of formulas, or a run without any."""
    if Path(folder).is_file() or "profiles" not in fit_run(folder).manifest["tables"]:
        return None
    rows = fit_run(folder).table("profiles").to_pylist()
    found = {HeadId(row["layer"], row["head"]): np.array(row["mean"]) for row in rows}
    # A profile of other classes of cells, by an older version, is of no use here.
    fits = all(len(one) == CELL_CLASSES for one in found.values())
    return found if fits else None


def stored_texts(folder: str | Path) -> int:
    """How many texts the formulas of a fit were fitted on.

    Raises:
        UsageError: the folder holds no fit.
    """
    return int(fit_run(folder).manifest["corpus"]["texts"])


def fit_run(folder: str | Path) -> Run:
    """The run of a fit.

    Raises:
        UsageError: the folder holds none, or a run of another kind.
    """
    run = Run.open(folder)
    if run.manifest["kind"] != "fit":
        raise UsageError(f"expected the run of a fit in {folder}, got a {run.manifest['kind']}")
    return run


def holds_formulas(path: Path) -> bool:
    """Whether a file holds formulas, as `formulas.txt` of a fit's run does."""
    return path.suffix != ".py" and are_formulas(_text_of(path))
