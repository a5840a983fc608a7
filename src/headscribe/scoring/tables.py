"""Predicted rows laid out for the kernels: every distinct row once, grouped by support size.

Patterns repeat each other's rows: their fall-backs are the same sink, and an `_only` pattern is the
other without fall-backs. A row that several patterns predict for the same query is scored once, and
a list says which patterns use it. Rows of similar support size stand together, padded to the same
size, so that sums over supports are sums over one axis of a block that stays in the cache.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt64
from torch import Tensor

BLOCK_ENTRIES = 2048
"""Entries of a block: temporaries of all heads of a layer then stay in the processor's cache."""

BAG_ROWS = 64
"""At most so many rows are added in float32 before going on in float64."""


@dataclass(frozen=True)
class Entries:
    """Entries of all patterns on a batch, in order of (pattern, text, query, key).

    Indices are of 32 bits: of long texts there are millions, kept as long as the batch is.
    """

    patterns: int
    pattern: Int[np.ndarray, " N"]
    text: Int[np.ndarray, " N"]
    query: Int[np.ndarray, " N"]
    key: Int[np.ndarray, " N"]
    weight: Float[np.ndarray, " N"]

    def flat(self, width: int) -> Int[np.ndarray, " N"]:
        """The query of each entry in the batch, `text * width + query`, 64 bits."""
        return self.text.astype(np.int64) * width + self.query

    def where(self, keep: Bool[np.ndarray, " N"]) -> "Entries":
        """The marked entries."""
        if keep.all():
            return self
        columns = (self.pattern, self.text, self.query, self.key, self.weight)
        return Entries(self.patterns, *(column[keep] for column in columns))


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a table, whose supports are padded to `k` entries.

    Attributes:
        start: the first row; `stop`: the one after the last.
        text: the text of each row, shape `(r,)`.
        cell: `query * T + key` of each entry, shape `(k, r)`.
        weight: predicted attention, `(k, r)`; 0 in padding.
        weight_plogp: `weight * log2(weight)`, `(k, r)`.
        keep: 0 in padding, else 1, `(k, r)`; None if nothing is padded.
    """

    start: int
    stop: int
    text: Int[Tensor, " r"]
    cell: Int[Tensor, "k r"]
    weight: Float[Tensor, "k r"]
    weight_plogp: Float[Tensor, "k r"]
    keep: Float[Tensor, "k r"] | None


@dataclass(frozen=True)
class Bags:
    """Which rows of a table each (pattern, text) sums, in bags of at most `BAG_ROWS`.

    Attributes:
        row: rows of the table, bag after bag, shape `(I,)`.
        offset: where each bag begins, `(G,)`.
        pair: `pattern * B + text` of each bag, `(G,)`.
        pairs: number of (pattern, text) pairs.
    """

    row: Int[Tensor, " I"]
    offset: Int[Tensor, " G"]
    pair: Int[Tensor, " G"]
    pairs: int

    def sum(self, values: Float[Tensor, "U C"]) -> Float[Tensor, "pairs C"]:
        """Sum the values of every pair's rows, in float64."""
        total = torch.zeros(
            (self.pairs, values.shape[1]), dtype=torch.float64, device=values.device
        )
        if len(self.row) == 0:
            return total
        parts = torch.nn.functional.embedding_bag(self.row, values, self.offset, mode="sum")
        return total.index_add_(0, self.pair, parts.to(torch.float64))


@dataclass(frozen=True)
class RowTable:
    """Every distinct predicted row of a batch, `U` of them.

    Attributes:
        query: flat index `b * T + query` of each row, shape `(U,)`.
        blocks: the entries.
        every: all rows of each (pattern, text).
        sampled: those of them that are sampled; `every` itself where all are.
        baseline: the row of each fixed baseline at each sampled slot, `(K, B * S)`; `U` for none.
    """

    query: Int[Tensor, " U"]
    blocks: tuple[Block, ...]
    every: Bags
    sampled: Bags
    baseline: Int[Tensor, "K slots"]


