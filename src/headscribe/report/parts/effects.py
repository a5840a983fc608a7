"""What heads write."""

from headscribe.report.parts.explanation import summary
from headscribe.report.schema import Part, of_table

_EFFECTS = ("head", "token", "value", "expected", "effect", "low", "high", "rows", "named")
_PROMOTED = ("head", "reads", "rows", "promotes", "promoted_by", "demotes", "demoted_by")
_MATTERS = ("head", "by", "change", "low", "high", "loss", "tokens", "flagged")
_SUFFERS = ("head", "by", "token", "change", "low", "high", "tokens")
_READS = (
    "head", "behaviour", "input", "from_head", "own", "change", "low", "high", "texts", "flagged",
)  # fmt: skip

PARTS: dict[str, Part] = {
    "summary": summary,
    "effects": of_table("effects", _EFFECTS),
    "promoted": of_table("promoted", _PROMOTED, optional=True),
    "matters": of_table("matters", _MATTERS, optional=True),
    "suffers": of_table("suffers", _SUFFERS, optional=True),
    "reads": of_table("reads_from", _READS, optional=True),
}
