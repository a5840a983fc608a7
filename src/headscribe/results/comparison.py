"""Two runs of one kind side by side: what changed, the largest changes first."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from headscribe.core.errors import RunError, UsageError
from headscribe.core.metrics import metric as metric_named
from headscribe.results.names import Names
from headscribe.results.queries import top
from headscribe.results.run import Run


@dataclass(frozen=True)
class Change:
    """One quantity in both runs.

    Attributes:
        what: what was measured, such as `previous_token` or `formula`.
        where: on which head, or at which share of heads, in the first run.
        there: the same in the second run.
        first: its value in the first run, with `first_low` and `first_high`, its 95 % interval.
        second: its value in the second run, likewise.
        change: `second - first`.
        apart: whether the intervals do not overlap; None where there is none.
    """

    what: str
    where: str
    there: str
    first: float
    first_low: float | None
    first_high: float | None
    second: float
    second_low: float | None
    second_high: float | None
    change: float
    apart: bool | None

    @classmethod
    def of(cls, what: str, where: str, there: str, first: "Value", second: "Value") -> "Change":
        """Two values, each with its interval."""
        apart = None
        if None not in (*first, *second):
            apart = bool(first[1] > second[2] or second[1] > first[2])  # type: ignore[operator]
        return cls(what, where, there, *first, *second, second[0] - first[0], apart)


Value = tuple[float, float | None, float | None]


@dataclass(frozen=True)
class Comparison:
    """What two runs say of the same things.

    Attributes:
        kind: the kind of both runs.
        measure: what the values are.
        by: `head` where the same heads were compared, `pattern` where models of different shapes
            were, each pattern by its best head.
        higher_is_better: of the values.
        changes: the largest first.
    """

    kind: str
    measure: str
    by: str
    higher_is_better: bool
    changes: tuple[Change, ...]


def compare(
    first: Run, second: Run, *, metric: str = "jsd", view: str = "raw", split: str = "all"
) -> Comparison:
    """Compare two surveys (scores), fits (IoU of the formulas) or replacements (the curve).

    Args:
        metric: of surveys, as in `top`; `view` and `split` likewise.

    Raises:
        UsageError: runs of different kinds, or of a kind without numbers to compare, or without
            anything in common.
        RunError: a table is damaged.
    """
    kinds = first.manifest.get("kind"), second.manifest.get("kind")
    known: dict[Any, Callable[[], Comparison]] = {
        "survey": lambda: _surveys(first, second, metric, view, split),
        "fit": lambda: _fits(first, second),
        "replacement": lambda: _replacements(first, second),
    }
    if kinds[0] != kinds[1] or kinds[0] not in known:
        raise UsageError(
            f"expected two runs of one kind ({', '.join(known)}), got {first.folder} "
            f"({kinds[0]}) and {second.folder} ({kinds[1]})"
        )
    comparison = known[kinds[0]]()
    if not comparison.changes:
        raise UsageError(f"{first.folder} and {second.folder} have nothing in common to compare")
    return comparison


def _surveys(first: Run, second: Run, metric: str, view: str, split: str) -> Comparison:
    better = metric_named(metric).higher_is_better
    same = _shape(first) == _shape(second)
    values = [
        {
            (score.pattern, score.head if same else ""): (score.head, score)
            for score in top(run, metric=metric, view=view, split=split, k=10**6 if same else 1)
        }
        for run in (first, second)
    ]
    changes = (
        Change.of(
            key[0], head, values[1][key][0], (score.score, score.low, score.high),
            (values[1][key][1].score, values[1][key][1].low, values[1][key][1].high),
        )
        for key, (head, score) in values[0].items()
        if key in values[1]
    )  # fmt: skip
    measure = f"{metric}, view {view}, split {split}"
    return Comparison("survey", measure, "head" if same else "pattern", better, _sorted(changes))


def _fits(first: Run, second: Run) -> Comparison:
    parts = [f"formula_raw_iou_{end}" for end in ("mean", "low", "high")]
    values = [
        {f"{row['layer']}.{row['head']}": tuple(row[part] for part in parts) for row in rows}
        for rows in (_rows(run, "formulas", ("layer", "head", *parts)) for run in (first, second))
    ]
    changes = (
        Change.of("formula", head, head, value, values[1][head])
        for head, value in values[0].items()
        if head in values[1] and None not in (value[0], values[1][head][0])
    )
    return Comparison("fit", "IoU on unseen texts", "head", True, _sorted(changes))


def _replacements(first: Run, second: Run) -> Comparison:
    documents = [run.manifest.get("replacement") for run in (first, second)]
    for run, document in zip((first, second), documents, strict=True):
        if not isinstance(document, dict):
            raise UsageError(f"{run.folder} is unfinished: go on with --resume")
    metrics = [str(document["metric"]) for document in documents if document]
    if metrics[0] != metrics[1]:
        raise UsageError(f"expected one metric in both runs, got {metrics[0]} and {metrics[1]}")
    values = [
        {_point(p): (p["increase"], p["low"], p["high"]) for p in document["curve"]}
        for document in documents
        if document
    ]
    changes = (
        Change.of(*point, point[1], value, values[1][point])
        for point, value in values[0].items()
        if point in values[1]
    )
    measure = f"change of {metrics[0]} by replacement"
    return Comparison("replacement", measure, "share", metrics[0] == "cosine", _sorted(changes))


def _point(point: dict[str, Any]) -> tuple[str, str]:
    name = f"{point['program']}{' tuned' if point['tuned'] else ''}, {point['order']}"
    return name, f"{point['fraction']:g}"


def _sorted(changes: Iterable[Change]) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda one: -abs(one.change)))


def _shape(run: Run) -> tuple[Any, Any]:
    model = run.manifest.get("model") or {}
    return model.get("layers"), model.get("heads")


def _rows(run: Run, name: str, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    table = run.table(name)
    lacking = [column for column in columns if column not in table.column_names]
    if lacking:
        raise RunError(f"{run.folder}: {name} lacks {', '.join(lacking)}; make the run anew")
    rows: list[dict[str, Any]] = table.select(list(columns)).to_pylist()
    return rows


def as_json(found: Comparison | None, names: Names | None, first: Run, second: Run) -> str:
    """The shape of `diff --json`; without `found` the names alone are compared."""
    document: dict[str, Any] = {
        "kind": first.kind if found is None else found.kind,
        "runs": [str(first.folder), str(second.folder)],
    }  # fmt: skip
    if found is not None:
        document |= asdict(found)
    if names is not None:
        document["names"] = names.to_json()
    return json.dumps(document, ensure_ascii=False)
