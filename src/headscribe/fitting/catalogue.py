"""The best pattern of the catalogue for every head: what a fitted formula has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscribe.fitting.features import Sample


@dataclass(frozen=True)
class BestPattern:
    """The best pattern of each head.

    Attributes:
        name: the pattern that is best over all texts, by head.
        iou: IoU by text of the pattern that was best on the other folds, `(H, texts)`; NaN where
            there are no others.
    """

    name: tuple[str, ...]
    iou: Float[np.ndarray, "H texts"]


def pattern_iou(sample: Sample) -> Float[np.ndarray, "P H texts"]:
    """IoU by text of every pattern with every head; rows not covered are uniform."""
    start = np.concatenate([[0], np.cumsum(sample.lengths)[:-1]])
    texts = len(sample.groups)
    by_text = np.zeros((len(sample.lengths), texts))
    by_text[np.arange(len(sample.lengths)), sample.row_text] = 1
    flat = (1 / sample.lengths[sample.row]).astype(np.float32)
    uniform = np.add.reduceat(np.minimum(sample.attention, flat), start, axis=1)
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
    return np.array(found)


def best_pattern(
    iou: Float[np.ndarray, "P H texts"],
    names: Sequence[str],
    text_fold: Int[np.ndarray, " texts"],
) -> BestPattern:
    """The best pattern of every head, chosen on the other folds for each fold's score."""
    name = tuple(names[p] for p in np.argmax(np.nanmean(iou, axis=2), axis=0))
    scored = np.full(iou.shape[1:], np.nan)
    heads = np.arange(iou.shape[1])
    folds = np.unique(text_fold)
    for f in folds if len(folds) > 1 else ():
        best = np.argmax(np.nanmean(iou[:, :, text_fold != f], axis=2), axis=0)
        scored[:, text_fold == f] = iou[best, heads][:, text_fold == f]
    return BestPattern(name, scored)
