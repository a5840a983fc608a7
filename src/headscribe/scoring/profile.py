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

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.metrics import VIEWS, View
from headscribe.core.visibility import Visibility
from headscribe.scoring.kernels import Readings, score_whole_rows
from headscribe.scoring.plan import BatchPlan

EXACT_OFFSETS = 8
_RANGES = 12  # doubling ranges beyond: up to 8 * 2**12 tokens away, then one class
OFFSET_CLASSES = 2 * (EXACT_OFFSETS + _RANGES) + 1
END_CLASSES = 2 * EXACT_OFFSETS + 2
KEY_CLASSES = OFFSET_CLASSES + 2 + 2 * END_CLASSES
QUERY_KINDS = 3
CELL_CLASSES = QUERY_KINDS * KEY_CLASSES
_HIDDEN = CELL_CLASSES
_PIECE_CELLS = 8192
"""Cells that are compared at a time, so that temporaries stay in the processor's cache."""

ORDINARY, OPENING, CLOSING, FIRST, LAST = range(5)
"""Kinds of token: ordinary; a sink that opens the text, another sink; the first and the last token
that is no sink."""


def offset_class(offset: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """Number the offsets: exact up to 8, then (8, 16], (16, 32], ...; 0 stands in the middle."""
    size = np.abs(offset)
    far = np.ceil(np.log2(np.maximum(size, EXACT_OFFSETS) / EXACT_OFFSETS)).astype(int)
    step = np.where(size <= EXACT_OFFSETS, size, EXACT_OFFSETS + np.minimum(far, _RANGES))
    return np.sign(offset) * step + EXACT_OFFSETS + _RANGES


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
        row: flat index `b * T + query` of each row, shape `(R,)`.
        text: the text of each row, `(R,)`.
        slot: `b * S + s` of each row, the `s`-th sampled one of its text, `(R,)`.
        cell: class of each cell, `(R, T)`; `CELL_CLASSES` for keys that are not visible.
    """

    row: Int[Tensor, " R"]
    text: Int[Tensor, " R"]
    slot: Int[Tensor, " R"]
    cell: Int[Tensor, "R T"]

    def pieces(self) -> Iterator["ProfileCells"]:
        """The rows in pieces that a cache holds."""
        rows = max(1, _PIECE_CELLS // self.cell.shape[1])
        for start in range(0, len(self.row), rows):
            part = slice(start, start + rows)
            yield ProfileCells(self.row[part], self.text[part], self.slot[part], self.cell[part])


def profile_cells(
    lengths: Int[np.ndarray, " B"],
    sampled: Bool[np.ndarray, "B T"],
    sinks: Bool[np.ndarray, "B T"],
    visibility: Visibility,
    device: torch.device,
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
        cells.append(np.where(seen, cell, _HIDDEN))
    most = int(sampled.sum(axis=1).max())
    slots = [b * most + np.arange(len(row)) for b, row in enumerate(rows)]
    return ProfileCells(
        torch.from_numpy(np.concatenate(rows)).to(device),
        torch.from_numpy(np.concatenate(texts)).to(device),
        torch.from_numpy(np.concatenate(slots)).to(device),
        torch.from_numpy(np.concatenate(cells)).to(device),
    )


def class_sums(
    attention: Float[Tensor, "H R T"], cells: ProfileCells, fold: Int[Tensor, " R"], folds: int
) -> tuple[Float[Tensor, "F H C"], Float[Tensor, "F C"]]:
    """Attention summed, and cells counted, by fold and cell class."""
    heads = attention.shape[0]
    index = (cells.cell + (fold * (CELL_CLASSES + 1))[:, None]).reshape(-1)
    size = folds * (CELL_CLASSES + 1)
    total = torch.zeros((heads, size), dtype=torch.float64, device=attention.device)
    total.index_add_(1, index, attention.reshape(heads, -1).to(torch.float64))
    count = torch.bincount(index, minlength=size).to(torch.float64)
    total = total.reshape(heads, folds, -1)[:, :, :CELL_CLASSES].transpose(0, 1)
    return total, count.reshape(folds, -1)[:, :CELL_CLASSES]


def predicted_rows(
    table: Float[Tensor, "F H C"], cells: ProfileCells, fold: Int[Tensor, " R"]
) -> Float[Tensor, "H R T"]:
    """The profile's rows, normalised; uniform over the visible keys where it knows nothing."""
    heads = table.shape[1]
    padded = (
        torch.nn.functional.pad(table.to(torch.float32), (0, 1)).transpose(0, 1).reshape(heads, -1)
    )
    index = cells.cell + (fold * (CELL_CLASSES + 1))[:, None]
    rows = padded.index_select(1, index.reshape(-1)).reshape(heads, *index.shape)
    total = rows.sum(-1, keepdim=True)
    known = total > 0
    rows /= torch.where(known, total, 1.0)
    if bool(known.all()):
        return rows
    visible = (cells.cell != _HIDDEN).to(rows.dtype)
    uniform = visible / visible.sum(-1, keepdim=True)
    return torch.where(known, rows, uniform)


def whole_rows(attention: Float[Tensor, "B H T T"], cells: ProfileCells) -> Float[Tensor, "H R T"]:
    """The real rows of the cells, for every head."""
    _, heads, width, _ = attention.shape
    head = torch.arange(heads, device=attention.device)[:, None] * width
    index = head + cells.row + cells.text * ((heads - 1) * width)
    lines = attention.reshape(-1, width).index_select(0, index.reshape(-1))
    return lines.reshape(heads, -1, width)


@dataclass(frozen=True)
class ProfileScores:
    """Overlap and distance of the profile at the sampled rows, by view; `(H, B * S)`."""

    overlap: dict[View, Float[Tensor, "H slots"]]
    jsd: dict[View, Float[Tensor, "H slots"]]


def score_profile(
    attention: Float[Tensor, "B H T T"],
    table: Float[Tensor, "F H C"],
    cells: ProfileCells,
    fold: Int[Tensor, " B"],
    plan: BatchPlan,
    readings: Readings,
) -> ProfileScores:
    """Score the profile on the sampled rows.

    Args:
        attention: the layer's attention.
        table: mean attention by cell class, by fold.
        cells: the classes of the cells of the sampled rows.
        fold: the fold of each text.
        plan: says which keys count.
        readings: mass of the real rows.
    """
    content = plan.views["content"]
    keys = content.key_counts.to(torch.float32)
    scale = readings.content.scale
    assert scale is not None
    slots = content.slots.size
    overlap, jsd = (
        {view: attention.new_zeros((attention.shape[1], slots)) for view in VIEWS} for _ in range(2)
    )
    for piece in cells.pieces():
        predicted = predicted_rows(table, piece, fold[piece.text])
        real = whole_rows(attention, piece)
        for view in VIEWS:
            if view == "content":
                keep = keys[piece.text]
                predicted = predicted * keep
                predicted /= _divisor(predicted.sum(-1, keepdim=True))
                real = real * keep
                real *= scale.index_select(1, piece.row).unsqueeze(-1)
            found = score_whole_rows(real, predicted)
            overlap[view][:, piece.slot], jsd[view][:, piece.slot] = found
    return ProfileScores(overlap, jsd)


def _divisor(total: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    return torch.where(total > 0, total, 1.0)
