"""The caller's side of the sandbox's processes: start the zygote, send a job, read the reply."""

import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from headscribe.core.errors import RunError
from headscribe.sandbox.inside import wire

_BOOT = """
import sys, types
for name, path in (("headscribe", sys.argv[1]), ("headscribe.sandbox", sys.argv[1])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [path]
sys.path.append(sys.argv[2])
from headscribe.sandbox.inside.zygote import main
main(int(sys.argv[3]))
"""
_ENVIRONMENT = {
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "LC_ALL": "C.UTF-8",
}
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
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inside, library = Path(__file__).parent, Path(np.__file__).parents[1]
        kept = {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
        arguments = [str(inside), str(library), str(theirs.fileno())]
        self._socket = mine
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-B", "-c", _BOOT, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=_ENVIRONMENT | kept,
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
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise RunError(f"the sandbox's process did not start: {''.join(last) or 'no answer'}")
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
            RunError: the zygote does not answer, or the child dies before it has read the job.
        """
        job_out, job_in = os.pipe()
        reply_out, reply_in = os.pipe()
        try:
            handle = self._forked(wire.REQUEST.pack(probe, memory, seconds), [job_out, reply_in])
        except BaseException:
            os.close(job_in)
            os.close(reply_out)
            raise
        finally:
            os.close(job_out)
            os.close(reply_in)
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
        if not handles:
            said = answer.decode("ascii", "replace")
            raise RunError(f"the sandbox cannot fork a process: {said}")
        return handles[0]

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

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
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
