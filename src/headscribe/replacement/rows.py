"""From programs to rows that a layer can multiply with its values: checked and dense."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscribe.core.errors import HeadscribeError, UsageError
from headscribe.core.heads import HeadId
from headscribe.core.rows import RowPolicy, Rows
from headscribe.core.visibility import Visibility
from headscribe.replacement.plan import Program, Zero
from headscribe.text.passages import Passage

ROW_SUM_TOLERANCE = 1e-3
"""How far the sum of a covered row may be from 1."""


@dataclass(frozen=True, eq=False)
class DenseRows:
    """A program's rows for one passage.

    Attributes:
        weight: predicted attention, shape `(T, T)`, float32; 0 in uncovered rows.
        covered: the rows that replace the head's own, shape `(T,)`; None for all.
    """

    weight: Float[Tensor, "T T"]
    covered: Bool[Tensor, " T"] | None

    @property
    def bytes(self) -> int:
        """Size in memory."""
        return self.weight.numel() * self.weight.element_size()


def dense_rows(
    program: Program, policy: RowPolicy, head: HeadId, passage: Passage, visibility: Visibility
) -> DenseRows:
    """Ask a program for its rows and see that they are attention.

    Raises:
        UsageError: the program fails on the passage, or yields something else than rows of
            finite, positive weights that sum to 1 over visible keys; head and text are named.
    """
    length = len(passage)
    if isinstance(program, Zero):
        return DenseRows(torch.zeros((length, length)), None)
    where = f"head {head}, text {passage.text_id}: {program.name}"
    try:
        rows = program.predict(passage, visibility)
    except HeadscribeError as error:
        raise UsageError(f"{where} fails: {error}") from error
    _check(rows, length, visibility, where)
    rows = rows.filled(policy, visibility)
    covered = rows.covered
    return DenseRows(
        torch.from_numpy(rows.to_dense()), None if covered.all() else torch.from_numpy(covered)
    )


def _check(rows: object, length: int, visibility: Visibility, where: str) -> None:
    if not isinstance(rows, Rows):
        raise UsageError(f"{where} yields {type(rows).__name__}, expected Rows")
    if rows.length != length:
        raise UsageError(f"{where} yields {rows.length} rows, expected {length}, one a token")
    if not np.isfinite(rows.weight).all():
        raise UsageError(f"{where} yields NaN or infinity, expected weights above 0")
    if (rows.weight < 0).any():
        raise UsageError(f"{where} yields a negative weight, expected weights above 0")
    if len(rows.key) and (rows.key.min() < 0 or rows.key.max() >= length):
        raise UsageError(f"{where} yields a key outside 0..{length - 1}: no square matrix")
    query = rows.query
    hidden = np.flatnonzero(~visibility.admits(query, rows.key, length))
    if len(hidden):
        cell = f"query {query[hidden[0]]} at key {rows.key[hidden[0]]}"
        future = visibility.causal and rows.key[hidden[0]] > query[hidden[0]]
        what = "sees the future" if future else "sees what the layer's window hides"
        raise UsageError(f"{where} {what}: it attends from {cell}")
    total = np.bincount(query, rows.weight, minlength=length)[rows.covered]
    if len(total) and np.abs(total - 1).max() > ROW_SUM_TOLERANCE:
        raise UsageError(f"{where} yields a row that sums to {total.max():.4g}, expected 1")
