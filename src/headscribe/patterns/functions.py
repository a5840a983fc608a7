"""Patterns that are a Python function of one's own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from headscribe.core.errors import UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.core.visible import visible_line
from headscribe.patterns.contract import Family
from headscribe.patterns.relational import check_name
from headscribe.text.passages import Passage


@dataclass(frozen=True)
class FunctionPattern:
    """A function `passage -> (T, T)` weights of at least 0; fulfils `contract.Pattern`.

    Each row is restricted to visible keys and normalised; a row of zeros stays uncovered. The
    function runs in this process and may do anything: it is for those who wrote it.

    Attributes:
        function: the definition, asked once for every passage.
        needs: the word fields that it reads.
        looks_ahead: row `i` may depend on tokens after `i`; nobody can tell that from outside, but
            that it may where it reads what annotators say, who read whole sentences.
    """

    name: str
    sentence: str
    source: str
    family: Family
    function: Callable[[Passage], ArrayLike]
    needs: frozenset[str] = frozenset()
    looks_ahead: bool = True
    mirror: str | None = None

    needs_later_keys: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_name(self.name)
        object.__setattr__(self, "looks_ahead", self.looks_ahead or bool(self.needs))

    def __repr__(self) -> str:
        return f"<pattern {self.name}: {self.sentence}>"

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """Ask the function and keep what is visible.

        Raises:
            UsageError: it gives no table `(T, T)` of finite weights of at least 0.
        """
        wanted = f"text {passage.text_id}: pattern {self.name} expected"
        try:
            given = self.function(passage)
        except Exception as error:
            said = visible_line(f"{type(error).__name__}: {error}", 200)
            raise UsageError(
                f"text {passage.text_id}: pattern {self.name} fails: {said}"
            ) from error
        try:
            matrix = np.asarray(given, np.float64)
        except (TypeError, ValueError) as error:
            raise UsageError(f"{wanted} a table of numbers, got {error}") from error
        if matrix.shape != (len(passage), len(passage)):
            raise UsageError(f"{wanted} shape {(len(passage),) * 2}, got {matrix.shape}")
        if not np.isfinite(matrix).all() or (matrix < 0).any():
            query, key = np.argwhere(~np.isfinite(matrix) | (matrix < 0))[0]
            raise UsageError(
                f"{wanted} finite weights of at least 0, got {matrix[query, key]:g} for query "
                f"{query}, key {key}"
            )
        return Rows.from_dense(matrix).visible(visibility)
