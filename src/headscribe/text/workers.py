"""Annotation in processes of its own, while this one does something else."""

import logging
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue

from headscribe.core.errors import RunError
from headscribe.core.processes import Command
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
        self._free: SimpleQueue[Command | None] = SimpleQueue()
        self._commands: list[Command] = []
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
                        worker = _started(self._annotator.name)
                        self._commands.append(worker)
                        self._greet(worker)
                    worker.ask(request(texts))
                    return [words_of(columns) for columns in worker.answer()["words"]]
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

    def _greet(self, worker: Command) -> None:
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
        for worker in self._commands:
            worker.kill()
        self._threads.shutdown()
        for worker in self._commands:
            worker.end()

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _started(name: str) -> Command:
    try:
        return Command("headscribe.text.annotators.worker", name)
    except RunError as error:
        raise RunError(f"{error}; --workers 0 annotates in the main process") from error
