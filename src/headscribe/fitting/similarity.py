"""Which heads are alike, and how few formulas serve them all."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from headscribe.core.metrics import divergence
from headscribe.fitting.features import Sample
from headscribe.fitting.solver import Rows
from headscribe.fitting.stages import SELECTION_ROWS, Fitted, predicted_rows, selection_rows


def head_distances(sample: Sample) -> Float[np.ndarray, "H H"]:
    """Mean Jensen-Shannon distance (base 2) between the rows of every two heads."""
    heads = len(sample.attention)
    start = np.concatenate([[0], np.cumsum(sample.lengths)[:-1]])
    attention = sample.attention.astype(np.float64)
    distance = np.zeros((heads, heads))
    for h in range(heads - 1):
        square = np.add.reduceat(divergence(attention[h], attention[h + 1 :]), start, axis=1)
        mean = np.sqrt(np.minimum(square, 1)).mean(axis=1)
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


@dataclass(frozen=True)
class Served:
    """Heads that see the same keys, and the formulas that are to serve them.

    Attributes:
        heads: the place of each among all heads.
        sample: the rows to serve; at most as many are looked at as terms are chosen on.
        fold: the fold of each row.
        by_fold: every head's formula by fold, chosen and fitted on other folds.
    """

    heads: Sequence[int]
    sample: Sample
    fold: Int[np.ndarray, " R"]
    by_fold: Sequence[Sequence[Fitted]]


def unseen_transfer(kinds: Sequence[Served], seed: int = 0) -> Float[np.ndarray, "H H"]:
    """IoU of every head's formula on every head, over all rows of unseen texts together.

    Args:
        kinds: the heads by what they see, on the same rows.
        seed: chooses the rows where there are many.
    """
    device = torch.device("cpu")
    folds = len(kinds[0].by_fold)
    heads = sum(len(kind.heads) for kind in kinds)
    limit = max(SELECTION_ROWS // folds, 1)
    shared, count = np.zeros((heads, heads)), 0
    for f in range(folds):
        parts = [selection_rows(kind.sample.only(kind.fold == f), seed, limit) for kind in kinds]
        predicted = []
        for kind, part in zip(kinds, parts, strict=True):
            rows = Rows.of(part.lengths, device)
            every = [predicted_rows(one, part, rows, device) for one in kind.by_fold[f]]
            predicted.append(replace(part, attention=np.stack(every)))
        places = [kind.heads for kind in kinds]
        shared += shared_attention(together(predicted, places).attention, together(parts, places))
        count += len(parts[0].lengths)
    iou: Float[np.ndarray, "H H"] = shared / (2 * count - shared)
    return iou


def together(samples: Sequence[Sample], places: Sequence[Sequence[int]]) -> Sample:
    """The same rows of heads that see different keys as one sample, on the cells that most see.

    Args:
        samples: equal but for the cells, one kind of head each.
        places: where each head goes.
    """
    if len(samples) == 1:
        return samples[0]
    widest = max(samples, key=lambda one: len(one.key_token))
    start = np.concatenate([[0], np.cumsum(widest.lengths)[:-1]])
    cells = len(widest.key_token)
    attention = np.zeros((sum(map(len, places)), cells), np.float32)
    for one, mine in zip(samples, places, strict=True):
        place = start[one.row] + one.key_token - widest.key_token[start[one.row]]
        attention[np.ix_(mine, place)] = one.attention
    return replace(widest, attention=attention)


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
