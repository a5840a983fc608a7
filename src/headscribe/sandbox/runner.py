"""What runs programs: the interface, its outcome, and the runner for programs that are trusted."""

import struct
import subprocess
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from headscribe.core.arrays import Attention, Matrix
from headscribe.core.errors import RunError
from headscribe.core.visible import visible_line
from headscribe.sandbox.encoding import columns
from headscribe.sandbox.inside import wire
from headscribe.sandbox.inside.execute import call, judged, load
from headscribe.sandbox.inside.failures import MESSAGE_CHARACTERS, Failure, FailureKind
from headscribe.sandbox.inside.view import Passage as View
from headscribe.sandbox.interpreter import answered, command
from headscribe.sandbox.static import needed_fields
from headscribe.text.passages import Passage


@dataclass(frozen=True, slots=True)
class Limits:
    """What one call may take.

    Attributes:
        passage_seconds: time for one passage, the program's loading with it.
        call_seconds: wall time for all passages of a call.
        memory: bytes beyond those of the interpreter, NumPy and the passages.
        deaths: passages on which a process may die (or be killed) before the rest is given up.
    """

    passage_seconds: float = 5.0
    call_seconds: float = 60.0
    memory: int = 512 * 2**20
    deaths: int = 3


PATIENT = Limits(passage_seconds=60, call_seconds=600, memory=8 << 30)
"""What a trusted program may take while it is tested."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a program gave for each passage, in order.

    Attributes:
        results: a matrix of finite weights of at least 0, `(T, T)`, float32, rows not normalised
            (a row of zeros says nothing); or why there is none.
    """

    results: tuple[Matrix | Failure, ...]

    @property
    def failures(self) -> Counter[FailureKind]:
        """How many passages failed, by kind."""
        return Counter(r.kind for r in self.results if isinstance(r, Failure))

    @property
    def first_failure(self) -> Failure | None:
        """The failure of the first passage that failed."""
        return next((r for r in self.results if isinstance(r, Failure)), None)

    @classmethod
    def of(cls, results: Iterable[Matrix | Failure]) -> "Outcome":
        """Judge the values of each matrix, and make every message one visible line."""
        judgements = (r if isinstance(r, Failure) else judged(r) for r in results)
        return cls(tuple(_shown(r) if isinstance(r, Failure) else r for r in judgements))


def _shown(failure: Failure) -> Failure:
    return Failure(failure.kind, visible_line(failure.message, MESSAGE_CHARACTERS))


@runtime_checkable
class Runner(Protocol):
    """Runs a program, `def attention(p) -> array (T, T)`, on passages."""

    def run(self, code: str, passages: Sequence[Passage]) -> Outcome:
        """Load and call the program for every passage; what it does is a result or a failure."""
        ...


class Trusted:
    """Runs programs in this process, without any wall or limit: for those who wrote them.

    What a program keeps from one passage to the next (in a module, say) nobody sees.
    """

    def run(self, code: str, passages: Sequence[Passage]) -> Outcome:
        """Load and call the program for every passage; what it raises becomes a failure."""
        fields = needed_fields(code)
        return Outcome.of(_called(code, View(columns(passage, fields))) for passage in passages)


def _called(code: str, passage: View) -> Attention | Failure:
    attention = load(code)
    return attention if isinstance(attention, Failure) else call(attention, passage)


class Apart:
    """Runs trusted programs without walls, each call in an interpreter of its own: slow."""

    def run(self, code: str, passages: Sequence[Passage]) -> Outcome:
        """Load and call the program for every passage; nothing of it lives on."""
        fields = needed_fields(code)
        return Outcome.of(_apart(code, passage, fields) for passage in passages)


def _apart(code: str, passage: Passage, fields: frozenset[str]) -> Attention | Failure:
    try:
        library = str(Path(np.__file__).parents[1])
        job = wire.pack_job(code, columns(passage, fields))
        written, _ = answered(command("alone", library), job, PATIENT.passage_seconds)
        return wire.read_reply(BytesIO(written[len(wire.READY) :]).read, len(passage))
    except subprocess.TimeoutExpired:
        return Failure("timeout", f"took more than {PATIENT.passage_seconds:g} s")
    except OSError as error:
        raise RunError(f"the process of a program did not start: {error}") from error
    except (wire.BadReplyError, struct.error, ValueError):
        return Failure("protocol", "ended before it replied")
