"""What a fit tells beyond each head's formula: mixtures, likeness, kinds of head, agreement."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from headscribe.core.heads import HeadId
from headscribe.fitting.features import Sample
from headscribe.fitting.folds import deal, halves, regrouped
from headscribe.fitting.labels import THRESHOLD, Label, label_heads
from headscribe.fitting.mixture import Part, components_of, decompose
from headscribe.fitting.similarity import (
    Cover,
    Served,
    dendrogram,
    fewest_formulas,
    head_distances,
    together,
    unseen_transfer,
)
from headscribe.fitting.stages import for_all_heads, selection_rows

if TYPE_CHECKING:
    from headscribe.fitting.heads import Atlas

LOSSES = (0.02, 0.05, 0.1)
"""IoU that a head may lose to another head's formula."""

HALVES = 2


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

    Args:
        atlas: the formulas with their labels, as `fit_heads` gives them.
        kinds: the rows, by what the heads see; one entry for most models.
        seed: as in `fit_heads`; halves are dealt apart from folds.
        threshold: what a label has to gain.
    """
    place = {one.head: i for i, one in enumerate(atlas.heads)}
    kinds = [replace(kind, sample=regrouped(kind.sample)) for kind in kinds]
    named = dict.fromkeys(label.pattern for one in atlas.heads for label in one.labels)
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
        return label_heads(sample.only(half[sample.row_text] == side), seed, threshold=threshold)

    return for_all_heads(labels, HALVES)
