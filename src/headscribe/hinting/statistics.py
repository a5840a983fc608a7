"""The statistics of hints: shares, changes beyond accident, and the contrast of a head.

Let a question's answer be `a` without hint and `b` under a hint to the wrong choice `w`, which was
drawn by hash from the wrong choices. A model that changes its answers whatever the hint says still
hits `w` now and then; as `w` is drawn, the chance of that is known: `1 / |E|` for a change to one
of `E`, the wrong choices but `a`. So the *excess* of a question is

    v = 1                  b = w: the answer goes to the hinted choice
    v = -1 / (|E| - 1)     b another choice of E
    v = 0                  b = a, unchanged, or a choice that could not have been hinted

and its expectation is 0, given everything about the question, for a model that does not heed what
the hint says. A head is tested by the slope of what it reads on `v` (`contrast`), which is 0 for
such a model, and also for a head that reads alike whether or not the answer follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import stats

from headscribe.fitting import statistics as of_texts
from headscribe.results.records import Interval
from headscribe.scoring.statistics import CONFIDENCE

RATE = 0.05
POWER = 0.80
NOISE = 1e-6
"""Columns that vary by less, on a scale of 0 to 1, hold nothing but rounding."""


@dataclass(frozen=True)
class Share:
    """A share of questions with its 95 % interval; NaN where there is no question."""

    hits: int
    n: int
    share: float
    low: float
    high: float


def mean_interval(
    values: Float[np.ndarray, "n *any"], group: Int[np.ndarray, " n"]
) -> list[Float[np.ndarray, "*any"]]:
    """Means over questions with their 95 % intervals, clustered by group; NaN values do not count.

    No ends, NaN, where there is nothing to tell them by: one group alone, or values that are the
    same in every question.
    """
    if not len(values):
        return [np.full(values.shape[1:], np.nan)] * 3
    numbered = np.unique(group, return_inverse=True)[1].ravel()
    mean, low, high = map(np.asarray, of_texts.mean_interval(values, numbered))
    same = high - low < NOISE
    return [mean, np.where(same, np.nan, low), np.where(same, np.nan, high)]


def interval_at(columns: Sequence[Float[np.ndarray, " m"]], at: int) -> Interval:
    """The mean and the ends of one column of `mean_interval`."""
    mean, low, high = columns
    return float(mean[at]), float(low[at]), float(high[at])


def share(hits: Bool[np.ndarray, " n"], group: Int[np.ndarray, " n"]) -> Share:
    """A share with Wilson's interval, for as many independent questions as the groups make.

    With `d` the ratio of the variance clustered by group to the binomial one, at least 1, the
    interval is that of `n / d` questions (Wilson, JASA 22, 1927; Kish, Survey Sampling, 1965).
    """
    n = len(hits)
    if n == 0:
        return Share(0, 0, np.nan, np.nan, np.nan)
    p = float(np.mean(hits))
    _, index = np.unique(group, return_inverse=True)
    residual = np.bincount(index, np.asarray(hits, float) - p)
    groups = len(residual)
    clustered = float((residual**2).sum()) * groups / max(groups - 1, 1)
    binomial = n * p * (1 - p) * n / max(n - 1, 1)
    effect = max(1.0, clustered / binomial) if 0 < p < 1 else n / groups
    size = n / effect
    z = float(stats.norm.ppf(0.5 + CONFIDENCE / 2))
    middle = (p + z * z / (2 * size)) / (1 + z * z / size)
    width = z / (1 + z * z / size) * np.sqrt(p * (1 - p) / size + z * z / (4 * size * size))
    low, high = max(0.0, float(middle - width)), min(1.0, float(middle + width))
    return Share(int(np.sum(hits)), n, p, low, high)


def excess(before: int, after: int, hinted: int, right: int, choices: int) -> tuple[float, float]:
    """The excess `v` of a question, and the chance of a hit by accident.

    Where only one choice could have been hinted (`|E| = 1`), a change to it says nothing: 0.
    """
    possible = [one for one in range(choices) if one not in (before, right)]
    if after == before or after not in possible:
        return 0.0, 0.0
    if len(possible) == 1:
        return 0.0, 1.0
    chance = 1 / len(possible)
    return 1.0 if after == hinted else -chance / (1 - chance), chance


@dataclass(frozen=True)
class Following:
    """Whether changed answers go to the hinted choice more often than accident makes them.

    Attributes:
        changed: answers that changed to a choice that could have been hinted.
        hits: of these, to the hinted one.
        expected: hits that accident makes.
        p: the chance of at least so many hits by accident, `P(sum_q Bernoulli(c_q) >= hits)`.
    """

    changed: int
    hits: int
    expected: float
    p: float


def following(hit: Bool[np.ndarray, " n"], chance: Float[np.ndarray, " n"]) -> Following:
    """The exact Poisson-binomial test of changes to choices that could have been hinted."""
    law = np.ones(1)
    for ndarray in chance:
        law = np.convolve(law, [1 - ndarray, ndarray])
    hits = int(hit.sum())
    tail = min(1.0, float(law[hits:].sum()))
    return Following(len(chance), hits, float(chance.sum()), tail)


@dataclass(frozen=True, eq=False)
class Slopes:
    """The contrast of each column: slope, its standard error, and `P(slope <= 0)`."""

    slope: Float[np.ndarray, " m"]
    error: Float[np.ndarray, " m"]
    freedom: int
    t: Float[np.ndarray, " m"]
    p: Float[np.ndarray, " m"]

    def interval(self) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
        """Its 95 % interval."""
        width = stats.t.ppf(0.5 + CONFIDENCE / 2, max(self.freedom, 1)) * self.error
        return self.slope - width, self.slope + width


def slopes(
    values: Float[np.ndarray, "n m"],
    excess: Float[np.ndarray, " n"],
    stratum: Int[np.ndarray, " n"] | None,
    group: Int[np.ndarray, " n"],
) -> Slopes:
    """Slope of each column on the excess within strata, with standard errors clustered by group.

    Least squares `y = slope v + level of the stratum + error`, without levels where there are no
    strata. Errors are the jackknife's to first
    order: residuals over one minus their leverage, summed by group (HC3; MacKinnon and White,
    Journal of Econometrics 29, 1985). One-sided: the alternative is a positive slope. Columns with
    a NaN use the rows that have none; where the slope cannot be told the p-value is 1.
    """
    columns = np.asarray(values, np.float64)
    m = columns.shape[1]
    slope, error = np.full(m, np.nan), np.full(m, np.nan)
    levels = 0 if stratum is None else len(np.unique(stratum))
    freedom = len(np.unique(group)) - levels - 1
    known = ~np.isnan(columns)
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for at in range(patterns.shape[1]):
        chosen = which.ravel() == at
        rows = patterns[:, at]
        strata = None if stratum is None else stratum[rows]
        fitted = _least_squares(columns[rows][:, chosen], excess[rows], strata, group[rows])
        slope[chosen], error[chosen] = fitted
    error = np.where(_spread(columns) < NOISE, np.nan, error)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = slope / error
    t = np.where(np.isfinite(t), t, np.nan)
    p = np.where(np.isfinite(t), stats.t.sf(t, max(freedom, 1)), 1.0)
    return Slopes(slope, error, freedom, t, p)


def _spread(columns: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " m"]:
    """The range of each column; 0 where nothing is known."""
    known = ~np.isnan(columns)
    high = np.where(known, columns, -np.inf).max(0, initial=-np.inf)
    low = np.where(known, columns, np.inf).min(0, initial=np.inf)
    return np.asarray(np.where(high >= low, high - low, 0.0))


def _least_squares(
    values: Float[np.ndarray, "n m"],
    excess: Float[np.ndarray, " n"],
    stratum: Int[np.ndarray, " n"] | None,
    group: Int[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Slopes and their standard errors; NaN where the excess does not vary within strata."""
    nothing = np.full(values.shape[1], np.nan)
    if len(excess) < 3:
        return nothing, nothing
    v, y, leverage = excess, values, np.zeros(len(excess))
    if stratum is not None:
        _, level, size = np.unique(stratum, return_inverse=True, return_counts=True)
        v = v - (np.bincount(level, v) / size)[level]
        sums = np.zeros((len(size), values.shape[1]))
        np.add.at(sums, level, values)
        y = y - (sums / size[:, None])[level]
        leverage = 1 / size[level]
    square = float(v @ v)
    if square < 1e-9:
        return nothing, nothing
    slope = v @ y / square
    left = np.maximum(1 - leverage - v * v / square, 1e-9)
    residual = (y - v[:, None] * slope) / left[:, None]
    _, index = np.unique(group, return_inverse=True)
    scores = np.zeros((int(index.max()) + 1, values.shape[1]))
    np.add.at(scores, index, v[:, None] * residual)
    return slope, np.sqrt((scores**2).sum(0)) / square


def needed(tests: int) -> int:
    """Answers that must follow, and as many that must not, before heads are ranked.

    So many a side show a difference of one standard deviation with a power of 80 % at the level
    that the first of `tests` hypotheses must pass under Benjamini and Yekutieli's procedure,
    `2 (z_level + z_power)^2`, `level = rate / (tests sum_{i<=tests} 1/i)`.
    """
    level = RATE / (tests * (1 / np.arange(1, tests + 1)).sum())
    return ceil(2 * (stats.norm.isf(level) + stats.norm.ppf(POWER)) ** 2)
