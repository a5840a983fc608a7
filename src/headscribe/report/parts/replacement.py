"""A replacement: curves with intervals, single heads, and texts by the altered model."""

from headscribe.core.errors import RunError
from headscribe.report.schema import Facts, Table, rows, tabled
from headscribe.results.run import Run

MAX_TEXTS = 40


def curve(run: Run) -> Facts:
    """The curve as `replace --json` prints it: random orders averaged.

    Raises:
        RunError: the run has not come so far.
    """
    found = run.manifest.get("replacement")
    if not isinstance(found, dict) or not isinstance(found.get("curve"), list):
        raise RunError("the replacement has no curve yet: go on with it by --resume")
    return found


def findings(run: Run) -> Facts | None:
    """What the replacement says in words; None in runs of versions that said nothing."""
    found = run.manifest.get("findings")
    return found if isinstance(found, dict) else None


def single(run: Run) -> Table:
    """What replacing each head alone costs in the run's first metric."""
    columns = ("head", "program", "increase", "low", "high")
    metric = (run.manifest.get("replacement") or {}).get("metric")
    found = rows(run, "replacement", (*columns, "order", "metric"))
    return tabled(
        columns, (row for row in found if row["order"] == "alone" and row["metric"] == metric)
    )


def continuations(run: Run) -> list[Facts] | None:
    """Texts that the altered model wrote, beside the original's; None where none was asked for."""
    return _listed(run, "continuations")


def agreement(run: Run) -> list[Facts] | None:
    """Mean IoU of each program with the untouched heads; None where it was not measured."""
    return _listed(run, "agreement")


def _listed(run: Run, name: str) -> list[Facts] | None:
    found = run.manifest.get(name)
    if not isinstance(found, list):
        return None
    return [one for one in found[:MAX_TEXTS] if isinstance(one, dict)]


PARTS = {
    "curve": curve,
    "findings": findings,
    "single": single,
    "continuations": continuations,
    "agreement": agreement,
}
