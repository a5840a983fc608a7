"""Questions to the table of scores."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headscribe.core.errors import RunError, unknown_name
from headscribe.core.heads import HeadId, absent, every_head
from headscribe.core.metrics import metric as metric_named
from headscribe.results.run import Run

MIN_COVERAGE = 0.05
"""Patterns that speak about fewer rows than this share are left out unless asked for."""


class Margin(NamedTuple):
    """How much better a pattern is than what it is hardest to be better than.

    Attributes:
        gain: the difference, positive where the pattern is better; `low`, `high`: its 95 %
            interval, None where it has none.
        over: the baseline.
    """

    gain: float | None
    low: float | None
    high: float | None
    over: str | None


@dataclass(frozen=True)
class Score:
    """One head's score under one pattern; the shape of `top --json`.

    Attributes:
        score: mean over texts; `low`, `high`: its 95 % interval, None where it has none.
        coverage: share of all rows that the pattern speaks about.
        baseline: what the gain is over, None where there is no gain to give.
        gain_low, gain_high: the 95 % interval of the gain, None where it has none.
        profile_gain: the gain over the head's own profile, with its interval; None in runs of
            versions that did not measure it for this pattern.
        scored: the share of the covered rows that were scored: of patterns that point at most keys
            a sample in long texts.
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
    profile_gain: float | None = None
    profile_gain_low: float | None = None
    profile_gain_high: float | None = None
    scored: float | None = None

    @property
    def margin(self) -> Margin:
        """The smaller of the gains over the named baseline and over the profile.

        Patterns of positions and sinks are held against fixed baselines, as the profile holds
        them; but a head that its profile predicts better is not explained by them.
        """
        if self.gain is None or self.profile_gain is None or self.gain <= self.profile_gain:
            return Margin(self.gain, self.gain_low, self.gain_high, self.baseline)
        return Margin(self.profile_gain, self.profile_gain_low, self.profile_gain_high, "profile")

    @property
    def better(self) -> bool:
        """Whether the whole interval of the margin lies above 0."""
        low = self.margin.low
        return low is not None and low > 0

    @property
    def worth(self) -> float:
        """The margin spread over all rows, `gain x coverage`; 0 where it is not `better`."""
        return (self.margin.gain or 0.0) * self.coverage if self.better else 0.0

    @property
    def rank(self) -> tuple[float, float]:
        """Smaller comes first: what gains surely, by its worth to two digits; then by closeness.

        A gain that may be below 0 is no order: it says how good the baseline is, not the pattern.
        """
        return -round(self.worth, 2), -metric_named(self.metric).sign * self.score

    @property
    def head_id(self) -> HeadId:
        """The head as a value."""
        return HeadId.parse(self.head)

    def as_dict(self) -> dict[str, object]:
        """The fields by name."""
        return asdict(self)

    def __repr__(self) -> str:
        said = f"{self.head} {self.pattern}: {self.metric} {self.score:.3f}"
        if self.low is not None:
            said += f" ({self.low:.3f} to {self.high:.3f})"
        gain, low, high, over = self.margin
        if gain is not None:
            ends = "" if low is None else f" ({low:+.3f} to {high:+.3f})"
            said += f", gain {gain:+.3f}{ends} over {over}"
        return f"<{said}; {self.coverage:.0%} of the rows>"


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
    """The `k` best heads of each pattern: those with a sure gain by gain, then the closest.

    Args:
        pattern: only this one; None: all of the run, in its order.
        metric: in which gains and distances are; `view` and `split` likewise.
        min_coverage: leave out patterns that cover a smaller share of the rows.

    Raises:
        UsageError: no such pattern, metric, view or split in the run, or no scores.
    """
    metric_named(metric)
    names = pattern_names(run)
    if pattern is not None and pattern not in names:
        raise unknown_name("pattern of this run", pattern, names)
    for what, value, known in (
        ("view", view, ["raw", "content"]),
        ("split", split, ["all", "fit", "select", "test"]),
    ):
        if value not in known:
            raise unknown_name(what, value, known)
    wanted = pc.field("coverage") >= min_coverage
    if pattern is not None:
        wanted = wanted & (pc.field("pattern") == pattern)
    place = {name: i for i, name in enumerate(names)}
    found = sorted(
        scores(run, wanted, metric=metric, view=view, split=split),
        key=lambda s: (place[s.pattern], *s.rank, s.head_id),
    )
    taken: dict[str, int] = {}
    kept = []
    for score in found:
        taken[score.pattern] = taken.get(score.pattern, 0) + 1
        if taken[score.pattern] <= k:
            kept.append(score)
    return kept


def of_head(
    run: Run, head: HeadId, *, metric: str = "jsd", view: str = "raw", split: str = "all"
) -> list[Score]:
    """All patterns' scores for one head, ranked; those that speak of hardly any row are last.

    Raises:
        UsageError: the run has no such head.
    """
    metric_named(metric)
    layers, heads = int(run.manifest["model"]["layers"]), int(run.manifest["model"]["heads"])
    if head.layer >= layers or head.head >= heads:
        raise absent(head, every_head(layers, heads), run.folder)
    wanted = (pc.field("layer") == head.layer) & (pc.field("head") == head.head)
    return sorted(
        scores(run, wanted, metric=metric, view=view, split=split),
        key=lambda s: (s.coverage < MIN_COVERAGE, *s.rank, s.pattern),
    )


def pattern_names(run: Run) -> list[str]:
    """The patterns of a run, in its order."""
    return [pattern["name"] for pattern in run.manifest.get("patterns", [])]


def scores(
    run: Run,
    wanted: pc.Expression | None = None,
    *,
    metric: str = "jsd",
    view: str = "raw",
    split: str = "all",
) -> list[Score]:
    """The scores that a condition on the table's columns admits; pairs without one are left out.

    Raises:
        UsageError: the run has no scores yet.
        RunError: the table is damaged.
    """
    path = run.path_of("scores")
    chosen = pc.field("score").is_valid()
    for column, value in (("metric", metric), ("view", view), ("split", split)):
        chosen = chosen & (pc.field(column) == value)
    try:
        known = run.schema("scores").names
        columns = ["layer", *(name for name in Score.__dataclass_fields__ if name in known)]
        table = pq.read_table(
            path, columns=columns, filters=chosen if wanted is None else chosen & wanted
        )
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError, OSError) as error:
        raise RunError(f"{path}: expected a Parquet table, got a damaged file; make the run anew"
                       ) from error  # fmt: skip
    return _scores(table.to_pylist())


def _scores(rows: Sequence[dict[str, object]]) -> list[Score]:
    for row in rows:
        row["head"] = f"{row.pop('layer')}.{row['head']}"
    return [Score(**row) for row in rows]  # type: ignore[arg-type]
