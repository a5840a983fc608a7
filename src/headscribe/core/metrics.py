"""How close a predicted row is to a real one: the metrics and their finishing formulas.

All of them need the head's row `p` only where the pattern's row `q` is positive, on its support
`S`. With `m = sum_S min(p, q)`, `s = sum_S p` and the row's sum `P` (1 but for attention sinks
inside the softmax):

    overlap   m                                                in [0, 1], higher is better
    SAE       sum_j |p - q| = P + 1 - 2 m                       in [0, 2], lower is better
    IoU       sum_i m_i / sum_i (P_i + 1 - m_i)                 in [0, 1], higher is better
    JSD^2     1/2 [ (P - s) + sum_S ( p log2(2p/(p+q)) + q log2(2q/(p+q)) ) ]
    JSD       its square root, a distance                       in [0, 1], lower is better
    mass      s                                                 in [0, 1], higher is better
    hit       1 if the head's strongest key lies in S, else 0    higher is better

SAE, overlap and IoU rank programs identically on one text. Jensen-Shannon distance: Endres and
Schindelin, IEEE Trans. Inf. Theory 49 (2003); the sum of absolute errors is that of the slides
which Headscribe grew from.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from math import inf
from typing import Any, Literal

import numpy as np

from headscribe.core.errors import UsageError, unknown_name

View = Literal["raw", "content"]
VIEWS: tuple[View, ...] = ("raw", "content")

ENTRY_POINTS = "headscribe.metrics"
"""Packages add metrics by an entry point of this group that names a function to be called."""

Numbers = Any
"""An array of NumPy or a tensor of torch: both engines finish their sums by the same formulas."""


@dataclass(frozen=True)
class TextSums:
    """What the rows of a text that a pattern covers add up to, each row by its weight.

    A row weighs 1 in the raw view, its content mass in the content view. All of one shape.

    Attributes:
        weight: of the rows; 0 where the pattern covers none.
        row_sum: what the real rows sum to, `P`.
        overlap: `m`; `jsd`: the distance; `mass`: `s`.
        chance: the mass that uniform attention would have on the support.
        hit: rows whose strongest key is predicted; `hit_weight`, `hit_chance`: weight and chance of
            the rows that hits are counted on (of long texts some).
        length: tokens of the text.
    """

    weight: Numbers
    row_sum: Numbers
    overlap: Numbers
    jsd: Numbers
    mass: Numbers
    chance: Numbers
    hit: Numbers
    hit_weight: Numbers
    hit_chance: Numbers
    length: Numbers


Formula = Callable[[TextSums], Numbers]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric: what it measures, its range, whether more of it is better, and its formula.

    Attributes:
        formula: from a text's sums to its score; 0 where the text has no row.
        chance: the formula's counterpart for chance, which is taken off; None for none.
        texts: what counts the texts that have a score.
        gain: the gain that it shares, and the factor (SAE = P + 1 - 2 overlap); None for none.
        range: its least and its largest value, which intervals of few texts would pass.
    """

    name: str
    sentence: str
    higher_is_better: bool
    formula: Formula
    chance: str | None = None
    texts: str = "texts"
    gain: tuple[str, float] | None = None
    range: tuple[float, float] = (-inf, inf)

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.higher_is_better else -1


def over(value: Numbers, by: Numbers) -> Numbers:
    """A quotient; the value itself, which is 0 then, where there is nothing to divide by."""
    return value / (by + (by <= 0))


def _sae_sum(sums: TextSums) -> Numbers:
    return sums.weight + sums.row_sum - 2 * sums.overlap


def _iou(sums: TextSums) -> Numbers:
    return over(sums.overlap, sums.weight + sums.row_sum - sums.overlap)


def _mass(sums: TextSums) -> Numbers:
    return over(sums.mass, sums.weight)


def _hit(sums: TextSums) -> Numbers:
    return over(sums.hit, sums.hit_weight)


