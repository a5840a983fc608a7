"""Sums that merge: what a survey keeps of the texts that it has read.

Texts fall into `BUCKETS` buckets by a hash of their group. Every statistic is a sum over texts,
kept by bucket, so that batches, processes and machines combine in any order, splits and folds are
sums over buckets, and intervals come from the spread between buckets (each holds whole groups).
Memory does not grow with the corpus. Why not a bootstrap: `docs/decisions/buckets.md`.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from headscribe.core.errors import RunError
from headscribe.core.metrics import VIEWS, own_metrics
from headscribe.scoring.profile import CELL_CLASSES
from headscribe.text.splits import BUCKETS

FOLDS = 5

TEXT_CHANNELS = (
    "texts", "rows", "jsd", "sae", "sae_sum", "mae", "iou", "overlap", "mass", "chance",
    "hit_texts", "hit", "hit_chance",
)  # fmt: skip
"""Per text: a count, then what the metrics of `core.metrics` make of its rows' sums.

Hits have a count of their own, and the chance of a hit on the rows that they are counted on: of
long texts these are the sampled rows."""

GAIN_CHANNELS = (
    "paired_texts", "fixed_jsd", "fixed_overlap", "fixed_iou",
    "profile_jsd", "profile_overlap", "profile_iou",
)  # fmt: skip
"""Texts with a gain, then gains over the best fixed baseline and over the profile."""


def score_channels() -> tuple[str, ...]:
    """All channels of the scores, those of registered metrics between texts and gains."""
    return (*TEXT_CHANNELS, *(metric.name for metric in own_metrics()), *GAIN_CHANNELS)


GATE_STATES = ("on", "off", "absent")
"""A content row where the pattern applies; does not, but does elsewhere in the text; or nowhere."""

GATE_CHANNELS = ("rows", "sink", "last")
"""Rows, and attention summed over them: on all sinks, on the last token."""

CALIBRATION_CHANNELS = ("texts", "jsd", "overlap")

CONTAINMENT_CHANNELS = ("rows", "overlap", "inside")

EQUIVALENCE_CHANNELS = ("rows", "same")


@dataclass
class Accumulators:
    """All sums of a survey; `B` buckets, `V` views, `P` patterns, `N` heads, `K` fixed baselines.

    Attributes:
        scores: `(B, len(score_channels()), V, P, N)`.
        gate: `(B, len(GATE_STATES), len(GATE_CHANNELS), P, N)`, raw view.
        calibration: baselines on the rows that each pattern covers, by fold,
            `(FOLDS, len(CALIBRATION_CHANNELS), V, K, P, N)`.
        profile_sum: attention by cell class, `(FOLDS, N, CELL_CLASSES)`.
        profile_count: cells by class, `(FOLDS, N, CELL_CLASSES)`.
        containment: pattern against pattern, `(len(CONTAINMENT_CHANNELS), P, P)`.
        equivalence: rows of the content view, fall-backs included, on which a pattern is a fixed
            baseline, `(len(EQUIVALENCE_CHANNELS), K, P)`.
        failures: texts on which each pattern failed, `(P,)`.
        covered: rows that each pattern covered, `(P,)`; `scored`: those that were scored.
        seen: texts, rows and tokens read, by bucket, `(B, 3)`.
    """

    scores: Float[np.ndarray, "B C V P N"]
    gate: Float[np.ndarray, "B S G P N"]
    calibration: Float[np.ndarray, "F S V K P N"]
    profile_sum: Float[np.ndarray, "F N cells"]
    profile_count: Float[np.ndarray, "F N cells"]
    containment: Float[np.ndarray, "S P P"]
    equivalence: Int[np.ndarray, "E K P"]
    failures: Int[np.ndarray, " P"]
    covered: Int[np.ndarray, " P"]
    scored: Int[np.ndarray, " P"]
    seen: Int[np.ndarray, "B 3"]

    @classmethod
    def zeros(cls, patterns: int, heads: int, baselines: int) -> "Accumulators":
        """Empty sums for so many patterns, heads and fixed baselines."""
        views = len(VIEWS)
        return cls(
            np.zeros((BUCKETS, len(score_channels()), views, patterns, heads)),
            np.zeros((BUCKETS, len(GATE_STATES), len(GATE_CHANNELS), patterns, heads)),
            np.zeros((FOLDS, len(CALIBRATION_CHANNELS), views, baselines, patterns, heads)),
            np.zeros((FOLDS, heads, CELL_CLASSES)),
            np.zeros((FOLDS, heads, CELL_CLASSES)),
            np.zeros((len(CONTAINMENT_CHANNELS), patterns, patterns)),
            np.zeros((len(EQUIVALENCE_CHANNELS), baselines, patterns), np.int64),
            np.zeros(patterns, np.int64),
            np.zeros(patterns, np.int64),
            np.zeros(patterns, np.int64),
            np.zeros((BUCKETS, 3), np.int64),
        )

    def add(self, other: "Accumulators") -> None:
        """Add the sums of another part of the same survey.

        Raises:
            RunError: the other part was made for other patterns or heads.
        """
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine.shape != theirs.shape:
                raise RunError(
                    f"expected sums {field.name} of shape {mine.shape}, got {theirs.shape}: "
                    "the parts come from different surveys"
                )
        for field in fields(self):
            mine = getattr(self, field.name)
            mine += getattr(other, field.name)

    def arrays(self) -> dict[str, np.ndarray]:
        """The sums by name, for storage."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], where: Path) -> "Accumulators":
        """Read back what `arrays` gave.

        Raises:
            RunError: a sum is missing.
        """
        missing = [field.name for field in fields(cls) if field.name not in arrays]
        if missing:
            raise RunError(f"{where} lacks {', '.join(missing)}: remove it and start anew")
        return cls(**{field.name: arrays[field.name] for field in fields(cls)})
