"""The sandbox: programs that nobody trusts, each in a process of its own behind walls."""

import json
import math
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from headscribe.core.arrays import Attention, Matrix
from headscribe.core.errors import RunError
from headscribe.sandbox.encoding import columns
from headscribe.sandbox.inside import wire
from headscribe.sandbox.inside.failures import Failure
from headscribe.sandbox.inside.seccomp import MACHINES
from headscribe.sandbox.process import Child, EndedError, LateError, Zygote
from headscribe.sandbox.runner import Limits, Outcome
from headscribe.sandbox.static import needed_fields
from headscribe.text.passages import Passage

_GRACE = 20.0
"""Seconds that trusted code has to raise the walls."""

_LAST_WORDS = 1.0
"""Seconds that a process has to end after its last matrix, before it is killed."""

_ADVICE = "programs that you wrote yourself can run without it (--trust)"


@dataclass(frozen=True, slots=True)
class Wall:
    """One wall, as tried when the sandbox started: `problem` is "" where it holds."""

    name: str
    problem: str


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    """Whether the sandbox is in force here.

    Attributes:
        in_force: every wall was tried and holds.
        reason: one line: what holds, or the first thing that is missing.
        walls: each wall that was tried; none where the system has none to try.
    """

    in_force: bool
    reason: str
    walls: tuple[Wall, ...] = ()


def status() -> SandboxStatus:
    """Start the sandbox, try every wall, stop it, and say whether it is in force and why not."""
    missing = _unsupported()
    if missing:
        return SandboxStatus(False, missing)
    try:
        zygote = Zygote()
    except RunError as error:
        return SandboxStatus(False, str(error))
    try:
        return _tried(zygote)
    finally:
        zygote.close()


class Sandbox:
    """Runs programs behind walls that the kernel keeps; refuses to start where one is missing.

    A warm process forks a child for each passage. The child can compute and write its reply; it has
    no files, network, processes, threads, signals or executable memory, and limits on time, memory
    and output. Threads may share a sandbox: calls take turns. A context manager; closing ends its
    processes.

    Raises:
        RunError: the system cannot keep a wall; says which and why.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._lock = threading.Lock()
        self._zygote = self._start()

    def run(self, code: str, passages: Sequence[Passage]) -> Outcome:
        """Call the program on every passage, in order.

        Every passage has a process of its own, so that nothing of a program lives on: what it
        gives for a text depends on that text alone. After `limits.deaths` processes that died or
        were killed the rest is given up.

        Raises:
            RunError: the sandbox itself failed; the next call starts it afresh.
        """
        with self._lock:
            if not self._zygote.alive:
                self._zygote.close()
                self._zygote = self._start()
            return Outcome.of(_Call(self._zygote, self.limits, code, passages).results())

    def close(self) -> None:
        """End the sandbox's processes."""
        self._zygote.close()

    def __enter__(self) -> "Sandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @staticmethod
    def _start() -> Zygote:
        missing = _unsupported()
        if missing:
            raise RunError(f"the sandbox is not in force: {missing}; {_ADVICE}")
        zygote = Zygote()
        sandbox_status = _tried(zygote)
        if not sandbox_status.in_force:
            zygote.close()
            raise RunError(f"the sandbox is not in force: {sandbox_status.reason}; {_ADVICE}")
        return zygote


