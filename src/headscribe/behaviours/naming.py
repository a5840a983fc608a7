"""Which behaviours a head has: named on one half of the texts, confirmed on the other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from headscribe.behaviours.measure import Sums
from headscribe.behaviours.places import EVENLY, placed
from headscribe.scoring.statistics import ratio

SMALLEST = 0.05
"""An excess below this is no behaviour, however sure."""

POINT = 0.10
"""The least excess on the half that names."""

CONFIRM = 0.05
"""The least excess on the half that confirms."""

LEVEL = 0.05
"""Share of false ones among what is chosen, and among what is confirmed."""

GROUPS, ROWS, CONTENT = 10, 20, 0.1
"""Least groups and rows that apply, and the least share of attention on content there."""


@dataclass(frozen=True)
class Excess:
    """One half's figures, each `(B, H)`.

    Attributes:
        share: of the content attention on the behaviours' keys; `expected`: by position.
        excess: share - expected; `error`: its standard error, clustered by group.
        groups, rows: that apply; `content`: share of attention on content keys there.
        hit: share of rows whose strongest content key is one of theirs.
    """

    share: Float[np.ndarray, "B H"]
    expected: Float[np.ndarray, "B H"]
    excess: Float[np.ndarray, "B H"]
    error: Float[np.ndarray, "B H"]
    groups: Float[np.ndarray, "B H"]
    rows: Float[np.ndarray, "B H"]
    content: Float[np.ndarray, "B H"]
    hit: Float[np.ndarray, "B H"]

    def above(self, bound: float) -> Float[np.ndarray, "B H"]:
        """One-sided p-values of "the excess is at most `bound`"."""
        freedom = np.maximum(self.groups - 1, 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            score = (self.excess - bound) / self.error
        value = stats.t.sf(score, freedom)
        certain = np.where(self.excess > bound, 0.0, 1.0)
        value = np.where(self.error > 0, value, certain)
        return np.where((self.groups >= 2) & np.isfinite(self.excess), value, 1.0)

    def interval(self) -> tuple[Float[np.ndarray, "B H"], Float[np.ndarray, "B H"]]:
        """The ends of the excess's 95 % interval."""
        width = stats.t.ppf(0.975, np.maximum(self.groups - 1, 1)) * self.error
        return self.excess - width, self.excess + width


def excess_of(sums: Sums, half: int) -> Excess:
    """The figures of one half: ratios of sums over groups, errors by linearisation.

    With group totals `S_g` of attention beyond what is expected and `D_g` of content mass the
    excess is `m = sum S_g / sum D_g`, its variance `G / (G - 1) sum (S_g - m D_g)^2 / (sum D_g)^2`.
    """
    chosen = sums.half == half
    on_keys, expected = sums.on_keys[:, chosen], sums.expected[:, chosen]
    content, rows = sums.content[:, chosen], sums.rows[:, chosen]
    applies = rows > 0
    total = content.sum(1)
    beyond, low, _ = ratio(np.moveaxis(on_keys - expected, 1, 0), np.moveaxis(content, 1, 0))
    groups = np.broadcast_to(applies.sum(1)[:, None], beyond.shape).astype(np.float64)
    counts = np.broadcast_to(rows.sum(1)[:, None], beyond.shape)
    error = (beyond - low) / stats.t.ppf(0.975, np.maximum(groups - 1, 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        share, mean = on_keys.sum(1) / total, expected.sum(1) / total
        excess = share - mean
        mass = total / counts
        hit = sums.hits[:, half] / counts
    return Excess(share, mean, excess, error, groups, counts, mass, hit)


@dataclass(frozen=True)
class Named:
    """Which behaviours were named and confirmed, with both halves' figures.

    Attributes:
        first, second: the halves' figures.
        named, confirmed: by behaviour and head.
    """

    first: Excess
    second: Excess
    named: Bool[np.ndarray, "B H"]
    confirmed: Bool[np.ndarray, "B H"]


def name(sums: Sums, families: Sequence[str]) -> Named:
    """Choose on the first half, and confirm on the second what was chosen.

    The first half chooses by Benjamini and Hochberg's rule within each family of behaviours:
    hundreds of word classes that few heads read are no reason to doubt a link of syntax (Efron
    2008, "Simultaneous inference: When should hypothesis testing problems be combined?"). The
    bound that counts is that of the second half, which has chosen nothing: of all that was chosen,
    by Benjamini and Yekutieli's rule, which holds under any dependence.

    A head that nothing else is named for, but perhaps for being even, is named from `SMALLEST` on,
    where that is sure on both halves: the least excess guards against luck on the half that
    chooses, and what position explains of narrow behaviours whose keys lie side by side is much.

    Args:
        sums: of the first reading.
        families: that of each behaviour.
    """
    first, second = excess_of(sums, 0), excess_of(sums, 1)
    value, named = first.above(SMALLEST), np.zeros(first.excess.shape, bool)
    # Too few texts, or no attention to speak of: not a test, and none that others pay for.
    sound = (first.groups >= GROUPS) & (first.rows >= ROWS) & (first.content >= CONTENT)
    for family in set(families):
        mine = sound & (np.array(families) == family)[:, None]
        named[mine] = _discovered(value[mine], "bh")
    faint = named & (first.excess < POINT)
    named &= ~faint
    confirmed = named & (second.excess >= CONFIRM)
    confirmed[named] &= _discovered(second.above(0.0)[named], "by")
    where = placed(sums.places, sums.even, sums.all_rows, sums.half).holds
    faint &= ~confirmed.any(0) & ~where[:EVENLY].any(0)
    sure = faint.copy()
    sure[faint] = _discovered(second.above(SMALLEST)[faint], "by")
    return Named(first, second, named | faint, confirmed | sure)


def _discovered(
    values: Float[np.ndarray, " n"], method: Literal["bh", "by"]
) -> Bool[np.ndarray, " n"]:
    """Which of some tests hold with a share of false ones below `LEVEL`."""
    if not len(values):
        return np.zeros(0, bool)
    return np.asarray(stats.false_discovery_control(values, method=method) <= LEVEL)
