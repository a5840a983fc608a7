"""A layer's attention where its matrix never exists as a whole: single cells and a few rows.

What the loops look up are the cells of all supports, those of every query on the sinks and on the
last key, and the sampled rows as wholes: memory grows with the length of a text, not its square.
Where the fused kernel computes the layer, it tells each row's log-sum-exp, and single cells follow
from queries and keys. Elsewhere (soft caps, sinks inside the softmax, position biases) the matrix
is computed a block of rows at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from headscribe.core.memory import give_back
from headscribe.models.calls import AttentionCall
from headscribe.scoring.compiled.cells import find_cells, read_cells, take_cells
from headscribe.scoring.compiled.reading import READINGS, read_rows
from headscribe.scoring.layer import Batch, Places
from headscribe.scoring.plan import BatchPlan
from headscribe.scoring.threads import share

BLOCK_CELLS = 1 << 23
"""Cells of a block of rows of all heads: 32 MB."""

FIRST_ROWS = 16

_PLACED = 1 << 18

CELL_COST = 2.0
"""What a single cell costs, in cells of the matrix. Measured: `docs/decisions/scoring.md`."""


@dataclass(frozen=True)
class CellPlaces(Places):
    """Where things stand in a head's values: `R` whole rows of `T`, then `N` cells.

    Attributes:
        whole: the rows that are there as wholes, `b * T + query`, `(R,)`: the sampled ones and, in
            causal layers, the first ones, whose few keys a pattern often predicts exactly.
        row_of: which of them each query is, -1 for none, `(B * T,)`.
        offset: where each query's cells begin, `(B * T + 1,)`; `column`: the key of each, `(N,)`.
        special: each query's cells on the last key and on the sinks, `(B * T, 1 + most sinks)`.
        sink_of: where each text's sinks begin in a list of all, `(B + 1,)`.
    """

    whole: Int[np.ndarray, " R"]
    row_of: Int[np.ndarray, " tokens"]
    offset: Int[np.ndarray, " tokens_1"]
    column: Int[np.ndarray, " N"]
    special: Int[np.ndarray, "tokens most"]
    sink_of: Int[np.ndarray, " texts_1"]

    def pays(self, plan: BatchPlan) -> bool:
        """Whether single cells cost less than the matrix."""
        return self.size * CELL_COST < int((plan.lengths**2).sum())

    @property
    def size(self) -> int:
        """Number of values of a head."""
        return self.whole.size * self._width + self.column.size

    @property
    def _width(self) -> int:
        return self.row_of.size // (self.sink_of.size - 1)

    @classmethod
    def of(cls, batch: Batch, plan: BatchPlan) -> "CellPlaces":
        """Find them."""
        width, number = plan.width, len(plan.lengths)
        whole = batch.sampled.query
        if plan.visibility.causal:
            first = np.arange(min(FIRST_ROWS, int(plan.lengths.min())))
            early = (np.arange(number)[:, None] * width + first).ravel()
            whole = np.union1d(whole, early)
        row_of = np.full(number * width, -1)
        row_of[whole] = np.arange(len(whole))
        text, sink = np.nonzero(plan.sinks)
        sink_of = np.searchsorted(text, np.arange(number + 1))
        special = np.full((number * width, 1 + int(np.diff(sink_of).max(initial=0))), -1)
        for b, length in enumerate(plan.lengths.tolist()):
            query = b * width + np.arange(length)
            keys = np.append(length - 1, sink[sink_of[b] : sink_of[b + 1]])
            special[query, : len(keys)] = query[:, None] * width + keys
        predicted = batch.layout.place[batch.layout.weight > 0].astype(np.int64)
        cells = np.unique(np.append(predicted, special[special >= 0]))
        cells = cells[row_of[cells // width] < 0]
        offset = np.searchsorted(cells, np.arange(number * width + 1) * width)

        def place(cell: Int[np.ndarray, "*any"]) -> Int[np.ndarray, "*any"]:
            row, column = row_of[cell // width], cell % width
            single = len(whole) * width + np.searchsorted(cells, cell)
            return np.where(row >= 0, row * width + column, single)

        # Of long texts there are millions: some at a time.
        index = np.zeros(len(batch.layout.place), np.uint32)
        for begin in range(0, len(index), _PLACED):
            part = slice(begin, begin + _PLACED)
            real = batch.layout.weight[part] > 0
            index[part][real] = place(batch.layout.place[part][real].astype(np.int64))
        special_at = np.where(special >= 0, place(np.maximum(special, 0)), 0)
        if len(index) > _PLACED:
            give_back()
        return cls(
            index, row_of[batch.sampled.query] * width, whole, row_of,
            offset, cells % width, special_at, sink_of,
        )  # fmt: skip


@dataclass(frozen=True)
class CellValues:
    """Probabilities from queries, keys and log-sum-exps.

    Attributes:
        query: `(B, T, H, D)`; `key`: `(B, T, K, D)`, float32.
        normaliser: the log-sum-exp of each row, `(B, H, T)`.
        mask: what is added to the scores, of no text where nothing is.
        causal: later keys are hidden; `scaling`: what the scores are multiplied with.
        total: 1 for each row, NaN where it is not finite, `(B, H, T)`.
    """

    batch: Batch
    places: CellPlaces
    query: Float[np.ndarray, "B T H D"]
    key: Float[np.ndarray, "B T K D"]
    normaliser: Float[np.ndarray, "B H T"]
    mask: Float[np.ndarray, "b h t k"]
    causal: bool
    scaling: float
    total: Float[np.ndarray, "B H T"]

    @classmethod
    def of(
        cls, call: AttentionCall, normaliser: torch.Tensor, batch: Batch, places: CellPlaces
    ) -> "CellValues":
        """What a layer computed with the fused kernel."""
        query, key = (
            part.transpose(1, 2).to(torch.float32).contiguous().numpy()
            for part in (call.query, call.key)
        )
        mask = torch.zeros(0, 1, 1, 1) if call.mask is None else call.mask
        # What is the same for all texts, heads or queries is handed over once.
        once = [
            slice(0, 1) if n and stride == 0 else slice(None)
            for n, stride in zip(mask.shape[:-1], mask.stride(), strict=False)
        ]
        mask = mask[tuple(once)]
        total = torch.where(normaliser.isfinite(), 1.0, torch.nan)
        return cls(
            batch, places, query, key, normaliser.contiguous().numpy(),
            mask.to(torch.float32).contiguous().numpy(), call.is_causal, call.scaling,
            total.contiguous().numpy(),
        )  # fmt: skip

    @property
    def heads(self) -> int:
        """Heads of the layer."""
        return self.query.shape[2]

    def read(
        self, head: int, real: Float[np.ndarray, "readings tokens"]
    ) -> Float[np.ndarray, " n"]:
        """A head's values, and what is to be known of its rows."""
        places, batch = self.places, self.batch
        values = np.empty(places.size, np.float32)
        find_cells(
            self.query, self.key, self.normaliser, self.mask, self.causal,
            np.float32(self.scaling), head, batch.lengths, places.whole, places.offset,
            places.column, values,
        )  # fmt: skip
        read_cells(
            values, np.ascontiguousarray(self.total[:, head]), batch.lengths, places.whole,
            places.sink_of, places.special, batch.content, real,
        )  # fmt: skip
        return values


