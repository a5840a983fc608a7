"""The profile of every head on sampled rows: mean attention by position, cross-fitted by folds.

The classes of cells are those of `scoring.profile`: offset (exact up to 8, doubling ranges beyond),
with sinks, and the first and last content token, apart. The sums are kept by fold, so that the
profile without a fold is the difference of two sums.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscribe.fitting.features import Sample
from headscribe.scoring import profile
from headscribe.scoring.profile import CELL_CLASSES


def cell_classes(sample: Sample) -> Int[np.ndarray, " N"]:
    """The class of every cell of a sample."""
    query = sample.kinds[sample.row_token][sample.row]
    return profile.cell_classes(query, sample.kinds[sample.key_token], sample.distance)


@dataclass(frozen=True)
class Profile:
    """Sums of attention and counts of cells, by fold and class.

    Attributes:
        total: attention summed, shape `(F, H, C)`, float64.
        count: cells counted, shape `(F, C)`.
    """

    total: Float[np.ndarray, "F H C"]
    count: Float[np.ndarray, "F C"]

    @classmethod
    def of(cls, sample: Sample, fold: Int[np.ndarray, " R"], folds: int) -> "Profile":
        """Sum up a sample whose rows lie in the given folds."""
        index = cell_classes(sample) + CELL_CLASSES * fold[sample.row]
        size = CELL_CLASSES * folds
        heads = len(sample.attention)
        total = np.stack([np.bincount(index, one, size) for one in sample.attention])
        count = np.bincount(index, minlength=size).astype(np.float64)
        return cls(
            total.reshape(heads, folds, CELL_CLASSES).transpose(1, 0, 2),
            count.reshape(folds, CELL_CLASSES),
        )

    def __add__(self, other: "Profile") -> "Profile":
        """The profile of both samples."""
        return Profile(self.total + other.total, self.count + other.count)

    def table(self, without: int | None = None) -> Float[np.ndarray, "H C"]:
        """Mean attention by class, estimated on all folds but one; 0 where nothing was seen."""
        total, count = self.total.sum(0), self.count.sum(0)
        if without is not None:
            total, count = total - self.total[without], count - self.count[without]
        return np.maximum(total, 0) / np.maximum(count, 1)


def profile_rows(
    table: Float[np.ndarray, " C"], classes: Int[np.ndarray, " N"], sample: Sample
) -> Float[np.ndarray, " N"]:
    """One head's profile on the cells of a sample, rows normalised; uniform where it is 0."""
    value = table[classes]
    start = np.concatenate([[0], np.cumsum(sample.lengths)[:-1]])
    total = np.add.reduceat(value, start)[sample.row]
    uniform = 1 / sample.lengths[sample.row]
    rows: Float[np.ndarray, " N"] = np.where(
        total > 0, value / np.where(total > 0, total, 1), uniform
    )
    return rows
