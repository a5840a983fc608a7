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

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import unknown_name

MetricName = Literal[
    "jsd", "sae", "sae_sum", "mae", "iou", "overlap", "mass", "mass_gain", "hit", "hit_gain"
]
View = Literal["raw", "content"]
VIEWS: tuple[View, ...] = ("raw", "content")


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's name, what it measures, its range, and whether more of it is better."""

    name: MetricName
    sentence: str
    higher_is_better: bool

    @property
    def sign(self) -> int:
        """+1 where more is better, -1 where less is."""
        return 1 if self.higher_is_better else -1


METRICS: dict[MetricName, Metric] = {
    metric.name: metric
    for metric in (
        Metric("jsd", "Jensen-Shannon distance, base 2, mean over rows, 0 to 1", False),
        Metric("sae", "sum of absolute errors of a row, mean over rows, 0 to 2", False),
        Metric("sae_sum", "sum of absolute errors of the whole matrix", False),
        Metric("mae", "mean absolute error over the cells, SAE / T", False),
        Metric("iou", "shared mass over united mass of the two matrices, 0 to 1", True),
        Metric("overlap", "shared mass of a row, mean over rows, 0 to 1", True),
        Metric("mass", "attention on the predicted keys, mean over rows, 0 to 1", True),
        Metric("mass_gain", "mass minus what uniform attention would give", True),
        Metric("hit", "rows whose strongest key is a predicted one, 0 to 1", True),
        Metric("hit_gain", "hit minus what a random key would give", True),
    )
}


def metric(name: str) -> Metric:
    """Return the metric called `name`.

    Raises:
        UsageError: there is none; the closest names are suggested.
    """
    for known, found in METRICS.items():
        if known == name:
            return found
    raise unknown_name("metric", name, list(METRICS))


def sae(
    overlap: Float[np.ndarray, "..."] | float, row_sum: Float[np.ndarray, "..."] | float = 1.0
) -> Float[np.ndarray, "..."]:
    """Sum of absolute errors from the overlap, `P + 1 - 2 m`."""
    return np.asarray(row_sum + 1 - 2 * overlap)


def iou(
    overlap: Float[np.ndarray, "..."] | float,
    rows: Float[np.ndarray, "..."] | float,
    row_sum: Float[np.ndarray, "..."] | float | None = None,
) -> Float[np.ndarray, "..."]:
    """Intersection over union of a matrix, `M / (P + R - M)`.

    Args:
        overlap: `M`, the overlap summed over rows.
        rows: `R`, the number (or weight) of those rows.
        row_sum: the real rows' sums added up; `R` where each is 1.
    """
    total = rows if row_sum is None else row_sum
    return np.asarray(overlap / (rows + total - overlap))


def jsd_from_square(square: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """The distance from its square, which rounding can make slightly negative."""
    return np.sqrt(np.clip(square, 0.0, 1.0))
