"""The profile: a head's own mean attention by position, known to nothing but positions.

For a query `i` and a key `j` the profile predicts, up to the row's normalisation, the mean
attention that the head paid in the `fit` texts to a key of the same class from a query of the same
kind. Kinds of query: ordinary, opening sink (`[CLS]`, BOS, position 0 of a causal model), closing
sink (`[SEP]`). Classes of key: opening sink, closing sink, and otherwise the offset `j - i`, exact
up to 8 and in doubling ranges beyond; the first and the last content token have offsets of their
own, exact up to 8 and one class beyond, so that a head which looks at the end of a sentence is not
taken for one that looks for punctuation. (A causal layer cannot know which token is the last.) It
is the baseline that a program has to beat before it explains anything about words: on recorded BERT
it reaches a mean IoU of about 0.51.

Its sufficient statistics are sums, so that it can be estimated without a fold by subtraction and
merged over batches in any order.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt16

from headscribe.core.visibility import Visibility

EXACT_OFFSETS = 8
_RANGES = 12  # doubling ranges beyond: up to 8 * 2**12 tokens away, then one class
OFFSET_CLASSES = 2 * (EXACT_OFFSETS + _RANGES) + 1
END_CLASSES = 2 * EXACT_OFFSETS + 2
KEY_CLASSES = OFFSET_CLASSES + 2 + 2 * END_CLASSES
QUERY_KINDS = 3
CELL_CLASSES = QUERY_KINDS * KEY_CLASSES
HIDDEN = CELL_CLASSES
"""The class of keys that a query does not see."""

ORDINARY, OPENING, CLOSING, FIRST, LAST = range(5)
"""Kinds of token: ordinary; a sink that opens the text, another sink; the first and the last token
that is no sink."""


def offset_steps(offset: Int[np.ndarray, "..."], ranges: int) -> Int[np.ndarray, "..."]:
    """Offsets by steps to either side: exact up to 8, then so many ranges (8, 16], (16, 32], ...

    >>> offset_steps(np.array([-70, -9, -8, 0, 3, 16, 17]), 3)
    array([-11,  -9,  -8,   0,   3,   9,  10])
    """
    size = np.abs(offset)
    far = np.ceil(np.log2(np.maximum(size, EXACT_OFFSETS) / EXACT_OFFSETS)).astype(np.int64)
    step = np.where(size <= EXACT_OFFSETS, size, EXACT_OFFSETS + np.minimum(far, ranges))
    return np.sign(offset) * step


def offset_class(offset: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """The steps numbered from 0."""
    return offset_steps(offset, _RANGES) + EXACT_OFFSETS + _RANGES


def token_kinds(sinks: Bool[np.ndarray, " T"], *, causal: bool) -> Int[np.ndarray, " T"]:
    """The kind of every token of a text; none is `LAST` in a causal layer, which cannot know it.

    >>> token_kinds(np.array([True, False, False, False, True]), causal=False)
    array([1, 3, 0, 4, 2])
    """
    kind = np.where(sinks, CLOSING, ORDINARY)
    if len(kind) and sinks[0]:
        kind[0] = OPENING
    content = np.flatnonzero(~sinks)
    if len(content):
        if not causal:
            kind[content[-1]] = LAST
        kind[content[0]] = FIRST
    return kind


def cell_classes(
    query: Int[np.ndarray, "*any"], key: Int[np.ndarray, "*any"], offset: Int[np.ndarray, "*any"]
) -> Int[np.ndarray, "*any"]:
    """The class of cells, below `CELL_CLASSES`.

    Args:
        query: kind of each cell's query; `key`: kind of its key, as `token_kinds` numbers them.
        offset: key minus query position.
    """
    ranged = offset_class(offset)
    near = np.where(np.abs(offset) <= EXACT_OFFSETS, offset + EXACT_OFFSETS, END_CLASSES - 1)
    sink = OFFSET_CLASSES + key - OPENING
    end = OFFSET_CLASSES + 2 + (key - FIRST) * END_CLASSES + near
    of_key = np.where(key == ORDINARY, ranged, np.where(key <= CLOSING, sink, end))
    return np.where(query <= CLOSING, query, ORDINARY) * KEY_CLASSES + of_key


@dataclass(frozen=True)
class Profile:
    """Sums of attention and counts of cells, by fold, head and class; counts may be of all heads.

    Attributes:
        total: attention summed, shape `(F, H, C)`.
        count: cells counted, shape `(F, H, C)` or `(F, 1, C)`.
    """

    total: Float[np.ndarray, "F H C"]
    count: Float[np.ndarray, "F _ C"]

    def table(self, without: int | None = None) -> Float[np.ndarray, "H C"]:
        """Mean attention by class, estimated on all folds but one; 0 where nothing was seen."""
        total, count = self.total.sum(0), self.count.sum(0)
        if without is not None:
            total, count = total - self.total[without], count - self.count[without]
        # Differences of sums leave rounding of the order 1e-16 behind, which must not become a row.
        return np.where(count > 0.5, total / np.maximum(count, 1), 0.0).clip(0)


@dataclass(frozen=True)
class ProfileCells:
    """The classes of the cells of the sampled rows of a batch.

    Attributes:
        query: flat index `b * T + query` of each row, shape `(R,)`.
        text: the text of each row, `(R,)`.
        slot: `b * S + s` of each row, the `s`-th sampled one of its text, `(R,)`.
        cell: class of each cell, `(R, T)`; `CELL_CLASSES` for keys that are not visible.
    """

    query: Int[np.ndarray, " R"]
    text: Int[np.ndarray, " R"]
    slot: Int[np.ndarray, " R"]
    cell: UInt16[np.ndarray, "R T"]


def profile_cells(
    lengths: Int[np.ndarray, " B"],
    sampled: Bool[np.ndarray, "B T"],
    sinks: Bool[np.ndarray, "B T"],
    visibility: Visibility,
) -> ProfileCells:
    """Classify the cells of every sampled row of a batch."""
    width = sampled.shape[1]
    index = np.arange(width)
    # Of every kind of query and key, and every difference of two positions.
    kinds, offsets = np.arange(LAST + 1), np.arange(1 - width, width)
    known = cell_classes(*np.broadcast_arrays(kinds[:, None, None], kinds[:, None], offsets))
    rows, texts, cells = [], [], []
    for b, length in enumerate(lengths):
        query = np.flatnonzero(sampled[b])
        kind = np.zeros(width, np.int64)
        kind[:length] = token_kinds(sinks[b, :length], causal=visibility.causal)
        far = index[None, :] - query[:, None] + width - 1
        cell = known[kind[query][:, None], kind[None, :], far]
        seen = visibility.admits(query[:, None], index[None, :], width)
        seen &= index[None, :] < length
        rows.append(b * width + query)
        texts.append(np.full(len(query), b))
        cells.append(np.where(seen, cell, HIDDEN).astype(np.uint16))
    most = int(sampled.sum(axis=1).max())
    slots = [b * most + np.arange(len(row)) for b, row in enumerate(rows)]
    return ProfileCells(*map(np.concatenate, (rows, texts, slots, cells)))