_BUILT_IN = (
    Metric(
        "jsd", "Jensen-Shannon distance, base 2, mean over rows, 0 to 1", False,
        lambda sums: over(sums.jsd, sums.weight), gain=("jsd", 1.0), range=(0, 1),
    ),
    Metric(
        "sae", "sum of absolute errors of a row, mean over rows, 0 to 2", False,
        lambda sums: over(_sae_sum(sums), sums.weight), gain=("overlap", 2.0),
        range=(0, 2),
    ),
    Metric("sae_sum", "sum of absolute errors of the whole matrix", False, _sae_sum,
           range=(0, inf)),
    Metric(
        "mae", "mean absolute error over the cells, SAE / T", False,
        lambda sums: over(_sae_sum(sums), sums.weight) / sums.length, range=(0, 2),
    ),
    Metric(
        "iou", "shared mass over united mass of the two matrices, 0 to 1", True, _iou,
        gain=("iou", 1.0), range=(0, 1),
    ),
    Metric(
        "overlap", "shared mass of a row, mean over rows, 0 to 1", True,
        lambda sums: over(sums.overlap, sums.weight), gain=("overlap", 1.0),
        range=(0, 1),
    ),
    Metric("mass", "attention on the predicted keys, mean over rows, 0 to 1", True, _mass,
           range=(0, 1)),
    Metric(
        "mass_gain", "mass minus what uniform attention would give", True, _mass, chance="chance"
    ),
    Metric(
        "hit", "rows whose strongest key is a predicted one, 0 to 1", True, _hit, texts="hit_texts",
        range=(0, 1),
    ),
    Metric(
        "hit_gain", "hit minus what a random key would give", True, _hit, chance="hit_chance",
        texts="hit_texts",
    ),
)  # fmt: skip

METRICS: dict[str, Metric] = {metric.name: metric for metric in _BUILT_IN}
"""Every metric by its name: the built-in ones, then those that were registered."""


def register_metric(
    name: str, sentence: str, *, higher_is_better: bool
) -> Callable[[Formula], Formula]:
    """Add a metric to all surveys of this process: one formula of a text's sums.

    >>> @register_metric("outside", "attention off the predicted keys", higher_is_better=False)
    ... def outside(sums):
    ...     return over(sums.row_sum - sums.mass, sums.weight)
    >>> metric("outside").sign
    -1
    >>> del METRICS["outside"]

    Registering a name again replaces the metric.

    Raises:
        UsageError: the name is that of a built-in metric, or no identifier.
    """
    if not name.isidentifier() or any(metric.name == name for metric in _BUILT_IN):
        taken = ", ".join(metric.name for metric in _BUILT_IN)
        raise UsageError(
            f"expected an identifier that is no built-in metric ({taken}), got {name!r}"
        )

    def register(formula: Formula) -> Formula:
        METRICS[name] = Metric(name, sentence, higher_is_better, formula)
        return formula

    return register


def own_metrics() -> tuple[Metric, ...]:
    """The metrics that are not built in."""
    _load_packages()
    return tuple(METRICS.values())[len(_BUILT_IN) :]


@cache
def _load_packages() -> None:
    for entry in entry_points(group=ENTRY_POINTS):
        entry.load()()


def metric(name: str) -> Metric:
    """Return the metric called `name`.

    Raises:
        UsageError: there is none; the closest names are suggested.
    """
    _load_packages()
    if name not in METRICS:
        raise unknown_name("metric", name, list(METRICS))
    return METRICS[name]


def divergence(p: Numbers, q: Numbers) -> Numbers:
    """What single cells add to the square of the Jensen-Shannon distance, base 2.

    With `a = |p - q| / (p + q)` a cell adds `(p + q) / 4 ((1 + a) log2(1 + a) + (1 - a)
    log2(1 - a))`: no term is negative and nothing cancels between them, so that the distance of
    nearly equal rows is as exact as that of others.

    >>> float(divergence(np.array([1.0, 0.0]), np.array([0.0, 1.0])).sum())
    1.0
    """
    total, apart = p + q, abs(p - q)
    apart /= total.clip(_TINY)
    terms = _log1p(apart)
    terms *= 1 + apart
    apart *= -1
    # Where a = 1 the term is 0: its logarithm, of the last number above -1, is finite.
    rest = _log1p(apart.clip(2.0 ** (-23 if apart.dtype.itemsize == 4 else -52) - 1))
    apart += 1
    rest *= apart
    terms += rest
    terms *= total
    terms /= 4 * np.log(2)
    return terms


_TINY = 1e-37
"""Cells of less, which float32 can hardly hold, add nothing."""


def _log1p(values: Numbers) -> Numbers:
    return values.log1p() if hasattr(values, "log1p") else np.log1p(values)
