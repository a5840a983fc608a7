"""The profile: a head's own mean attention by position, known to nothing but positions.

For a query `i` and a key `j` the profile predicts, up to the row's normalisation, the mean
attention that the head paid in the `fit` texts to a key of the same class from a query of the same
kind. Kinds of query: ordinary, opening sink (`[CLS]`, BOS, position 0 of a causal model), closing
sink (`[SEP]`). Classes of key: opening sink, closing sink, and otherwise the offset `j - i`, exact
up to 8 and in doubling ranges beyond. It is the baseline that a program has to beat before it
explains anything about words: on recorded BERT it reaches a mean IoU of about 0.51.

Its sufficient statistics are sums, so that it can be estimated without a fold by subtraction and
merged over batches in any order.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.visibility import Visibility

EXACT_OFFSETS = 8
_RANGES = 12  # doubling ranges beyond: up to 8 * 2**12 tokens away, then one class
OFFSET_CLASSES = 2 * (EXACT_OFFSETS + _RANGES) + 1
KEY_CLASSES = OFFSET_CLASSES + 2
QUERY_KINDS = 3
CELL_CLASSES = QUERY_KINDS * KEY_CLASSES
_HIDDEN = CELL_CLASSES


def offset_class(offset: Int[np.ndarray, "..."]) -> Int[np.ndarray, "..."]:
    """Number the offsets: exact up to 8, then (8, 16], (16, 32], ...; 0 stands in the middle."""
    size = np.abs(offset)
    far = np.ceil(np.log2(np.maximum(size, EXACT_OFFSETS) / EXACT_OFFSETS)).astype(int)
    step = np.where(size <= EXACT_OFFSETS, size, EXACT_OFFSETS + np.minimum(far, _RANGES))
    return np.sign(offset) * step + EXACT_OFFSETS + _RANGES


@dataclass(frozen=True)
class ProfileCells:
    """The classes of the cells of the sampled rows of a batch.

    Attributes:
        row: flat index `b * T + query` of each row, shape `(R,)`.
        text: the text of each row, `(R,)`.
        cell: class of each cell, `(R, T)`; `CELL_CLASSES` for keys that are not visible.
    """

    row: Int[Tensor, " R"]
    text: Int[Tensor, " R"]
    cell: Int[Tensor, "R T"]


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
    offsets = offset_class(index[None, :] - index[:, None])
    visible = visibility.dense(width)
    rows, texts, cells = [], [], []
    for b, length in enumerate(lengths):
        query = np.flatnonzero(sampled[b])
        sink = np.where(sinks[b], np.where(index == 0, 1, 2), 0)
        key = np.where(sink[None, :] > 0, OFFSET_CLASSES + sink[None, :] - 1, offsets[query])
        cell = sink[query][:, None] * KEY_CLASSES + key
        seen = visible[query] & (index[None, :] < length)
        rows.append(b * width + query)
        texts.append(np.full(len(query), b))
        cells.append(np.where(seen, cell, _HIDDEN))
    return ProfileCells(
        torch.from_numpy(np.concatenate(rows)).to(device),
        torch.from_numpy(np.concatenate(texts)).to(device),
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
    visible = (cells.cell != _HIDDEN).to(rows.dtype)
    uniform = visible / visible.sum(-1, keepdim=True)
    return torch.where(total > 0, rows / torch.where(total > 0, total, 1.0), uniform)
