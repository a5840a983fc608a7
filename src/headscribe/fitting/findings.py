"""What a fit tells beyond each head's formula: mixtures, likeness, kinds of head, agreement."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscribe.fitting.features import Sample
from headscribe.fitting.labels import THRESHOLD, Label, label_heads
from headscribe.fitting.mixture import Part, decompose
from headscribe.fitting.similarity import (
    Cover,
    dendrogram,
    fewest_formulas,
    head_distances,
    unseen_transfer,
)
from headscribe.fitting.stages import Fitted, for_all_heads, selection_rows
from headscribe.text.splits import bucket_of, fold_of

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


def find(
    fitted: Sequence[Fitted],
    by_fold: Sequence[Sequence[Fitted]],
    sample: Sample,
    test: Sample | None = None,
    seed: int = 0,
    threshold: float = THRESHOLD,
) -> Findings:
    """Look at all heads of a fit together.

    Args:
        fitted: the formulas that are shown, as in `Atlas.fitted`.
        by_fold: those of each fold, as in `Atlas.by_fold`; not needed with `test`.
        sample: what they were fitted to, with predictions of patterns.
        test: the texts that were scored, if they were texts of their own.
        seed: as in `fit_heads`; halves are dealt apart from folds.
        threshold: what a label has to gain.
    """
    if test is None:
        fold = np.array([fold_of(bucket_of(g, seed), len(by_fold)) for g in sample.groups])
        transfer = unseen_transfer(by_fold, sample, fold[sample.row_text], seed)
    else:
        transfer = unseen_transfer((fitted,), test, np.zeros_like(test.row_text), seed)
    distance = head_distances(selection_rows(sample, seed))
    half = np.array([fold_of(bucket_of(f"{g}:half", seed), HALVES) for g in sample.groups])

    def labels(side: int) -> tuple[tuple[Label, ...], ...]:
        keep = half[sample.row_text] == side
        if not keep.any():
            return tuple(() for _ in sample.attention)
        return label_heads(sample.only(keep), seed, threshold=threshold)

    return Findings(
        decompose(sample, seed=seed),
        distance,
        dendrogram(distance),
        transfer,
        {loss: fewest_formulas(transfer, loss) for loss in LOSSES},
        tuple(for_all_heads(labels, HALVES)),
    )
