"""Predicted attention in compressed sparse rows."""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from headscribe.core.arrays import Attention, PairFlags, TokenFlags
from headscribe.core.errors import UsageError
from headscribe.core.visibility import Visibility

RowPolicy = Literal["exclude", "sink", "self", "uniform"]
"""What becomes of a row that a pattern does not cover: not scored, or a fixed row instead."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Predicted attention of one passage, row by row: for each query some keys and their weights.

    Weights are positive and the weights of each covered row sum to 1; a row without any entry is
    uncovered. Within a row the keys ascend and none occurs twice. Build one with `from_cells` or
    `from_dense`, which see to that.

    Attributes:
        query_ptr: row `i` holds entries `query_ptr[i]:query_ptr[i + 1]`, shape `(T + 1,)`.
        key: the key of each entry.
        weight: the weight of each entry, in (0, 1].
    """

    query_ptr: Int[np.ndarray, " T_ends"]
    key: Int[np.ndarray, " nnz"]
    weight: Float[np.ndarray, " nnz"]

    @classmethod
    def from_cells(
        cls,
        query: Int[np.ndarray, " n"],
        key: Int[np.ndarray, " n"],
        length: int,
        weight: Float[np.ndarray, " n"] | None = None,
    ) -> "Rows":
        """Make rows of (query, key) cells in any order; weights (default 1) are normalised by row.

        Cells that occur twice are added; cells of weight 0 are dropped.

        Raises:
            UsageError: an index outside `0..length-1`, or a weight that is negative or not finite.
        """
        query, key = np.asarray(query, np.int64).ravel(), np.asarray(key, np.int64).ravel()
        value = np.ones(len(query)) if weight is None else np.asarray(weight, np.float64).ravel()
        if len(query) and (
            min(query.min(), key.min()) < 0 or max(query.max(), key.max()) >= length
        ):
            raise UsageError(f"expected queries and keys within 0..{length - 1}, got one outside")
        if not (np.isfinite(value).all() and (value >= 0).all()):
            raise UsageError("expected finite weights of at least 0, got a negative or NaN weight")
        cell, where = np.unique(query * length + key, return_inverse=True)
        value = np.bincount(where, value, minlength=len(cell)).astype(np.float64)
        cell, value = cell[value > 0], value[value > 0]
        row = cell // max(length, 1)
        total = np.bincount(row, value, minlength=length)
        pointer = np.zeros(length + 1, np.int64)
        np.cumsum(np.bincount(row, minlength=length), out=pointer[1:])
        return cls(pointer, cell % max(length, 1), (value / total[row]).astype(np.float32))

    @classmethod
    def from_dense(cls, matrix: Num[np.ndarray, "..."]) -> "Rows":
        """Make rows of a matrix of non-negative scores; rows that sum to 0 stay uncovered.

        Raises:
            UsageError: `matrix` is not square, or an entry is negative or not finite.
        """
        matrix = np.asarray(matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise UsageError(f"expected a square (T, T) matrix, got shape {matrix.shape}")
        if not np.isfinite(matrix.astype(np.float64)).all():
            raise UsageError("expected finite weights of at least 0, got NaN or infinity")
        query, key = np.nonzero(matrix)
        return cls.from_cells(query, key, len(matrix), matrix[query, key].astype(np.float64))

    @classmethod
    def empty(cls, length: int) -> "Rows":
        """Rows that cover nothing."""
        nothing = np.zeros(0, np.int64)
        return cls.from_cells(nothing, nothing, length)

    @property
    def length(self) -> int:
        """Number of rows, `T`."""
        return len(self.query_ptr) - 1

    @property
    def covered(self) -> TokenFlags:
        """Whether the pattern says something about each row, shape `(T,)`."""
        flags: Bool[np.ndarray, " T"] = np.diff(self.query_ptr) > 0
        return flags

    @property
    def query(self) -> Int[np.ndarray, " nnz"]:
        """The query of each entry."""
        return np.repeat(np.arange(self.length), np.diff(self.query_ptr))

    def to_dense(self) -> Attention:
        """The matrix, shape `(T, T)`, float32; uncovered rows are 0."""
        matrix = np.zeros((self.length, self.length), np.float32)
        matrix[self.query, self.key] = self.weight
        return matrix

    def visible(self, visibility: Visibility) -> "Rows":
        """Drop the keys that the layer cannot see and renormalise what is left of each row."""
        query = self.query
        keep = visibility.admits(query, self.key, self.length)
        if keep.all():
            return self
        return self.from_cells(query[keep], self.key[keep], self.length, self.weight[keep])

    def only(self, keep: TokenFlags) -> "Rows":
        """Keep the rows that `keep` marks; the others become uncovered."""
        query = self.query
        entry = np.asarray(keep, bool)[query]
        return self.from_cells(query[entry], self.key[entry], self.length, self.weight[entry])

    def otherwise(self, other: "Rows") -> "Rows":
        """These rows, and where they are uncovered those of `other`."""
        if other.length != self.length:
            raise UsageError(f"expected rows of length {self.length}, got {other.length}")
        query = other.query
        entry = ~self.covered[query]
        return self.from_cells(
            np.concatenate([self.query, query[entry]]),
            np.concatenate([self.key, other.key[entry]]),
            self.length,
            np.concatenate([self.weight, other.weight[entry]]),
        )

    def filled(self, policy: str, visibility: Visibility) -> "Rows":
        """Apply a row policy to the uncovered rows.

        `exclude` leaves them uncovered; `sink` puts all weight on the first visible key, `self` on
        the query itself, `uniform` spreads it over the visible keys.
        """
        if policy not in get_args(RowPolicy):
            raise UsageError(f"expected a row policy of {get_args(RowPolicy)}, got {policy!r}")
        if policy == "exclude" or self.covered.all():
            return self
        row = np.flatnonzero(~self.covered)
        if policy == "uniform":
            mask: PairFlags = visibility.dense(self.length)
            query, key = np.nonzero(mask & ~self.covered[:, None])
        elif policy == "self":
            query, key = row, row
        else:
            query, key = row, visibility.first(self.length)[row]
        return self.otherwise(self.from_cells(query, key, self.length))

    def prefix(self, length: int) -> "Rows":
        """The first `length` rows, restricted to the first `length` keys without renormalising."""
        end = self.query_ptr[length]
        keep = self.key[:end] < length
        pointer = np.concatenate([[0], np.cumsum(keep)])[self.query_ptr[: length + 1]]
        return type(self)(pointer, self.key[:end][keep], self.weight[:end][keep])
