"""What a fit tells beyond each head's formula: mixtures, likeness, kinds of head, agreement."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import squareform

from headscribe.core.heads import HeadId
from headscribe.core.metrics import divergence
from headscribe.fitting.features import Sample
from headscribe.fitting.folds import deal, halves, regrouped
from headscribe.fitting.labels import THRESHOLD, Label, label_heads
from headscribe.fitting.mixture import Part, components_of, decompose
from headscribe.fitting.solver import Rows
from headscribe.fitting.stages import (
    SELECTION_ROWS,
    Fitted,
    for_all_heads,
    predicted_rows,
    selection_rows,
)

if TYPE_CHECKING:
    from headscribe.fitting.heads import Atlas

LOSSES = (0.02, 0.05, 0.1)
"""IoU that a head may lose to another head's formula."""

HALVES = 2


def head_distances(sample: Sample) -> Float[np.ndarray, "H H"]:
    """Mean Jensen-Shannon distance (base 2) between the rows of every two heads."""
    heads = len(sample.attention)
    attention = sample.attention.astype(np.float64)
    distance = np.zeros((heads, heads))
    for h in range(heads - 1):
        square = np.add.reduceat(divergence(attention[h], attention[h + 1 :]), sample.start, axis=1)
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
        sample: the rows to serve; at most as many are looked at as terms are chosen on.
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
        parts = [selection_rows(kind.sample, seed, limit, kind.fold == f) for kind in kinds]
        predicted = []
        for kind, part in zip(kinds, parts, strict=True):
            rows = Rows.of(part.lengths, device)
            every = [predicted_rows(fitted, part, rows, device) for fitted in kind.by_fold[f]]
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
    """
    if len(samples) == 1:
        return samples[0]
    widest = max(samples, key=lambda sample: len(sample.key_token))
    start = widest.start
    cells = len(widest.key_token)
    attention = np.zeros((sum(map(len, places)), cells), np.float32)
    for sample, mine in zip(samples, places, strict=True):
        place = start[sample.row] + sample.key_token - widest.key_token[start[sample.row]]
        attention[np.ix_(mine, place)] = sample.attention
    return replace(widest, attention=attention)


def shared_attention(
    predicted: Float[np.ndarray, "F N"], sample: Sample
) -> Float[np.ndarray, "F H"]:
    """The overlap of every prediction with every head, summed over all rows."""
    return np.stack(
        [
            np.minimum(ndarray[None, :], sample.attention).sum(axis=1, dtype=np.float64)
            for ndarray in predicted
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


@dataclass(frozen=True)
class Findings:
    """What a fit tells of a model as a whole.

    Attributes:
        mixtures: every head as a mixture of patterns: the graph from patterns to heads.
        distance: mean Jensen-Shannon distance (base 2) of every two heads on the same rows.
        merged: average-linkage clustering of the heads, in SciPy's linkage format.
        transfer: IoU on unseen texts of every head's formula on every head, `[formula, head]`.
        covers: by loss, the fewest formulas that serve all heads.
        halves: the labels of every head from each of two disjoint halves of the groups.
    """

    mixtures: tuple[tuple[Part, ...], ...]
    distance: Float[np.ndarray, "H H"]
    merged: Float[np.ndarray, "H-1 4"]
    transfer: Float[np.ndarray, "H H"]
    covers: dict[float, Cover]
    halves: tuple[tuple[tuple[Label, ...], ...], ...]


@dataclass(frozen=True)
class Kind:
    """Heads that see the same keys, with the rows that their formulas were fitted to.

    Attributes:
        heads: the heads, in the order of the attention.
        sample: what they were fitted to, with predictions of patterns.
        test: the texts that were scored, if they were texts of their own.
    """

    heads: tuple[HeadId, ...]
    sample: Sample
    test: Sample | None = None


def find(
    atlas: "Atlas", kinds: Sequence[Kind], seed: int = 0, threshold: float = THRESHOLD
) -> Findings:
    """Look at all heads of a fit together.

    `kinds` are the rows, by what the heads see; one entry for most models.
    """
    place = {head_formula.head: i for i, head_formula in enumerate(atlas.heads)}
    kinds = [replace(kind, sample=regrouped(kind.sample)) for kind in kinds]
    named = dict.fromkeys(label.pattern for head in atlas.heads for label in head.labels)
    count = len(atlas.heads)
    mixtures: list[tuple[Part, ...]] = [()] * count
    sides: list[list[tuple[Label, ...]]] = [[()] * count for _ in range(HALVES)]
    served = []
    for kind in kinds:
        sample, mine = kind.sample, [place[head] for head in kind.heads]
        parts = decompose(sample, components_of(sample.patterns, named), seed=seed)
        for k, part in zip(mine, parts, strict=True):
            mixtures[k] = part
        for side, labels in enumerate(_of_halves(sample, seed, threshold)):
            for k, found in zip(mine, labels, strict=True):
                sides[side][k] = found
        if kind.test is None and atlas.by_fold:
            fold = deal(sample.groups, len(atlas.by_fold), seed)[sample.row_text]
            by_fold = [[fitted[k] for k in mine] for fitted in atlas.by_fold]
            served.append(Served(mine, sample, fold, by_fold))
        else:
            scored = kind.test or sample
            fitted = [[atlas.fitted[k] for k in mine]]
            served.append(Served(mine, scored, np.zeros_like(scored.row_text), fitted))
    transfer = unseen_transfer(served, seed)
    rows = [selection_rows(kind.sample, seed) for kind in kinds]
    distance = head_distances(together(rows, [[place[h] for h in kind.heads] for kind in kinds]))
    return Findings(
        tuple(mixtures),
        distance,
        dendrogram(distance),
        transfer,
        {loss: fewest_formulas(transfer, loss) for loss in LOSSES},
        tuple(map(tuple, sides)),
    )


def _of_halves(sample: Sample, seed: int, threshold: float) -> list[tuple[tuple[Label, ...], ...]]:
    """The labels from each half of the texts; none where one group has all."""
    # Dealt apart from folds and from the halves that labels are tested on.
    half = halves(replace(sample, groups=tuple(f"{g}:half" for g in sample.groups)), seed)
    if half is None:
        return [tuple(() for _ in sample.attention)] * HALVES

    def labels(side: int) -> tuple[tuple[Label, ...], ...]:
        rows = selection_rows(sample, seed, among=half[sample.row_text] == side)
        return label_heads(rows, seed, threshold=threshold)

    return for_all_heads(labels, HALVES)
