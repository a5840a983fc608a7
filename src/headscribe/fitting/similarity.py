"""Which heads are alike, and how few formulas serve them all."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from headscribe.fitting.features import Sample
from headscribe.fitting.solver import Rows
from headscribe.fitting.stages import SELECTION_ROWS, Fitted, predicted_rows, selection_rows

_LOG2 = np.log(2)


def head_distances(sample: Sample) -> Float[np.ndarray, "H H"]:
    """Mean Jensen-Shannon distance (base 2) between the rows of every two heads."""
    heads = len(sample.attention)
    start = np.concatenate([[0], np.cumsum(sample.lengths)[:-1]])
    attention = sample.attention.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        own = np.where(attention > 0, attention * np.log(attention), 0)
    entropy = np.add.reduceat(own, start, axis=1)
    distance = np.zeros((heads, heads))
    for h in range(heads - 1):
        middle = (attention[h] + attention[h + 1 :]) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            mixed = np.where(middle > 0, middle * np.log(middle), 0)
        square = (entropy[h] + entropy[h + 1 :]) / 2 - np.add.reduceat(mixed, start, axis=1)
        mean = np.sqrt(np.clip(square / _LOG2, 0, 1)).mean(axis=1)
        distance[h, h + 1 :] = distance[h + 1 :, h] = mean
    return distance


def dendrogram(distance: Float[np.ndarray, "H H"]) -> Float[np.ndarray, "H-1 4"]:
    """Average-linkage clustering of the heads, in SciPy's linkage format."""
    if len(distance) < 2:
        return np.zeros((0, 4))
    merged: Float[np.ndarray, "H-1 4"] = linkage(squareform(distance, checks=False), "average")
    return merged


@dataclass(frozen=True)
class Cover:
    """Formulas that serve all heads.

    Attributes:
        formulas: heads whose formulas were chosen, in the order of their choice.
        served_by: for every head the position in `formulas` of the one that serves it best.
    """

    formulas: tuple[int, ...]
    served_by: Int[np.ndarray, " H"]


def unseen_transfer(
    by_fold: Sequence[Sequence[Fitted]], sample: Sample, fold: Int[np.ndarray, " R"], seed: int = 0
) -> Float[np.ndarray, "H H"]:
    """IoU of every head's formula on every head, over all rows of unseen texts together.

    Args:
        by_fold: every head's formula by fold, chosen and fitted on other folds.
        sample: the rows to serve; at most as many are looked at as terms are chosen on.
        fold: the fold of each row.
        seed: chooses the rows where there are many.
    """
    device, heads = torch.device("cpu"), len(sample.attention)
    limit = max(SELECTION_ROWS // len(by_fold), 1)
    shared, count = np.zeros((heads, heads)), 0
    for f, fitted in enumerate(by_fold):
        part = selection_rows(sample.only(fold == f), seed, limit)
        rows = Rows.of(part.lengths, device)
        predicted = np.stack([predicted_rows(one, part, rows, device) for one in fitted])
        shared += shared_attention(predicted, part)
        count += len(part.lengths)
    iou: Float[np.ndarray, "H H"] = shared / (2 * count - shared)
    return iou


def shared_attention(
    predicted: Float[np.ndarray, "F N"], sample: Sample
) -> Float[np.ndarray, "F H"]:
    """The overlap of every prediction with every head, summed over all rows."""
    return np.stack(
        [
            np.minimum(one[None, :], sample.attention).sum(axis=1, dtype=np.float64)
            for one in predicted
        ]
    )


def fewest_formulas(iou: Float[np.ndarray, "H H"], loss: float) -> Cover:
    """The fewest formulas that serve all heads at a given loss, by greedy set cover.

    Formula `f` serves head `h` if its IoU there is at most `loss` below that of the head's own
    formula. Greedy set cover needs at most `1 + ln H` times as many as the optimum (Chvatal 1979);
    ties go to the lower head.

    Args:
        iou: of every head's formula on every head, `[formula, head]`; own ones on the diagonal.
        loss: how much IoU a head may lose.
    """
    serves = iou >= np.diag(iou)[None, :] - loss
    np.fill_diagonal(serves, True)
    left = np.ones(len(iou), bool)
    chosen: list[int] = []
    while left.any():
        best = int(np.argmax((serves & left).sum(axis=1)))
        chosen.append(best)
        left &= ~serves[best]
    served = np.argmax(np.where(serves[chosen], iou[chosen], -1.0), axis=0)
    return Cover(tuple(chosen), served)
