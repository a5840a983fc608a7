"""Which heads change what they read when the answer follows the hint.

For every head and measure, `beyond` is the measure under the hint minus that under the note, on the
same question: what mere insertion does is taken off. It is contrasted over questions: does it grow
where the answer follows a wrong hint (`statistics.slopes`)? Under the right hint, which is not
drawn, changed and unchanged questions are described, not tested.

What changes is not what matters: all heads above a copied letter read otherwise, and a head that
carries it may read it always. So heads are flagged by contrasts, and ranked by their mean effect on
the answers that followed (`effects`), where the model lets it be had, else by `t`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.core.heads import HeadId
from headscribe.fitting.statistics import benjamini_yekutieli
from headscribe.hinting.conditions import Condition
from headscribe.hinting.measures import MEASURES, Measure
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.reading import ALTERED
from headscribe.hinting.statistics import (
    RATE,
    Following,
    Slopes,
    interval_at,
    mean_interval,
    needed,
    slopes,
)
from headscribe.results.records import Interval

BLOCK = 1024
"""Columns of measures whose intervals are computed together."""


@dataclass(frozen=True)
class Row:
    """One head, one measure, one kind of hint.

    Attributes:
        n: questions that were read.
        hint: the measure under the hint, mean over questions.
        note: under the note, mean.
        beyond: hint minus note, paired.
        n_changed, changed: questions that changed to the hinted choice, and their mean `beyond`.
        n_unchanged, unchanged: questions with the answer that they had before, and theirs.
        contrast: the slope of `beyond` on the excess (wrong hint), changed minus unchanged (right).
        t, p: of the contrast, one-sided; NaN where nothing is tested.
        flagged: whether the contrast holds with false-discovery control over heads and measures.
    """

    head: HeadId
    measure: Measure
    condition: Condition
    n: int
    hint: Interval
    note: float
    beyond: Interval
    n_changed: int
    changed: float
    n_unchanged: int
    unchanged: float
    contrast: Interval
    t: float
    p: float
    flagged: bool


@dataclass(frozen=True)
class Finding:
    """A head's place in the ranking.

    Attributes:
        rank: from 1; by `effect`, or by `t` where there is none.
        measure: the measure with the largest `t`; a measure of what it reads.
        t, p: of that measure.
        flagged: whether a measure, or the effect, holds.
        effect: mean effect of its reading of the hint on the answers that follow the hint, in
            logits, with its 95 % interval; NaN where there is none.
        effect_p: of the contrast of effects, one-sided.
    """

    rank: int
    head: HeadId
    measure: Measure
    t: float
    p: float
    flagged: bool
    effect: Interval
    effect_p: float


@dataclass(frozen=True)
class Ranking:
    """Whether heads can be ranked, and on what grounds.

    Attributes:
        refused: why not; None if they are.
        needed: questions that must follow; and stay, for the contrast with those.
        changed: questions that follow the wrong hint.
        others: questions that could have followed and did not.
        follow: whether answers go to the hinted choice beyond accident.
        reference: what following is contrasted with: the questions that stay `unchanged`, or,
            where these are too few, the `note` on the same questions.
        order: what ranks heads: their `effect`, or `t`.
        tests: hypotheses, heads times measures, the effect among them.
        rate: the false-discovery rate.
        flagged: heads with a contrast that holds.
    """

    refused: str | None
    needed: int
    changed: int
    others: int
    follow: Following
    reference: str
    order: str
    tests: int
    rate: float
    flagged: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Everything that is said of heads."""

    rows: tuple[Row, ...]
    ranking: Ranking
    findings: tuple[Finding, ...]


