"""Intervals that hold over texts and over tokens, and what is flagged."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats

from headscribe.scoring.statistics import CONFIDENCE, ratio

LEVEL = 0.05
"""The share of false ones among what is flagged."""

GROUPS = 8
"""Least texts (or tokens, where they are what varies) that anything is flagged on."""


@dataclass(frozen=True)
class Mean:
    """A mean with its interval, clustered; arrays of any one shape.

    Attributes:
        mean: over rows.
        error: its standard error; NaN where one cluster holds all.
        freedom: degrees of freedom, one less than the clusters.
    """

    mean: Float[np.ndarray, "*any"]
    error: Float[np.ndarray, "*any"]
    freedom: Float[np.ndarray, "*any"]

    @classmethod
    def of(cls, total: Float[np.ndarray, "B *any"], count: Float[np.ndarray, "B *any"]) -> "Mean":
        """Of sums by cluster, see `headscribe.scoring.statistics.ratio`."""
        mean, low, _ = ratio(total, count)
        freedom = np.asarray((count > 0).sum(axis=0) - 1, np.float64)
        quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, np.maximum(freedom, 1))
        return cls(mean, (mean - low) / quantile, freedom)

    @property
    def low(self) -> Float[np.ndarray, "*any"]:
        """The lower end of the 95 % interval."""
        return self.mean - self._width

    @property
    def high(self) -> Float[np.ndarray, "*any"]:
        """The upper end."""
        return self.mean + self._width

    @property
    def _width(self) -> Float[np.ndarray, "*any"]:
        quantile = stats.t.ppf(0.5 + CONFIDENCE / 2, np.maximum(self.freedom, 1))
        return np.asarray(quantile * self.error)

    def wider(self, other: "Mean") -> "Mean":
        """This mean with the larger of two errors: clustered by texts, and by tokens.

        Few kinds of token make most of a text. What a head does to "the" is the same in every
        text, so that texts alone would call an accident of a few tokens certain.
        """
        larger = np.nan_to_num(other.error, nan=np.inf) > np.nan_to_num(self.error, nan=np.inf)
        return Mean(
            self.mean,
            np.where(larger, other.error, self.error),
            np.where(larger, other.freedom, self.freedom),
        )

    def flagged(self, smallest: float | Float[np.ndarray, "..."]) -> Bool[np.ndarray, "*any"]:
        """Whose size is above `smallest`, with false-discovery control over all of them.

        Benjamini and Yekutieli's bound holds under any dependence: heads are alike.
        """
        tested = (self.freedom + 1 >= GROUPS) & np.isfinite(self.error) & (self.error > 0)
        value = np.ones(self.mean.shape)
        beyond = np.abs(self.mean) - smallest
        score = beyond[tested] / self.error[tested]
        if len(score):
            raw = np.minimum(2 * stats.t.sf(score, self.freedom[tested]), 1)
            value[tested] = stats.false_discovery_control(raw, method="by")
        return np.asarray(value <= LEVEL)
