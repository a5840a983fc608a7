"""The relation accuracy report: for every dependency relation the head that follows it."""

from dataclasses import asdict, dataclass

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.results.run import Run

FEW = 30
"""Fewer instances than this on a half say so."""


@dataclass(frozen=True)
class HalfAccuracy:
    """One relation, direction and half; head and offset were chosen on the other half.

    Attributes:
        accuracy: share of instances whose strongest content key is the right word.
        offset_accuracy: the same for the best fixed offset in -5..5 words.
        gain: their difference on the same instances.
        few: fewer than 30 instances: read with care.
    """

    relation: str
    direction: str
    half: int
    head: str
    accuracy: float
    accuracy_low: float | None
    accuracy_high: float | None
    offset: int
    offset_accuracy: float
    gain: float
    gain_low: float | None
    gain_high: float | None
    instances: int
    few: bool

    def as_dict(self) -> dict[str, object]:
        """The fields by name."""
        return asdict(self)


def relation_accuracy(run: Run) -> list[HalfAccuracy]:
    """The report of a survey, most frequent relations first, both halves together.

    Raises:
        UsageError: the survey had no parsed words, so that there is no such table.
    """
    if run.complete and "relations" not in run.manifest["tables"]:
        raise UsageError(
            f"{run.folder} has no dependency relations: its texts hold none, were not parsed, or "
            "are of one group, so that no other half is left to choose heads on; --annotator "
            "bundled:en or texts with gold trees (.conllu) of several documents give them"
        )
    rows = run.table("relations").to_pylist()
    total: dict[tuple[str, str], int] = {}
    for row in rows:
        key = row["relation"], row["direction"]
        total[key] = total.get(key, 0) + row["instances"]
    rows.sort(
        key=lambda row: (-total[row["relation"], row["direction"]], row["relation"],
                         row["direction"], row["half"])
    )  # fmt: skip
    for row in rows:  # a t interval may go beyond what a difference of two shares can be
        for end in ("gain_low", "gain_high"):
            row[end] = None if row[end] is None else min(max(row[end], -1.0), 1.0)
    names = [name for name in HalfAccuracy.__dataclass_fields__ if name not in ("head", "few")]
    return [
        HalfAccuracy(
            **{name: row[name] for name in names},
            head=str(HeadId(row["layer"], row["head"])),
            few=row["instances"] < FEW,
        )
        for row in rows
    ]