def compare_heads(
    outcomes: Outcomes,
    values: Float[np.ndarray, "Q 3 M L H"],
    effects: Callable[[], Float[np.ndarray, "Q L H"]] | None = None,
) -> Comparison:
    """Compare all heads over all questions.

    Args:
        values: the measures of each question, as `reading.read` gives them.
        effects: computes the effect of each head on each question (`effects`), 0 where the answer
            stays the same, NaN where there is none; asked only where heads can be ranked. None:
            there are none.
    """
    count, conditions, measures, layers, width = values.shape
    heads = [HeadId(layer, head) for layer in range(layers) for head in range(width)]
    flat = values.reshape(count, conditions, measures * len(heads))
    note = flat[:, ALTERED.index("note")]
    beyond = flat[:, ALTERED.index("wrong")] - note
    ranking, tested = _ranking(outcomes, beyond, 0 if effects is None else len(heads))
    flags = np.zeros(ranking.tests, bool)
    traced = None
    if ranking.refused is None:
        p = tested.p
        if effects is not None:
            traced = _traced(outcomes, effects().reshape(count, len(heads)), ranking)
            p = np.concatenate([p, traced.p])
        flags = benjamini_yekutieli(p, RATE)
    table: list[Row] = []
    for condition in ALTERED[:2]:
        hint = flat[:, ALTERED.index(condition)]
        one = tested if condition == "wrong" else _described(outcomes, hint - note)
        chosen = flags[: flat.shape[2]] & (condition == "wrong")  # behind these: of effects
        table += _rows(outcomes, condition, heads, hint, note, one, chosen)
    findings = () if ranking.refused is not None else _findings(heads, tested, flags, traced)
    flagged = sum(finding.flagged for finding in findings)
    order = "t" if traced is None or np.isnan(traced.mean[0]).all() else "effect"
    done = replace(ranking, flagged=flagged, order=order)
    return Comparison(tuple(table), done, findings)


@dataclass(frozen=True, eq=False)
class _Traced:
    """The effect of each head: mean over the questions that follow, and `p` of the contrast."""

    mean: Sequence[Float[np.ndarray, " h"]]
    p: Float[np.ndarray, " h"]


def _traced(outcomes: Outcomes, effects: Float[np.ndarray, "Q h"], ranking: Ranking) -> _Traced:
    kept = outcomes.kept("wrong") & ~np.isnan(effects).any(1)
    tested = _contrast(outcomes, effects, ranking.reference)
    return _Traced(mean_interval(effects[kept].astype(float), outcomes.group[kept]), tested.p)


def _contrast(outcomes: Outcomes, values: Float[np.ndarray, "Q m"], reference: str) -> Slopes:
    eligible = outcomes.eligible("wrong")
    stratum = outcomes.hinted[eligible] if reference == "unchanged" else None
    return slopes(values[eligible], outcomes.excess[eligible, 0], stratum, outcomes.group[eligible])


def _ranking(
    outcomes: Outcomes, beyond: Float[np.ndarray, "Q m"], more: int
) -> tuple[Ranking, Slopes]:
    """Whether there is enough to rank heads on, and the contrast; `more` tests will follow."""
    tests = beyond.shape[1] + more
    enough = needed(tests)
    kept, eligible = outcomes.kept("wrong"), outcomes.eligible("wrong")
    others = int((eligible & ~kept).sum())
    follow = outcomes.following
    reference = "unchanged" if others >= enough else "note"
    tested = _contrast(outcomes, beyond, reference)
    ranking = Ranking(
        _refusal(outcomes, enough, tests), enough, int(kept.sum()), others, follow, reference,
        "t", tests, RATE, 0,
    )  # fmt: skip
    return ranking, tested


def _refusal(outcomes: Outcomes, enough: int, tests: int) -> str | None:
    kept = int(outcomes.kept("wrong").sum())
    if kept < enough:
        also = int(outcomes.to_hinted("wrong").sum()) - kept
        noted = f" (besides {also} that the neutral note changes alike)" if also else ""
        return (
            f"heads are not ranked: answers that follow the wrong hint: {kept}{noted}; {enough} "
            f"are needed to see a difference of one standard deviation in one of {tests} contrasts "
            "with a power of 80 %"
        )
    follow = outcomes.following
    if not follow.changed:
        return (
            "heads are not ranked: every question that changed had one choice only that could "
            "have been hinted, so answers that follow the hint cannot be told from accident; "
            "questions of at least 3 choices work"
        )
    if follow.p > RATE:
        return (
            "heads are not ranked: answers change, but not towards what the hint says: "
            f"{follow.hits} of {follow.changed} go to the hinted choice, {follow.expected:.1f} "
            f"would by accident (p = {follow.p:.2g})"
        )
    return None


