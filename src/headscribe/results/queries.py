"""Questions to a run's tables, answered by DuckDB without loading them whole."""

from dataclasses import asdict, dataclass

import duckdb

from headscribe.core.errors import RunError, unknown_name
from headscribe.core.heads import HeadId
from headscribe.core.metrics import metric as metric_named
from headscribe.results.run import Run

MIN_COVERAGE = 0.05
"""Patterns that speak about fewer rows than this share are left out unless asked for."""


@dataclass(frozen=True)
class Score:
    """One head's score under one pattern; the shape of `top --json`.

    Attributes:
        score: mean over texts; `low`, `high`: its 95 % interval, None where it has none.
        coverage: share of all rows that the pattern speaks about.
        baseline: what the gain is over, None where there is no gain to give.
        gain_low, gain_high: the 95 % interval of the gain, None where it has none.
    """

    pattern: str
    metric: str
    view: str
    split: str
    head: str
    score: float
    low: float | None
    high: float | None
    coverage: float
    texts: int
    baseline: str | None
    gain: float | None
    gain_low: float | None = None
    gain_high: float | None = None

    @property
    def better(self) -> bool:
        """Whether the whole interval of the gain lies above 0."""
        return self.gain_low is not None and self.gain_low > 0

    @property
    def worth(self) -> float:
        """Gain spread over all rows, `gain x coverage`; 0 where it is not `better`."""
        return (self.gain or 0.0) * self.coverage if self.better else 0.0

    @property
    def head_id(self) -> HeadId:
        """The head as a value."""
        return HeadId.parse(self.head)

    def as_dict(self) -> dict[str, object]:
        """The fields by name."""
        return asdict(self)


def top(
    run: Run,
    pattern: str | None = None,
    *,
    metric: str = "jsd",
    view: str = "raw",
    split: str = "all",
    k: int = 3,
    min_coverage: float = MIN_COVERAGE,
) -> list[Score]:
    """The `k` best heads of each pattern, best first.

    Args:
        run: a survey.
        pattern: only this one; None: all of the run, in its order.
        metric: what to rank by; `view` and `split` likewise.
        k: heads a pattern.
        min_coverage: leave out patterns that cover a smaller share of the rows.

    Raises:
        UsageError: no such pattern, metric, view or split in the run, or no scores.
    """
    better = metric_named(metric)
    names = pattern_names(run)
    if pattern is not None and pattern not in names:
        raise unknown_name("pattern of this run", pattern, names)
    for what, value, known in (
        ("view", view, ["raw", "content"]),
        ("split", split, ["all", "fit", "select", "test"]),
    ):
        if value not in known:
            raise unknown_name(what, value, known)
    order = "DESC" if better.higher_is_better else "ASC"
    rows = _ask(
        f"""
        SELECT pattern, metric, view, split, layer || '.' || head AS head, score, low, high,
               coverage, texts, baseline, gain, gain_low, gain_high
        FROM read_parquet($file)
        WHERE metric = $metric AND view = $view AND split = $split AND score IS NOT NULL
          AND coverage >= $coverage AND ($pattern IS NULL OR pattern = $pattern)
        QUALIFY row_number() OVER (
            PARTITION BY pattern ORDER BY score {order}, layer, "head") <= $k
        """,
        {
            "file": str(run.path_of("scores")),
            "metric": metric,
            "view": view,
            "split": split,
            "coverage": min_coverage,
            "pattern": pattern,
            "k": k,
        },
    )
    place = {name: i for i, name in enumerate(names)}
    return sorted(
        rows,
        key=lambda s: (place[s.pattern], -better.sign * s.score, s.head_id),
    )


def best_patterns(
    run: Run, *, metric: str = "jsd", view: str = "raw", split: str = "all",
    min_coverage: float = 0.9,
) -> list[Score]:  # fmt: skip
    """For every head the pattern that fits it best, among those that cover most rows."""
    better = metric_named(metric)
    order = "DESC" if better.higher_is_better else "ASC"
    return _ask(
        f"""
        SELECT pattern, metric, view, split, layer || '.' || head, score, low, high, coverage,
               texts, baseline, gain, gain_low, gain_high
        FROM read_parquet($file)
        WHERE metric = $metric AND view = $view AND split = $split AND score IS NOT NULL
          AND coverage >= $coverage
        QUALIFY row_number() OVER (
            PARTITION BY layer, "head" ORDER BY score {order}, pattern) = 1
        ORDER BY layer, "head"
        """,
        {
            "file": str(run.path_of("scores")),
            "metric": metric,
            "view": view,
            "split": split,
            "coverage": min_coverage,
        },
    )


def of_head(
    run: Run, head: HeadId, *, metric: str = "jsd", view: str = "raw", split: str = "all"
) -> list[Score]:
    """All patterns' scores for one head, best first; those that speak of hardly any row are last.

    Raises:
        UsageError: the run has no such head.
    """
    better = metric_named(metric)
    layers, heads = int(run.manifest["model"]["layers"]), int(run.manifest["model"]["heads"])
    if head.layer >= layers or head.head >= heads:
        known = [str(HeadId(layer, number)) for layer in range(layers) for number in range(heads)]
        error = unknown_name("head of this run", str(head), known)
        raise type(error)(f"{error} ({layers} layers of {heads} heads, counted from 0)")
    rows = _ask(
        """
        SELECT pattern, metric, view, split, layer || '.' || head, score, low, high, coverage,
               texts, baseline, gain, gain_low, gain_high
        FROM read_parquet($file)
        WHERE metric = $metric AND view = $view AND split = $split AND layer = $layer
          AND "head" = $head AND score IS NOT NULL
        """,
        {
            "file": str(run.path_of("scores")),
            "metric": metric,
            "view": view,
            "split": split,
            "layer": head.layer,
            "head": head.head,
        },
    )
    return sorted(
        rows, key=lambda s: (s.coverage < MIN_COVERAGE, -better.sign * s.score, s.pattern)
    )


def pattern_names(run: Run) -> list[str]:
    """The patterns of a run, in its order."""
    return [pattern["name"] for pattern in run.manifest.get("patterns", [])]


def _ask(query: str, parameters: dict[str, object]) -> list[Score]:
    try:
        with duckdb.connect() as connection:
            return [Score(*row) for row in connection.execute(query, parameters).fetchall()]
    except duckdb.Error as error:
        raise RunError(
            f"{parameters['file']}: expected a Parquet table, got a damaged file; make the run anew"
        ) from error
