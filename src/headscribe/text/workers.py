"""Annotation in processes of its own, while this one does something else.

The processes are started as commands, not forked and not through `multiprocessing`: they inherit
no threads and no locks, need no `if __name__ == "__main__"` in a user's script, work in notebooks,
and end when their input does, however this process came to its end.
"""

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from headscribe.core.errors import RunError, UsageError
from headscribe.text.annotators.contract import Annotator
from headscribe.text.annotators.worker import request
from headscribe.text.cache import words_of
from headscribe.text.corpora import Text
from headscribe.text.passages import Words

_LOG = logging.getLogger("headscribe")

ATTEMPTS = 3
"""So many processes may vanish over the same texts before the run fails."""


class Workers:
    """So many processes that annotate; use as a context, or call `close`."""

    def __init__(self, annotator: Annotator, number: int) -> None:
        """Start when first asked; each process loads the annotator of that name."""
        self.number = number
        self._annotator = annotator
        self._free: SimpleQueue[_Worker | None] = SimpleQueue()
        self._started: list[_Worker] = []
        self._closed = False
        for _ in range(number):
            self._free.put(None)
        self._threads = ThreadPoolExecutor(number, thread_name_prefix="annotation")

    def annotate(self, texts: Sequence[Text]) -> "Future[list[Words]]":
        """The words of the texts, when some process has found them.

        The result raises UsageError or RunError as the annotator does, and RunError where
        `ATTEMPTS` processes vanished over these texts.
        """
        return self._threads.submit(self._ask, tuple(texts))

    def _ask(self, texts: tuple[Text, ...]) -> list[Words]:
        worker = self._free.get()
        try:
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    if worker is None:
                        worker = _Worker(self._annotator.name)
                        self._started.append(worker)
                        self._greet(worker)
                    return worker.words(texts)
                except (EOFError, BrokenPipeError) as error:
                    assert worker is not None
                    how, worker = worker.end(), None
                    if self._closed:
                        raise RunError("annotation was given up") from error
                    if attempt < ATTEMPTS:
                        _LOG.warning("an annotating process %s; another goes on for it", how)
            raise RunError(
                f"{ATTEMPTS} processes were lost, the last {how}, while annotating {len(texts)} "
                f"texts from {texts[0].id} on; --workers 0 annotates in the main process"
            )
        finally:
            self._free.put(worker)

    def _greet(self, worker: "_Worker") -> None:
        if self._closed:
            worker.kill()
        found = worker.answer()["fingerprint"]
        if found != self._annotator.fingerprint:
            raise RunError(
                f"expected the annotator {self._annotator.name} with fingerprint "
                f"{self._annotator.fingerprint} in every process, got {found}: its files changed"
            )

    def close(self) -> None:
        """End the processes at once; what they had not finished is given up."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._started:
            worker.kill()
        self._threads.shutdown()
        for worker in self._started:
            worker.end()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process."""

    def __init__(self, name: str) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        root = str(Path(__file__).parents[2])
        path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which ends it.
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "headscribe.text.annotators.worker", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
                env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
            )
        except OSError as error:
            raise RunError(
                f"cannot start an annotating process ({error.strerror}); --workers 0 annotates "
                "in the main process"
            ) from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def words(self, texts: Sequence[Text]) -> list[Words]:
        assert self._process.stdin is not None
        self._process.stdin.write(request(texts))
        self._process.stdin.flush()
        return [words_of(columns) for columns in self.answer()["words"]]

    def answer(self) -> dict[str, Any]:
        """The next answer.

        Raises:
            EOFError: the process is gone.
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
        self._process.kill()

    def end(self) -> str:
        """Wait for the end; says how it came."""
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