def _described(outcomes: Outcomes, beyond: Float[np.ndarray, "Q m"]) -> Slopes:
    """Changed minus unchanged under the right hint; nothing is tested."""
    eligible = outcomes.eligible("right")
    hit = outcomes.to_hinted("right")[eligible].astype(float)
    found = slopes(beyond[eligible], hit, np.zeros(len(hit), np.int64), outcomes.group[eligible])
    nothing = np.full(len(found.t), np.nan)
    return Slopes(found.slope, found.error, found.freedom, nothing, nothing)


def _rows(
    outcomes: Outcomes,
    condition: Condition,
    heads: Sequence[HeadId],
    hint: Float[np.ndarray, "Q m"],
    note: Float[np.ndarray, "Q m"],
    tested: Slopes,
    flags: Bool[np.ndarray, " m"],
) -> list[Row]:
    beyond = hint - note
    changed = outcomes.kept(condition) if condition == "wrong" else outcomes.to_hinted(condition)
    unchanged = outcomes.known(condition) & ~outcomes.changed(condition)
    intervals = [_intervals(one, outcomes.group) for one in (hint, note, beyond)]
    by_group = [_mean(beyond[chosen]) for chosen in (changed, unchanged)]
    low, high = tested.interval()
    read = (~np.isnan(beyond)).sum(0)
    rows = []
    for at, (measure, head) in enumerate((m, h) for m in MEASURES for h in heads):
        rows.append(
            Row(
                head, measure, condition, int(read[at]), interval_at(intervals[0], at),
                float(intervals[1][0][at]), interval_at(intervals[2], at), int(changed.sum()),
                float(by_group[0][at]), int(unchanged.sum()), float(by_group[1][at]),
                (float(tested.slope[at]), float(low[at]), float(high[at])), float(tested.t[at]),
                float(tested.p[at]), bool(flags[at]),
            )
        )  # fmt: skip
    return rows


def _intervals(
    values: Float[np.ndarray, "Q m"], group: Int[np.ndarray, " Q"]
) -> list[Float[np.ndarray, " m"]]:
    """Means with their intervals, a block of columns at a time: memory for one block only."""
    blocks = [
        mean_interval(values[:, at : at + BLOCK].astype(float), group)
        for at in range(0, values.shape[1], BLOCK)
    ]
    return [np.concatenate(part) for part in zip(*blocks, strict=True)]


def _mean(values: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " m"]:
    """Means of columns without NaN; NaN where nothing is left."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Float[np.ndarray, " m"] = np.where(known, values, 0).sum(0) / known.sum(0)
    return found


def _findings(
    heads: Sequence[HeadId], tested: Slopes, flags: Bool[np.ndarray, " m"], traced: _Traced | None
) -> tuple[Finding, ...]:
    """Heads by mean effect, or by the largest `t` of their measures; those without come last."""
    t = np.where(np.isnan(tested.t), -np.inf, tested.t).reshape(len(MEASURES), len(heads))
    best = t.argmax(0)
    p = tested.p.reshape(t.shape)
    flagged = np.any(flags.reshape(-1, len(heads)), axis=0).tolist()
    nothing = np.full(len(heads), np.nan)
    effect = (nothing, nothing, nothing) if traced is None else traced.mean
    effect_p = nothing if traced is None else traced.p
    first = np.where(np.isnan(effect[0]), -np.inf, effect[0])
    order = sorted(range(len(heads)), key=lambda at: (-first[at], -t[best[at], at], at))
    return tuple(
        Finding(
            rank, heads[at], MEASURES[best[at]], float(t[best[at], at]), float(p[best[at], at]),
            flagged[at], interval_at(effect, at), float(effect_p[at]),
        )
        for rank, at in enumerate(order, 1)
    )  # fmt: skip
