"""Where the pairs of a relation can lie: candidate keys for every query, found without a matrix."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int, Shaped

from headscribe.core.arrays import TokenFlags, TokenIndex
from headscribe.relations.columns import MISSING
from headscribe.relations.syntax import Node

CHUNK = 1 << 20
"""Pairs that are looked at together: the cap on working memory."""

Pairs = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]
"""Queries and keys, sorted by query, then by key."""


@dataclass(frozen=True)
class Candidates:
    """Candidate keys by query: row `i` has `order[begin[i]:end[i]]`, keys ascending.

    Attributes:
        begin: start of every row, shape `(T,)`.
        end: end of every row, not before its start.
        order: keys.
        rest: the conditions that the pairs have yet to meet.
        visible: all candidates are visible.
        ascending: `order` as a whole ascends, so that rows are intervals of it.
    """

    begin: TokenIndex
    end: TokenIndex
    order: Int[np.ndarray, " n"]
    rest: tuple[Node, ...] = ()
    visible: bool = True
    ascending: bool = False

    @property
    def size(self) -> int:
        """Number of candidate pairs."""
        return int((self.end - self.begin).sum())

    def chunks(self) -> Iterator[Pairs]:
        """Yield the pairs in order, about `CHUNK` at a time but never less than a row."""
        counts = self.end - self.begin
        total = np.cumsum(counts)
        start = 0
        while start < len(counts):
            before = int(total[start - 1]) if start else 0
            stop = max(int(np.searchsorted(total, before + CHUNK, side="right")), start + 1)
            count = counts[start:stop]
            if count.any():
                query = np.repeat(np.arange(start, stop), count)
                first = self.begin[start:stop] - (np.cumsum(count) - count)
                yield query, self.order[np.arange(len(query)) + np.repeat(first, count)]
            start = stop


def intervals(
    low: TokenIndex, high: TokenIndex, rows: TokenFlags, keys: TokenFlags, rest: tuple[Node, ...]
) -> Candidates:
    """Return, for every query of `rows`, the marked `keys` within `low..high`, both inclusive."""
    order = np.flatnonzero(keys)
    begin = np.searchsorted(order, low)
    end = np.maximum(np.searchsorted(order, high, side="right"), begin)
    return Candidates(begin, np.where(rows, end, begin), order, rest, True, True)


def join(
    query: Shaped[np.ndarray, " T"],
    key: Shaped[np.ndarray, " T"],
    rows: TokenFlags,
    keys: TokenFlags,
    rest: tuple[Node, ...],
) -> Candidates:
    """Return the pairs whose values are equal and not missing: a sort join, O(T log T)."""
    at = np.flatnonzero(keys & present(key))
    order = at[np.argsort(key[at], kind="stable")]
    values = key[order]
    begin = np.searchsorted(values, query)
    end = np.searchsorted(values, query, side="right")
    end = np.where(rows & present(query), end, begin)
    return Candidates(begin, end, order, rest, False)


def present(values: Shaped[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
    """Return where values are not missing."""
    if values.dtype.kind == "f":
        there: Bool[np.ndarray, "..."] = ~np.isnan(values)
        return there
    if values.dtype.kind == "i":
        return values != MISSING
    return np.ones(values.shape, bool)
