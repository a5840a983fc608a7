"""Scores of predicted rows by text, in both views.

IoU of a matrix and Jensen-Shannon distance as in `core.metrics`, from whole rows: over the sampled
rows of a text. In the `content` view sinks are removed from rows and keys, rows renormalised and
weighted by the content mass that the head had there. Besides the rows of the two rivals of a
formula: the head's profile, and the best pattern of the catalogue.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.core.metrics import View, divergence
from headscribe.fitting.features import Sample
from headscribe.scoring import profile
from headscribe.scoring.profile import CELL_CLASSES, Profile

_TINY = 1e-12


class Scorer:
    """Scores predictions on one sample; texts are numbered as in `sample.groups`."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self._texts = len(sample.groups)
        key_sink = sample.sinks[sample.key_token] > 0
        self._content_cells: Bool[np.ndarray, " N"] = ~key_sink
        self._content_rows: Bool[np.ndarray, " R"] = sample.sinks[sample.row_token] == 0

    def iou(
        self, predicted: Float[np.ndarray, "N *any"], real: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, "texts *any"]:
        """IoU by text in the raw view, for one or several predictions at once."""
        real = real.reshape(-1, *[1] * (predicted.ndim - 1))
        shared = np.add.reduceat(np.minimum(predicted, real), self.sample.start, axis=0)
        total = _by_text(shared, self.sample.row_text, self._texts)
        rows = np.bincount(self.sample.row_text, minlength=self._texts)
        rows = rows.reshape(-1, *[1] * (predicted.ndim - 1))
        with np.errstate(invalid="ignore"):
            return total / (2 * rows - total)

    def score(
        self, predicted: Float[np.ndarray, " N"], real: Float[np.ndarray, " N"], view: View = "raw"
    ) -> Float[np.ndarray, "2 texts"]:
        """IoU of the sampled rows and mean Jensen-Shannon distance; NaN in texts without a row."""
        p, q = real.astype(np.float64), predicted.astype(np.float64)
        weight = np.ones(len(self.sample.lengths))
        if view == "content":
            p, weight = self._content(p)
            q, covered = self._content(q)
            weight = np.where(self._content_rows & (covered > _TINY), weight, 0)
        square = np.add.reduceat(divergence(p, q), self.sample.start)
        distance = np.sqrt(np.minimum(square, 1))
        overlap = np.add.reduceat(np.minimum(p, q), self.sample.start)
        text = self.sample.row_text
        shared = np.bincount(text, weight * overlap, self._texts)
        rows = np.bincount(text, weight, self._texts)
        with np.errstate(divide="ignore", invalid="ignore"):
            iou = shared / (2 * rows - shared)
            jsd = np.bincount(text, weight * distance, self._texts) / rows
        return np.where(rows > 0, [iou, jsd], np.nan)

    def _content(
        self, row_values: Float[np.ndarray, " N"]
    ) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " R"]]:
        kept = np.where(self._content_cells, row_values, 0)
        mass = np.add.reduceat(kept, self.sample.start)
        scale = np.where(mass > _TINY, mass, 1)
        return kept / scale[self.sample.row], mass


def _by_text(
    values: Float[np.ndarray, "R *any"], text: Int[np.ndarray, " R"], texts: int
) -> Float[np.ndarray, "texts *any"]:
    total = np.zeros((texts, *values.shape[1:]))
    np.add.at(total, text, values)
    return total


def cell_classes(sample: Sample) -> Int[np.ndarray, " N"]:
    """The class of every cell of a sample, as `scoring.profile` numbers them."""
    query = sample.kinds[sample.row_token][sample.row]
    return profile.cell_classes(query, sample.kinds[sample.key_token], sample.distance)


def profile_of(sample: Sample, fold: Int[np.ndarray, " R"], folds: int) -> Profile:
    """The profile of every head on a sample whose rows lie in the given folds."""
    index = cell_classes(sample) + CELL_CLASSES * fold[sample.row]
    size = CELL_CLASSES * folds
    total = np.stack([np.bincount(index, one, size) for one in sample.attention])
    count = np.bincount(index, minlength=size).astype(np.float64)
    return Profile(
        total.reshape(-1, folds, CELL_CLASSES).swapaxes(0, 1), count.reshape(folds, 1, CELL_CLASSES)
    )


def profile_rows(
    table: Float[np.ndarray, " C"], classes: Int[np.ndarray, " N"], sample: Sample
) -> Float[np.ndarray, " N"]:
    """One head's profile on the cells of a sample, rows normalised; uniform where it is 0."""
    value = table[classes]
    total = np.add.reduceat(value, sample.start)[sample.row]
    uniform = 1 / sample.lengths[sample.row]
    rows: Float[np.ndarray, " N"] = np.where(
        total > 0, value / np.where(total > 0, total, 1), uniform
    )
    return rows


def pattern_iou(sample: Sample) -> Float[np.ndarray, "P H texts"]:
    """IoU by text of every pattern with every head; rows not covered are uniform."""
    texts = len(sample.groups)
    by_text = np.zeros((len(sample.lengths), texts))
    by_text[np.arange(len(sample.lengths)), sample.row_text] = 1
    flat = (1 / sample.lengths[sample.row]).astype(np.float32)
    uniform = np.add.reduceat(np.minimum(sample.attention, flat), sample.start, axis=1)
    rows = by_text.sum(axis=0)
    found = []
    for p in range(len(sample.patterns)):
        span = slice(*sample.predictions.ptr[p : p + 2])
        cell, value = sample.predictions.cell[span], sample.predictions.value[span]
        shared = uniform.astype(np.float64)
        if len(cell):
            row = sample.row[cell]
            first = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
            covered = np.minimum(sample.attention[:, cell], value)
            shared[:, row[first]] = np.add.reduceat(covered, first, axis=1)
        total = shared @ by_text
        with np.errstate(invalid="ignore"):
            found.append(total / (2 * rows - total))
    return np.array(found).reshape(len(found), len(uniform), texts)


def best_pattern(
    iou: Float[np.ndarray, "P H texts"],
    names: Sequence[str],
    text_fold: Int[np.ndarray, " texts"],
) -> tuple[tuple[str, ...], Float[np.ndarray, "H texts"]]:
    """The best pattern of every head on all texts, and IoU by text of the best on other folds.

    NaN where there are no other folds.
    """
    name = tuple(names[p] for p in np.argmax(np.nanmean(iou, axis=2), axis=0))
    scored = np.full(iou.shape[1:], np.nan)
    heads = np.arange(iou.shape[1])
    folds = np.unique(text_fold)
    for f in folds if len(folds) > 1 else ():
        best = np.argmax(np.nanmean(iou[:, :, text_fold != f], axis=2), axis=0)
        scored[:, text_fold == f] = iou[best, heads][:, text_fold == f]
    return name, scored