def support_sizes(longest: int) -> Int[np.ndarray, " n"]:
    """The sizes that supports are padded to: 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    sizes = [1, 2, 3]
    while sizes[-1] < longest:
        sizes.append(2 * sizes[-2])
    return np.array(sizes)


def row_table(
    entries: Entries,
    width: int,
    slots: Int[np.ndarray, "B S"],
    fixed: Int[np.ndarray, " K"],
    device: torch.device,
) -> RowTable:
    """Lay entries out.

    Args:
        entries: with weights that sum to 1 in every row.
        width: padded length of the texts.
        slots: the sampled queries of each text, -1 for none.
        fixed: which patterns are the fixed baselines.
        device: where the table is used.
    """
    batch = len(slots)
    flat = entries.flat(width)
    row = entries.pattern.astype(np.int64) * (batch * width) + flat
    start = np.flatnonzero(np.diff(row, prepend=-1))
    size = np.diff(start, append=len(row))
    hashes = row_hashes(entries, flat[start], start)
    _, chosen, where = np.unique(hashes, return_index=True, return_inverse=True)
    order = np.lexsort((flat[start[chosen]], np.searchsorted(support_sizes(width), size[chosen])))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    chosen, where = chosen[order], place[where]
    query, sizes = flat[start[chosen]], size[chosen]
    is_sampled = np.zeros(batch * width, bool)
    text, slot = np.nonzero(slots >= 0)
    is_sampled[text * width + slots[text, slot]] = True
    pair = row[start] // width
    every = _bags(where, pair, entries.patterns * batch, device)
    some = is_sampled[flat[start]]
    sampled = every if some.all() else _bags(where[some], pair[some], every.pairs, device)
    return RowTable(
        torch.from_numpy(query).to(device),
        tuple(_blocks(entries, start[chosen], sizes, width, device)),
        every,
        sampled,
        torch.from_numpy(baseline_rows(row[start], where, slots, fixed, width, len(query))).to(
            device
        ),
    )


def row_hashes(
    entries: Entries, flat: Int[np.ndarray, " R"], start: Int[np.ndarray, " R"]
) -> UInt64[np.ndarray, " R"]:
    """64 bits that tell rows apart by query, keys and weights.

    Args:
        entries: the rows, one after the other.
        flat: the query of each row, `b * T + query`; `start`: its first entry.
    """
    bits = entries.weight.astype(np.float32).view(np.uint32).astype(np.uint64)
    mixed = _mix(bits << np.uint64(32) | entries.key.astype(np.uint64))
    supports = np.add.reduceat(mixed, start) if len(start) else mixed
    return _mix(supports ^ _mix(flat.astype(np.uint64)))


def same_rows(
    entries: Entries, sampled: Bool[np.ndarray, "B T"], fixed: Int[np.ndarray, " K"]
) -> Int[np.ndarray, "2 K P"]:
    """On how many rows each pattern is one with each fixed baseline, keys and weights alike.

    Args:
        entries: what the patterns predict, rows summing to 1.
        sampled: the rows that are compared.
        fixed: which patterns are the fixed baselines.

    Returns:
        At `[:, k, p]`: the rows that pattern `p` covers; those on which it equals baseline `k`.
    """
    patterns, tokens = entries.patterns, sampled.size
    flat = entries.flat(sampled.shape[1])
    row = entries.pattern.astype(np.int64) * tokens + flat
    start = np.flatnonzero(np.diff(row, prepend=-1))
    row, flat = row[start], flat[start]
    hashes = row_hashes(entries, flat, start)
    keep = sampled.ravel()[flat]
    row, flat, hashes = row[keep], flat[keep], hashes[keep]
    pattern = row // tokens
    counts = np.zeros((2, len(fixed), patterns), np.int64)
    counts[0] = np.bincount(pattern, minlength=patterns)
    for number, k in enumerate(fixed):
        own = pattern == k
        # A baseline covers every row; 0 stands where it does not, which no hash equals but by luck.
        expected = np.zeros(tokens, np.uint64)
        expected[flat[own]] = hashes[own]
        counts[1, number] = np.bincount(pattern[expected[flat] == hashes], minlength=patterns)
    return counts


def _mix(values: np.ndarray) -> np.ndarray:
    """The finaliser of splitmix64 (Steele, Lea and Flood, 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        values ^= values >> np.uint64(shift)
        values *= np.uint64(factor)
    values ^= values >> np.uint64(31)
    return values


def _bags(
    where: Int[np.ndarray, " I"],
    pair: Int[np.ndarray, " I"],
    pairs: int,
    device: torch.device,
) -> Bags:
    first = np.flatnonzero(np.diff(pair, prepend=-1))
    rank = np.arange(len(pair)) - np.repeat(first, np.diff(first, append=len(pair)))
    offset = np.flatnonzero(rank % BAG_ROWS == 0)
    return Bags(
        torch.from_numpy(where).to(device),
        torch.from_numpy(offset).to(device),
        torch.from_numpy(pair[offset]).to(device),
        pairs,
    )


def _blocks(
    entries: Entries,
    start: Int[np.ndarray, " U"],
    size: Int[np.ndarray, " U"],
    width: int,
    device: torch.device,
) -> list[Block]:
    """Cut the rows, which stand in order of padded size, into blocks."""
    padded = support_sizes(width)
    group = np.searchsorted(padded, size)
    blocks = []
    for g in np.unique(group):
        first, last = np.searchsorted(group, [g, g + 1])
        step = max(1, BLOCK_ENTRIES // int(padded[g]))
        for begin in range(int(first), int(last), step):
            end = min(begin + step, int(last))
            blocks.append(_block(entries, start[begin:end], size[begin:end], begin, width, device))
    return blocks


def _block(
    entries: Entries,
    start: Int[np.ndarray, " r"],
    size: Int[np.ndarray, " r"],
    begin: int,
    width: int,
    device: torch.device,
) -> Block:
    step = np.arange(size.max())[:, None]
    real = step < size
    index = np.where(real, start + step, start)
    weight = np.where(real, entries.weight[index], 0.0)
    weight_plogp = weight * np.log2(np.where(real, weight, 1.0))
    cell = entries.query[index].astype(np.int64) * width + entries.key[index]
    keep = None if real.all() else torch.from_numpy(real.astype(np.float32)).to(device)
    return Block(
        begin,
        begin + len(size),
        torch.from_numpy(entries.text[start].astype(np.int64)).to(device),
        torch.from_numpy(cell).to(device),
        torch.from_numpy(weight.astype(np.float32)).to(device),
        torch.from_numpy(weight_plogp.astype(np.float32)).to(device),
        keep,
    )


def baseline_rows(
    row: Int[np.ndarray, " R"],
    where: Int[np.ndarray, " R"],
    slots: Int[np.ndarray, "B S"],
    fixed: Int[np.ndarray, " K"],
    width: int,
    nothing: int,
) -> Int[np.ndarray, "K slots"]:
    """The row of each fixed baseline at each sampled slot, of a table in which `row` is `where`."""
    batch = len(slots)
    text = np.arange(batch)[:, None]
    wanted = fixed[:, None, None] * (batch * width) + text * width + np.maximum(slots, 0)
    found = np.searchsorted(row, wanted)
    found = np.minimum(found, max(len(row) - 1, 0))
    if len(row) == 0:
        return np.full((len(fixed), slots.size), nothing)
    known = (row[found] == wanted) & (slots >= 0)
    return np.where(known, where[found], nothing).reshape(len(fixed), -1)
