"""What heads write."""

from headscribe.report.parts.explanation import summary
from headscribe.report.schema import Part, of_table

_EFFECTS = ("head", "token", "value", "expected", "effect", "low", "high", "rows", "named")
_PROMOTED = ("head", "reads", "rows", "promotes", "promoted_by", "demotes", "demoted_by")

PARTS: dict[str, Part] = {
    "summary": summary,
    "effects": of_table("effects", _EFFECTS),
    "promoted": of_table("promoted", _PROMOTED, optional=True),
}
