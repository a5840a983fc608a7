"""The caller's side of the sandbox's processes: start the zygote, send a job, read the reply."""

import os
import select
import signal
import socket
import subprocess
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headscribe.core.errors import RunError
from headscribe.sandbox.inside import wire
from headscribe.sandbox.interpreter import command, environment

_START_SECONDS = 60.0
_FORK_SECONDS = 20.0
_CHUNK = 1 << 16


class LateError(Exception):
    """The deadline passed before the bytes came."""


class EndedError(Exception):
    """The pipe ended before the bytes came."""


class Zygote:
    """A warm process that forks a child for each job; one job at a time.

    Raises:
        RunError: it does not start.
    """

    def __init__(self) -> None:
        try:
            mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            raise RunError(f"the sandbox's process did not start: {error}") from error
        self._socket = mine
        try:
            self._process = subprocess.Popen(
                command("zygote", str(Path(np.__file__).parents[1]), str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment(),
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            mine.close()
            raise RunError(f"the sandbox's process did not start: {error}") from error
        finally:
            theirs.close()
        self._owner = os.getpid()
        mine.settimeout(_START_SECONDS)
        try:
            warm = mine.recv(16) == b"warm"
        except OSError:  # too late, or reset
            warm = False
        if not warm:
            self._process.kill()
            said = self._process.stderr.read() if self._process.stderr else b""
            self.close()
            last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise RunError(f"the sandbox's process did not start: {last or 'no answer'}")
        if self._process.stderr:
            self._process.stderr.close()
        mine.settimeout(_FORK_SECONDS)

    @property
    def alive(self) -> bool:
        """Whether it can serve this process (a fork of the one that started it cannot use it)."""
        return self._owner == os.getpid() and self._process.poll() is None

    def close(self) -> None:
        """End it, and the child it may have."""
        self._socket.close()
        if self._owner == os.getpid():
            self._process.kill()
            self._process.wait()
            if self._process.stderr:
                self._process.stderr.close()

    def fork(self, job: bytes, memory: int, seconds: int, probe: bool = False) -> "Child":
        """Fork a child and give it a job.

        Raises:
            RunError: the zygote does not answer, the child dies before it has read the job, or
                this process has no file descriptors left.
        """
        with ExitStack() as ours, ExitStack() as theirs:
            job_out, job_in = _pipe(theirs, ours)
            reply_out, reply_in = _pipe(ours, theirs)
            handle = self._forked(wire.REQUEST.pack(probe, memory, seconds), [job_out, reply_in])
            ours.pop_all()
        child = Child(self, handle, reply_out)
        try:
            _write_all(job_in, job, time.monotonic() + _FORK_SECONDS)
        except (LateError, OSError) as error:
            child.finish(kill=True)
            raise RunError("the sandbox's child did not read its job") from error
        finally:
            os.close(job_in)
        return child

    def ended(self) -> tuple[int, int]:
        """Wait for the end of the child; `si_code` and `si_status`.

        Raises:
            RunError: the zygote does not answer.
        """
        message, _ = self._received(wire.ENDED.size)
        code, status = wire.ENDED.unpack(message)
        return code, status

    def _forked(self, request: bytes, pipes: list[int]) -> int:
        """Send a request; the pidfd of the child."""
        try:
            socket.send_fds(self._socket, [request], pipes)
        except OSError as error:
            raise self._broken(str(error)) from error
        answer, handles = self._received(256)
        if handles:
            return handles[0]
        if answer == wire.FORKED:
            # The child runs, but its handle found no place here: nobody could ever end it.
            raise self._broken("this process has no file descriptors left")
        raise RunError(f"the sandbox cannot fork a process: {answer.decode('ascii', 'replace')}")

    def _received(self, size: int) -> tuple[bytes, list[int]]:
        """The next message; after an interruption the zygote is of no more use and is ended."""
        try:
            message, handles, _, _ = socket.recv_fds(self._socket, size, 1)
        except OSError as error:
            raise self._broken(str(error)) from error
        except BaseException:
            self.close()
            raise
        if not message:
            raise self._broken("its process ended")
        return message, handles

    def _broken(self, why: str) -> RunError:
        self.close()
        return RunError(f"the sandbox did not answer and was stopped: {why}; run it again")


@dataclass
class Child:
    """A running child: its reply to read, its end to wait for; killed on leaving."""

    zygote: Zygote
    handle: int
    reply: int
    _end: tuple[int, int] | None = None

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.finish(kill=True)

    def read(self, size: int, deadline: float) -> bytes:
        """Read exactly `size` bytes of the reply.

        Raises:
            LateError: they did not come before `deadline` (of `time.monotonic`).
            EndedError: the reply ended before.
        """
        parts = []
        waiting = select.poll()
        waiting.register(self.reply, select.POLLIN)
        while size:
            left = deadline - time.monotonic()
            if left <= 0 or not waiting.poll(left * 1000):
                raise LateError
            part = os.read(self.reply, min(size, _CHUNK))
            if not part:
                raise EndedError
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def finish(self, kill: bool = False) -> tuple[int, int]:
        """Wait for the end, after killing if `kill`; `si_code` and `si_status`."""
        if self._end is None:
            if kill:
                with suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self.handle, signal.SIGKILL)
            os.close(self.handle)
            os.close(self.reply)
            self._end = (0, 0)
            self._end = self.zygote.ended()
        return self._end


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A pipe whose two ends are closed with those who hold them."""
    try:
        ends = os.pipe()
    except OSError as error:
        raise RunError(f"the sandbox needs file descriptors: {error}") from error
    reader.callback(os.close, ends[0])
    writer.callback(os.close, ends[1])
    return ends


def _write_all(pipe: int, data: bytes, deadline: float) -> None:
    os.set_blocking(pipe, False)
    waiting = select.poll()
    waiting.register(pipe, select.POLLOUT)
    left = memoryview(data)
    while left:
        rest = deadline - time.monotonic()
        if rest <= 0 or not waiting.poll(rest * 1000):
            raise LateError
        left = left[os.write(pipe, left[:_CHUNK]) :]
