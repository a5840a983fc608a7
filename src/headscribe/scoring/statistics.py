"""Means and intervals from sums by bucket."""

from functools import cache

import numpy as np
from jaxtyping import Float
from scipy import stats

CONFIDENCE = 0.95


def ratio(
    total: Float[np.ndarray, "B *any"], count: Float[np.ndarray, "B *any"]
) -> tuple[Float[np.ndarray, "*any"], Float[np.ndarray, "*any"], Float[np.ndarray, "*any"]]:
    """Mean over texts with its 95 % interval, clustered by bucket.

    With bucket totals `S_b` over `n_b` texts the mean is `m = sum S_b / sum n_b` and its variance,
    by linearisation, `B / (B - 1) * sum (S_b - m n_b)^2 / (sum n_b)^2` over the `B` buckets that
    hold texts; the interval uses Student's t with `B - 1` degrees of freedom (Cochran, Sampling
    Techniques, 1977, section 6.3 and 9A.1). Groups never straddle buckets.

    Returns:
        Mean, lower and upper end; NaN where there is no text, NaN ends where one bucket holds all.
    """
    texts = count.sum(axis=0)
    buckets = (count > 0).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total.sum(axis=0) / texts
        residual = ((total - mean * count) ** 2).sum(axis=0)
        variance = buckets / (buckets - 1) * residual / texts**2
    width = np.sqrt(variance) * _quantiles(len(total))[np.clip(buckets - 2, 0, None)]
    width = np.where(buckets > 1, width, np.nan)
    return np.asarray(mean), np.asarray(mean - width), np.asarray(mean + width)


@cache
def _quantiles(most: int) -> Float[np.ndarray, " n"]:
    """Student's t with 1, 2, ... degrees of freedom, 1 at least."""
    return np.asarray(stats.t.ppf(0.5 + CONFIDENCE / 2, np.arange(1, max(most, 1) + 1)))