class _Call:
    """One program on some passages: a process for each."""

    def __init__(
        self, zygote: Zygote, limits: Limits, code: str, passages: Sequence[Passage]
    ) -> None:
        self._zygote, self._limits, self._code = zygote, limits, code
        self._passages, self._fields = passages, needed_fields(code)
        self._end = time.monotonic() + limits.call_seconds

    def results(self) -> Iterator[Matrix | Failure]:
        """A matrix or a failure for every passage."""
        deaths, last = 0, Failure("timeout", "")
        for passage in self._passages:
            if deaths == self._limits.deaths or time.monotonic() > self._end:
                yield Failure(last.kind, f"not run: {last.message or self._late().message}")
                continue
            try:
                yield self._process(passage)
            except _DeathError as death:
                deaths, last = deaths + 1, death.failure
                yield last

    def _process(self, passage: Passage) -> Attention | Failure:
        """What one child gives.

        Raises:
            _DeathError: it died, or was killed.
        """
        job = wire.pack_job(self._code, columns(passage, self._fields))
        seconds = math.ceil(min(self._limits.passage_seconds, self._limits.call_seconds)) + 1
        with self._zygote.fork(job, self._limits.memory, seconds) as child:
            _await_walls(child)
            deadline = min(time.monotonic() + self._limits.passage_seconds, self._end)
            try:
                found = wire.read_reply(lambda size: child.read(size, deadline), len(passage))
                if _more(child):
                    return Failure("output", "wrote more to the reply pipe than its matrix")
            except LateError:
                raise _DeathError(self._late()) from None
            except wire.BadReplyError as error:
                raise _DeathError(Failure("protocol", str(error))) from None
            except EndedError:
                raise _DeathError(_death(*child.finish())) from None
        return found

    def _late(self) -> Failure:
        if time.monotonic() > self._end:
            said = f"all passages together took more than {self._limits.call_seconds:g} s"
            return Failure("timeout", said)
        return Failure("timeout", f"took more than {self._limits.passage_seconds:g} s")


class _DeathError(Exception):
    """A process ended before it had replied."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(str(failure))
        self.failure = failure


def _await_walls(child: Child) -> None:
    """Read the mark that is written when the walls stand, before the program is looked at."""
    try:
        mark = child.read(len(wire.READY), time.monotonic() + _GRACE)
    except (LateError, EndedError) as error:
        raise RunError("a sandboxed process could not raise its walls and ran nothing") from error
    if mark != wire.READY:
        raise RunError("a sandboxed process sent no mark that its walls stand")


def _more(child: Child) -> bool:
    """Whether the reply goes on where it should end; silence is an end, too."""
    try:
        child.read(1, time.monotonic() + _LAST_WORDS)
    except (EndedError, LateError):
        return False
    return True


def _death(code: int, number: int) -> Failure:
    """The failure that the end of a process stands for, by `si_code` and `si_status`."""
    if code == os.CLD_EXITED:
        if number == wire.OUT_OF_MEMORY:
            return Failure("memory", "no memory left for the reply")
        return Failure("protocol", f"ended before it replied (exit status {number})")
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    if name == "SIGXCPU":
        return Failure("timeout", "took more processor time than a call may")
    hint = " (out of memory on this machine, perhaps)" if name == "SIGKILL" else ""
    return Failure("signal", f"killed by {name}{hint}")


def _unsupported() -> str:
    """Why no wall can be tried on this system, or ""."""
    if sys.platform != "linux":
        return f"it needs Linux with Landlock and seccomp, this is {platform.system()}"
    if platform.machine() not in MACHINES or sys.maxsize < 2**32 or sys.byteorder != "little":
        known = " or ".join(MACHINES)
        return f"it needs a 64-bit Python on {known}, this machine is {platform.machine()}"
    return ""


def _tried(zygote: Zygote) -> SandboxStatus:
    """Have a child try every wall, then kill it as a deadline would."""
    try:
        child = zygote.fork(wire.pack_job("", {}), 64 * 2**20, math.ceil(_GRACE), probe=True)
    except RunError as error:
        return SandboxStatus(False, str(error))
    with child:
        try:
            found = _findings(child)
        except (LateError, EndedError):
            code, number = child.finish(kill=True)
            how = _death(code, number).message
            return SandboxStatus(False, f"the process that tries the walls died: {how}")
        killed = child.finish(kill=True) == (os.CLD_KILLED, signal.SIGKILL)
    walls = [Wall(name, found[name]) for name in wire.WALLS if name in found]
    walls.append(Wall("deadline", "" if killed else "a process could not be killed"))
    broken = next((w for w in walls if w.problem), None)
    if broken is not None:
        return SandboxStatus(False, f"{broken.name}: {broken.problem}", tuple(walls))
    names = ", ".join(w.name for w in walls)
    return SandboxStatus(True, f"tried and holding: {names}", tuple(walls))


def _findings(child: Child) -> dict[str, Any]:
    """Read the probe's JSON: one object, whose end is its last brace."""
    text, deadline = b"", time.monotonic() + _GRACE
    while not text.endswith(b"}"):
        text += child.read(1, deadline)
    findings: dict[str, Any] = json.loads(text)
    return findings