@dataclass(frozen=True)
class BlockValues:
    """Probabilities taken from blocks of rows of the matrix.

    Attributes:
        values: of every head, `(H, R * T + N)`; `real`: what is to be known of its rows.
    """

    places: CellPlaces
    values: Float[np.ndarray, "H n"]
    real: Float[np.ndarray, "H readings tokens"]

    @classmethod
    def of(
        cls,
        call: AttentionCall,
        batch: Batch,
        places: CellPlaces,
        segments: tuple[Int[np.ndarray, " texts_1"], Int[np.ndarray, "n 3"]],
    ) -> "BlockValues":
        """Compute the matrix block by block."""
        texts, heads, width, _ = call.query.shape
        values = np.empty((heads, places.size), np.float32)
        real = np.zeros((heads, READINGS, texts * width), np.float32)
        step = max(1, BLOCK_CELLS // (texts * heads * width))
        for begin in range(0, width, step):
            block = call.rows(begin, min(begin + step, width)).float().contiguous().cpu().numpy()

            def work(mine: Iterator[int], begin: int = begin, block: np.ndarray = block) -> None:
                for head in mine:
                    read_rows(block, head, begin, batch.lengths, *segments, real[head])
                    take_cells(
                        block, head, begin, batch.lengths, places.row_of, len(places.whole),
                        places.offset, places.column, values[head],
                    )  # fmt: skip

            share(heads, work)
        return cls(places, values, real)

    @property
    def heads(self) -> int:
        """Heads of the layer."""
        return len(self.values)

    def read(
        self, head: int, real: Float[np.ndarray, "readings tokens"]
    ) -> Float[np.ndarray, " n"]:
        """A head's values, and what is to be known of its rows."""
        real[:] = self.real[head]
        return self.values[head]
