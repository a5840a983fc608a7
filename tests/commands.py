"""Commands as tests run them: processes, forked from one that has imported everything."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = Path(__file__).parent / "support" / "command_server.py"
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "COLUMNS": "120"}


@functools.cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, str(SERVER)], stdin=subprocess.PIPE, text=True,
        env=os.environ | ENVIRONMENT,
    )  # fmt: skip
    atexit.register(lambda: (server.stdin.close(), server.wait()))
    return server


class Command:
    """A command that runs, and what came of it; `code` is run in place of the command line."""

    def __init__(self, *arguments: object, cwd: Path, code: str = "", **env: str) -> None:
        self._files = Path(tempfile.mkdtemp(prefix="headscribe-test-"))
        job = {
            "arguments": [str(argument) for argument in arguments],
            "code": code,
            "cwd": str(cwd),
            "env": os.environ | ENVIRONMENT | env,
        } | {name: str(self._files / name) for name in ("stdout", "stderr", "status")}
        _server().stdin.write(json.dumps(job) + "\n")
        _server().stdin.flush()
        while not self._status():
            time.sleep(0.002)
        self.pid = int(self._status()[0])

    def _status(self) -> list[str]:
        """The number of the process and, once it has ended, its exit status."""
        path = self._files / "status"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def running(self) -> bool:
        return len(self._status()) < 2

    def wait(self, seconds: float = 600) -> subprocess.CompletedProcess[str]:
        """Its exit status, negative for a signal, and what it said."""
        end = time.monotonic() + seconds
        while self.running():
            assert time.monotonic() < end, "still running"
            time.sleep(0.002)
        said = [(self._files / name).read_text() for name in ("stdout", "stderr")]
        return subprocess.CompletedProcess([], int(self._status()[1]), *said)


def headscribe(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return Command(*arguments, cwd=cwd).wait()


def wrong(cwd: Path, *arguments: object, status: int = 2, stdout: bool = False) -> str:
    """Run something wrong: the exit status, nothing on stdout, one line on stderr."""
    done = headscribe(*arguments, cwd=cwd)
    assert done.returncode == status, (done.returncode, done.stderr)
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("headscribe: ")
    assert stdout or done.stdout == ""
    return lines[0]
