"""What probes showed of every head."""

from headscribe.report.parts.explanation import summary
from headscribe.report.schema import Part, of_table

_PROBES = (
    "probe", "head", "unit", "value", "control", "difference", "low", "high", "pairs", "flagged",
)  # fmt: skip

PARTS: dict[str, Part] = {
    "summary": summary,
    "asks": lambda run: run.manifest.get("asks"),
    "probes": of_table("probes", _PROBES),
}
