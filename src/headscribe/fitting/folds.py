"""How texts are dealt to folds and halves: by group, every part filled.

A group is a document, or whatever else must not be torn apart; where there are too few of them,
blocks of neighbouring texts (`text/grouping.py`).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Int

from headscribe.core.errors import UsageError
from headscribe.fitting.features import Sample
from headscribe.text.grouping import FOLDS, blocks_of
from headscribe.text.splits import buckets_of, fold_of


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


def grouped(groups: Sequence[str]) -> tuple[str, ...]:
    """The group of every text, enough of them for folds as far as there are texts.

    >>> grouped(["a", "a", "b"])
    ('text 0', 'text 1', 'text 2')
    """
    texts = [f"text {i}" for i in range(len(groups))]
    found = blocks_of(groups, texts)[0]
    # Too few for blocks: each by itself.
    return tuple(texts if len(set(found)) < min(FOLDS, len(texts)) else found)


def regrouped(sample: Sample) -> Sample:
    """A sample whose texts stand in groups enough for folds, as far as there are texts."""
    return replace(sample, groups=grouped(sample.groups))


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
