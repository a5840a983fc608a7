"""How a program can fail on a passage: a kind that is counted, and a message."""

from dataclasses import dataclass
from types import TracebackType
from typing import Literal, get_args

FailureKind = Literal[
    "static",
    "exception",
    "timeout",
    "memory",
    "signal",
    "output",
    "shape",
    "not_finite",
    "negative",
    "protocol",
]
"""Why a program gave no matrix.

`static` refused before it ran; `exception` raised; `timeout`, `memory`, `output` a limit reached;
`signal` killed by one (a segfault); `shape`, `not_finite`, `negative` the matrix was wrong;
`protocol` the process ended, or wrote to the reply pipe, by itself.
"""

KINDS: tuple[FailureKind, ...] = get_args(FailureKind)
"""All kinds, in the order of their codes on the wire."""

MESSAGE_CHARACTERS = 300
"""A longer message is cut."""

PROGRAM_FILE = "<program>"
"""The file name that a program's own frames carry in a traceback."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a program gave no matrix for a passage.

    `message` is the program's own words until the caller makes one visible line of them.
    """

    kind: FailureKind
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def from_exception(error: BaseException) -> Failure:
    """The failure that an exception of the program stands for, with the program's own line."""
    try:
        said = str(error)
    except BaseException:  # noqa: BLE001 - the program's own `__str__`, which may do anything
        said = "(its message cannot be printed)"
    kind: FailureKind = "exception"
    if isinstance(error, MemoryError):
        kind, said = "memory", said or "out of memory"
    elif isinstance(error, OutputTooLargeError):
        kind = "output"
    line = _line(error.__traceback__)
    place = f"line {line}: " if line else ""
    return Failure(kind, f"{place}{type(error).__name__}: {said[:2000]}")


class OutputTooLargeError(Exception):
    """The program printed more than it may."""


def _line(trace: TracebackType | None) -> int | None:
    """The deepest line of the program itself in a traceback."""
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == PROGRAM_FILE:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found
