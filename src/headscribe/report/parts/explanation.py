"""The answer: what every head does, as cards."""

from headscribe.core.errors import RunError
from headscribe.report.schema import Part, of_table
from headscribe.results.run import Run

_BEHAVIOURS = (
    "head", "behaviour", "family", "rows", "listed",
    "confirmed_share", "confirmed_excess", "confirmed_low", "confirmed_high",
)  # fmt: skip


def summary(run: Run) -> str:
    """The model in one paragraph.

    Raises:
        RunError: the run has not come so far.
    """
    found = run.manifest.get("summary")
    if not isinstance(found, str):
        raise RunError("the run has no answer yet: go on with it by --resume")
    return found


PARTS: dict[str, Part] = {
    "summary": summary,
    "cards": of_table("cards", ("head", "name", "sentence", "family", "sink_share")),
    "budget": of_table("budget", ("head", "part", "share")),
    "behaviours": of_table("behaviours", _BEHAVIOURS, optional=True),
}
