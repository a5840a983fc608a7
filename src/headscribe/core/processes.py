"""Commands of this package in processes of their own, which answer in lines of JSON.

They are started as commands, not forked and not through `multiprocessing`: they inherit no threads
and no locks, need no `if __name__ == "__main__"` in a user's script, work in notebooks, and end
when nobody reads their answers, however this process came to its end.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headscribe.core.errors import HeadscribeError, RunError, UsageError

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What says to libraries how many threads they may use."""


def cores() -> int:
    """Processor cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return found or 1


class Command:
    """One process that runs a module of this package."""

    def __init__(self, module: str, *arguments: str, threads: int = 1) -> None:
        """Start it; on its libraries so many threads are imposed.

        Raises:
            RunError: it cannot be started.
        """
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        # A session of its own: Ctrl-C in a terminal reaches the first process alone, which ends it.
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
                env=os.environ | dict.fromkeys(THREADS, str(threads)) | {"PYTHONPATH": path},
            )
        except OSError as error:
            raise RunError(f"cannot start another process ({error.strerror})") from error

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def ask(self, line: bytes) -> None:
        """Give it a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(line)
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            EOFError: the process is gone.
            UsageError, RunError: as the process did.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise EOFError
        found: dict[str, Any] = json.loads(line)
        if "error" in found:
            raise (UsageError if found["usage"] else RunError)(found["error"])
        return found

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def end(self) -> str:
        """Wait for the end, which comes at once; says how it came."""
        self._process.kill()
        status = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            try:
                if stream is not None:
                    stream.close()
            except BrokenPipeError:  # an unsent request goes down with its process
                pass
        how = f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
        if not self._said.closed:
            self._said.seek(0)
            last = self._said.read().decode(errors="replace").strip().rpartition("\n")[2]
            self._said.close()
            how += f" ({last[:200]})" if last else ""
        return how


@contextmanager
def answering() -> Iterator[Callable[[object], None]]:
    """In such a process: what gives an answer; an error that a user can meet is one, too.

    Nothing that a library prints comes between the answers, and where nobody reads them the
    process ends.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(content: object) -> None:
        answers.write(json.dumps(content).encode() + b"\n")
        answers.flush()

    try:
        yield answer
    except HeadscribeError as error:
        answer({"error": str(error), "usage": isinstance(error, UsageError)})
    except BrokenPipeError:
        os._exit(1)
