"""The baselines that a claim must beat, estimated and chosen on texts that it is not scored on."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.scoring.accumulators import CALIBRATION_CHANNELS, FOLDS, Accumulators
from headscribe.scoring.profile import Profile

EQUIVALENT = 1 - 1e-6
"""A baseline that overlaps a pattern's content rows to this degree is the pattern itself."""

UNKNOWN = -1
"""In place of a baseline: none could be chosen on other texts."""

_DIGITS = 9


@dataclass(frozen=True)
class Calibration:
    """The profile of every head, and the fixed baseline that each pattern is compared with.

    Fold `f` holds what was estimated without the texts of fold `f`; without folds all are equal.

    Attributes:
        profile: mean attention by cell class, `(FOLDS, N, CELL_CLASSES)`.
        by_jsd: position of the best fixed baseline by distance, `(FOLDS, V, P, N)`; `UNKNOWN` where
            there is none, or nothing to estimate it or the profile from: no gain is given there.
        by_overlap: the same by overlap and IoU.
    """

    profile: Float[np.ndarray, "F N cells"]
    by_jsd: Int[np.ndarray, "F V P N"]
    by_overlap: Int[np.ndarray, "F V P N"]


def calibrate(sums: Accumulators, fixed: list[int], *, cross: bool) -> Calibration:
    """Estimate profiles and choose fixed baselines.

    Args:
        sums: sums over the calibration texts.
        fixed: positions of the fixed baselines among the patterns.
        cross: for each fold use the texts of the other folds only (else all calibration texts).
    """

    def without(values: np.ndarray) -> np.ndarray:
        total = values.sum(axis=0, keepdims=True)
        return total - values if cross else np.repeat(total, FOLDS, axis=0)

    known = Profile(sums.profile_sum, sums.profile_count)
    profile = np.stack([known.table(f if cross else None) for f in range(FOLDS)])
    table = without(sums.calibration)  # F S V K P N
    texts, jsd, overlap = (table[:, CALIBRATION_CHANNELS.index(c)] for c in CALIBRATION_CHANNELS)
    barred = _equivalent(sums, fixed)[None, :, :, :, None]
    jsd = np.where(barred, np.inf, jsd / np.maximum(texts, 1))
    overlap = np.where(barred, -np.inf, overlap / np.maximum(texts, 1))
    # Baselines that are equal (where all their keys were sinks) stay so whatever was added first.
    jsd, overlap = jsd.round(_DIGITS), overlap.round(_DIGITS)
    estimated = np.any(without(sums.profile_count) > 0.5, axis=(1, 2)).reshape(-1, 1, 1, 1)
    fits = ((texts > 0) & ~barred).any(axis=2) & estimated
    by_jsd, by_overlap = jsd.argmin(axis=2), overlap.argmax(axis=2)
    return Calibration(
        profile, np.where(fits, by_jsd, UNKNOWN), np.where(fits, by_overlap, UNKNOWN)
    )


def _equivalent(sums: Accumulators, fixed: list[int]) -> Bool[np.ndarray, "V K P"]:
    """Which baseline is the pattern itself on all rows that it covers, by view.

    In the content view a baseline whose keys were all sinks falls back to the query, and is what
    it falls back to: there `first_token` and `self` may be one.
    """
    rows, overlap, _ = sums.containment  # [p, k]: rows of p against rows of k
    raw = np.stack([rows.T[fixed], overlap.T[fixed]])
    count, same = np.stack([raw, sums.equivalence], axis=1)
    barred: Bool[np.ndarray, "V K P"] = (count > 0) & (same >= EQUIVALENT * count)
    barred[:, np.arange(len(fixed)), fixed] = True
    return barred
