"""A replacement: curves with intervals, single heads, and texts by the altered model."""

from typing import Any

from headscribe.core.errors import RunError
from headscribe.report.parts.tables import rows
from headscribe.results.run import Run

MAX_TEXTS = 40

_COLUMNS = (
    "program", "order", "tuned", "fraction", "heads", "head", "seed", "metric", "unaltered",
    "value", "increase", "low", "high",
)  # fmt: skip


def curve(run: Run) -> dict[str, Any]:
    """The curve as `replace --json` prints it: random orders averaged.

    Raises:
        RunError: the run has not come so far.
    """
    found = run.manifest.get("replacement")
    if not isinstance(found, dict) or not isinstance(found.get("curve"), list):
        raise RunError("the replacement has no curve yet: go on with it by --resume")
    return found


def single(run: Run) -> list[list[Any]]:
    """What replacing each head alone costs in the run's first metric: head, program, numbers."""
    found = rows(run, "replacement", _COLUMNS)
    metric = (run.manifest.get("replacement") or {}).get("metric")
    return [
        [row["head"], row["program"], row["increase"], row["low"], row["high"]]
        for row in found
        if row["order"] == "alone" and row["metric"] == metric
    ]


def continuations(run: Run) -> list[dict[str, Any]] | None:
    """Texts that the altered model wrote, beside the original's; None where none was asked for."""
    found = run.manifest.get("continuations")
    return found[:MAX_TEXTS] if isinstance(found, list) else None


def agreement(run: Run) -> list[dict[str, Any]] | None:
    """Mean IoU of each program with the untouched heads; None where it was not measured."""
    found = run.manifest.get("agreement")
    return found if isinstance(found, list) else None


PARTS = {
    "curve": curve,
    "single": single,
    "continuations": continuations,
    "agreement": agreement,
}
