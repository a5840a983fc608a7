"""Load a program and call it on a passage."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscribe.sandbox.inside.failures import (
    PROGRAM_FILE,
    Failure,
    OutputTooLargeError,
    from_exception,
)
from headscribe.sandbox.inside.view import Passage

PRINTED_CHARACTERS = 65_536
"""A program that prints more fails; what it prints goes nowhere."""

Attention = Callable[[Passage], Any]


def load(source: str) -> Attention | Failure:
    """Run the program's text and return its function `attention`.

    `np` (NumPy) and `Passage` (for annotations) are defined beforehand.
    """
    namespace: dict[str, Any] = {"__name__": "program", "np": np, "Passage": Passage}
    try:
        exec(compile(source, PROGRAM_FILE, "exec", dont_inherit=True), namespace)  # noqa: S102
    except BaseException as error:  # noqa: BLE001 - the program may raise anything
        return from_exception(error)
    attention = namespace.get("attention")
    if not callable(attention):
        return Failure("exception", "expected the program to define `attention(p)`, got none")
    return attention


def call(attention: Attention, passage: Passage) -> NDArray[np.float32] | Failure:
    """The program's matrix for a passage, `(T, T)`, float32; its values are not judged yet."""
    try:
        with np.errstate(all="ignore"):
            value = attention(passage)
            matrix = np.asarray(value)
            if matrix.dtype.kind not in "biuf":
                of = f" of {matrix.dtype}" if isinstance(value, np.ndarray) else ""
                said = f"expected an array of numbers, got {type(value).__name__}{of}"
                return Failure("shape", said)
            if matrix.shape != (len(passage), len(passage)):
                said = f"expected shape {(len(passage), len(passage))}, got {matrix.shape}"
                return Failure("shape", said)
            return np.ascontiguousarray(matrix, np.float32)
    except BaseException as error:  # noqa: BLE001 - the program may raise anything
        return from_exception(error)


def judged(matrix: NDArray[np.float32]) -> NDArray[np.float32] | Failure:
    """The matrix, or why it is no table of weights: every entry finite and at least 0."""
    if not np.isfinite(matrix).all():
        query, key = np.argwhere(~np.isfinite(matrix))[0]
        return Failure("not_finite", f"the weight of query {query}, key {key} is NaN or infinite")
    if (matrix < 0).any():
        query, key = np.argwhere(matrix < 0)[0]
        said = f"the weight of query {query}, key {key} is {matrix[query, key]:.4g}"
        return Failure("negative", said)
    return matrix


class Discarded(io.TextIOBase):
    """A standard output that counts what is printed and drops it."""

    def __init__(self) -> None:
        super().__init__()
        self._left = PRINTED_CHARACTERS

    def writable(self) -> bool:
        """True: it takes text."""
        return True

    def write(self, text: str, /) -> int:
        """Count the characters.

        Raises:
            OutputTooLargeError: more than `PRINTED_CHARACTERS` in all.
        """
        self._left -= len(text)
        if self._left < 0:
            raise OutputTooLargeError(f"printed more than {PRINTED_CHARACTERS} characters")
        return len(text)
