"""What all patterns predict of a batch, entry by entry, and its rows told apart.

Patterns repeat each other's rows: their fall-backs are the same sink, and an `_only` pattern is the
other without fall-backs. Rows of the same query, keys and weights are one row.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64


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
class EntryRows:
    """The rows of some entries as they come, pattern by pattern.

    Attributes:
        row: `pattern * B * T + flat` of each, ascending.
        flat: its query in the batch, `text * T + query`.
        pair: `pattern * B + text`.
    """

    entries: Entries
    row: Int[np.ndarray, " R"]
    flat: Int[np.ndarray, " R"]
    start: Int[np.ndarray, " R"]
    size: Int[np.ndarray, " R"]
    pair: Int[np.ndarray, " R"]

    @classmethod
    def of(cls, entries: Entries, batch: int, width: int) -> "EntryRows":
        """The rows of `batch` texts, padded to `width`."""
        flat = entries.flat(width)
        row = entries.pattern.astype(np.int64) * (batch * width) + flat
        start = np.flatnonzero(np.diff(row, prepend=-1))
        size = np.diff(start, append=len(row))
        return cls(entries, row[start], flat[start], start, size, row[start] // width)

    @property
    def qlogq(self) -> Float[np.ndarray, " R"]:
        """Sum of `q log2 q` of each row."""
        weight = self.entries.weight
        return np.add.reduceat(weight * np.log2(weight), self.start) if len(weight) else weight

    @cached_property
    def hashes(self) -> UInt64[np.ndarray, " R"]:
        """64 bits that tell rows apart by query, keys and weights."""
        bits = self.entries.weight.astype(np.float32).view(np.uint32).astype(np.uint64)
        mixed = _mix(bits << np.uint64(32) | self.entries.key.astype(np.uint64))
        supports = np.add.reduceat(mixed, self.start) if len(self.start) else mixed
        return _mix(supports ^ _mix(self.flat.astype(np.uint64)))

    def at_slots(
        self,
        where: Int[np.ndarray, " R"],
        slots: Int[np.ndarray, "B S"],
        fixed: Int[np.ndarray, " K"],
        width: int,
    ) -> Int[np.ndarray, "K slots"]:
        """Where the row of each fixed baseline at each sampled slot is, -1 for none.

        Row `i` is at `where[i]`.
        """
        if len(self.row) == 0:
            return np.full((len(fixed), slots.size), -1)
        text = np.arange(len(slots))[:, None]
        wanted = fixed[:, None, None] * (slots.shape[0] * width) + text * width
        wanted = wanted + np.maximum(slots, 0)
        found = np.minimum(np.searchsorted(self.row, wanted), len(self.row) - 1)
        known = (self.row[found] == wanted) & (slots >= 0)
        return np.where(known, where[found], -1).reshape(len(fixed), -1)


def same_rows(
    entries: Entries, sampled: Bool[np.ndarray, "B T"], fixed: Int[np.ndarray, " K"]
) -> Int[np.ndarray, "2 K P"]:
    """On how many rows each pattern is one with each fixed baseline, keys and weights alike.

    Args:
        entries: what the patterns predict, rows summing to 1.
        fixed: which patterns are the fixed baselines.

    Returns:
        At `[:, k, p]`: the rows that pattern `p` covers; those on which it equals baseline `k`.
    """
    patterns, tokens = entries.patterns, sampled.size
    rows = EntryRows.of(entries, *sampled.shape)
    keep = sampled.ravel()[rows.flat]
    flat, hashes, pattern = rows.flat[keep], rows.hashes[keep], rows.row[keep] // tokens
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
