"""How texts are dealt to folds and halves: by group, every part filled.

A group is a document, or whatever else must not be torn apart. Where a corpus is one document, or
has fewer documents than there are to be folds, its texts (the sentences of a treebank, the blocks
of a book) are taken instead, in blocks of neighbours: what stands close together stays together.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from headscribe.core.errors import UsageError
from headscribe.fitting.features import Sample
from headscribe.text.splits import buckets_of, fold_of

FOLDS = 5
"""Folds of a cross-fit, where there are as many texts."""

BLOCKS = 30
"""Blocks that the texts of too few documents are cut into, at most: enough for an interval."""


def blocks(groups: Sequence[str], wanted: int) -> tuple[str, ...]:
    """The group of every text: as given, or blocks of neighbouring texts if there are too few.

    >>> blocks(["book"] * 4, 2)
    ('book block 0', 'book block 1', 'book block 2', 'book block 3')
    >>> blocks(["a", "b"], 2)
    ('a', 'b')

    Args:
        groups: the group of every text, in their order.
        wanted: as many groups are needed.
    """
    if len(set(groups)) >= wanted:
        return tuple(groups)
    count = len(groups)
    size = min(count, max(BLOCKS, wanted))
    return tuple(f"{group} block {i * size // count}" for i, group in enumerate(groups))


def deal(groups: Sequence[str], parts: int, seed: int) -> Int[np.ndarray, " texts"]:
    """The part of every text, `0..parts - 1`, the same for all texts of a group; none is empty.

    >>> deal(["a", "a", "b"], 2, seed=0).tolist()
    [1, 1, 0]

    Raises:
        UsageError: there are fewer groups than parts.
    """
    bucket = buckets_of(groups, seed, (4, 5, parts))
    if len(bucket) < parts:
        raise UsageError(f"expected at least {parts} texts or documents, got {len(bucket)}")
    return np.array([fold_of(bucket[group], parts) for group in groups])


def regrouped(sample: Sample) -> Sample:
    """A sample whose texts stand in groups enough for folds, as far as there are texts."""
    groups = blocks(sample.groups, FOLDS)
    return sample if groups == sample.groups else replace(sample, groups=groups)


def halves(sample: Sample, seed: int) -> Int[np.ndarray, " texts"] | None:
    """The half of every text, 0 or 1, dealing those that have rows; None where one group has all.

    Texts without rows stand in the first half.
    """
    present = np.unique(sample.row_text)
    groups = [sample.groups[text] for text in present]
    if len(set(groups)) < 2:
        return None
    half = np.zeros(len(sample.groups), int)
    half[present] = deal(groups, 2, seed)
    return half
