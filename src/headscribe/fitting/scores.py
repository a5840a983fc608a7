"""Scores of predicted rows by text, in both views.

IoU of a matrix and Jensen-Shannon distance as in `core.metrics`, from whole rows: over the sampled
rows of a text. In the `content` view sinks are removed from rows and keys, rows renormalised and
weighted by the content mass that the head had there.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.core.metrics import View, divergence
from headscribe.fitting.features import Sample

_TINY = 1e-12


@dataclass(frozen=True)
class TextScores:
    """Scores by text, NaN where a text has no row in the view.

    Attributes:
        iou: intersection over union of the sampled rows, `(..., texts)`.
        jsd: mean Jensen-Shannon distance, `(..., texts)`.
    """

    iou: Float[np.ndarray, "*any texts"]
    jsd: Float[np.ndarray, "*any texts"]


class Scorer:
    """Scores predictions on one sample; texts are numbered as in `sample.groups`."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self._start = np.concatenate([[0], np.cumsum(sample.lengths)[:-1]])
        self._texts = len(sample.groups)
        key_sink = sample.sinks[sample.key_token] > 0
        self._content_cells: Bool[np.ndarray, " N"] = ~key_sink
        self._content_rows: Bool[np.ndarray, " R"] = sample.sinks[sample.row_token] == 0

    def iou(
        self, predicted: Float[np.ndarray, "N *any"], real: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, "texts *any"]:
        """IoU by text in the raw view, for one or several predictions at once."""
        real = real.reshape(-1, *[1] * (predicted.ndim - 1))
        shared = np.add.reduceat(np.minimum(predicted, real), self._start, axis=0)
        total = _by_text(shared, self.sample.row_text, self._texts)
        rows = np.bincount(self.sample.row_text, minlength=self._texts)
        rows = rows.reshape(-1, *[1] * (predicted.ndim - 1))
        with np.errstate(invalid="ignore"):
            return total / (2 * rows - total)

    def score(
        self, predicted: Float[np.ndarray, " N"], real: Float[np.ndarray, " N"], view: View = "raw"
    ) -> TextScores:
        """Both metrics by text in one view."""
        p, q = real.astype(np.float64), predicted.astype(np.float64)
        weight = np.ones(len(self.sample.lengths))
        if view == "content":
            p, weight = self._content(p)
            q, covered = self._content(q)
            weight = np.where(self._content_rows & (covered > _TINY), weight, 0)
        square = np.add.reduceat(divergence(p, q), self._start)
        distance = np.sqrt(np.minimum(square, 1))
        overlap = np.add.reduceat(np.minimum(p, q), self._start)
        text = self.sample.row_text
        shared = np.bincount(text, weight * overlap, self._texts)
        rows = np.bincount(text, weight, self._texts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return TextScores(
                np.where(rows > 0, shared / (2 * rows - shared), np.nan),
                np.where(
                    rows > 0, np.bincount(text, weight * distance, self._texts) / rows, np.nan
                ),
            )

    def _content(
        self, row_values: Float[np.ndarray, " N"]
    ) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " R"]]:
        kept = np.where(self._content_cells, row_values, 0)
        mass = np.add.reduceat(kept, self._start)
        scale = np.where(mass > _TINY, mass, 1)
        return kept / scale[self.sample.row], mass


def _by_text(
    values: Float[np.ndarray, "R *any"], text: Int[np.ndarray, " R"], texts: int
) -> Float[np.ndarray, "texts *any"]:
    total = np.zeros((texts, *values.shape[1:]))
    np.add.at(total, text, values)
    return total
