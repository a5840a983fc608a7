"""The words of texts: from the cache, from processes that work ahead, or found when asked for."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future

from headscribe.core.errors import RunError, UsageError
from headscribe.core.processes import cores
from headscribe.text.annotators.contract import Annotator
from headscribe.text.cache import AnnotationCache
from headscribe.text.corpora import Corpus, Text
from headscribe.text.passages import Words
from headscribe.text.workers import Workers

CHUNK = 16
"""Texts that are annotated at a time, at most."""

CHUNK_CHARACTERS = 16_384
"""Characters that are annotated at a time, at most, unless a single text has more."""

WORTH_A_WORKER = 60_000
"""Characters to annotate for which a process is worth its start: about ten seconds of work."""

MOST_WORKERS = 8
"""Processes that are started unasked, at most."""

AHEAD = 3
"""Chunks a worker that may be finished or waiting: bounds what is kept of the future."""


def default_workers(characters: int) -> int:
    """The number of annotating processes that so many characters are worth on this machine.

    One core is left to the model. 0: this process annotates itself, when words are asked for.
    """
    return min(characters // WORTH_A_WORKER, max(cores() - 1, 1), MOST_WORKERS)


class Annotation:
    """The words of texts, each found once, ahead of their use; use as a context, or call `close`.

    The same texts in the same order are annotated in the same chunks, by however many processes,
    so that the words do not depend on their number. If the cache cannot be written, a warning
    says so once and the work goes on without it.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        annotator: Annotator,
        *,
        workers: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        cache: AnnotationCache | None = None,
    ) -> None:
        """Begin.

        Args:
            texts: the texts in the order in which their words will be asked for; another order
                costs time only.
            annotator: what finds the words; one that is not `cacheable` bypasses the cache and
                works in this process.
            workers: processes to annotate in; None: as many as the work is worth. 0: none.
            progress: called after every text whose words were asked for, with their number and
                the number of all texts.
            cache: where annotations are kept; by default in `cache_folder()`.
        """
        self._texts = texts
        self._annotator = annotator
        store = AnnotationCache() if cache is None else cache
        self._store = store if annotator.cacheable else None
        self._progress = progress
        self._asked = 0
        self._writable = True
        self._place = {text.id: i for i, text in enumerate(texts)}
        missing = [
            i
            for i, text in enumerate(texts)
            if self._store is None or not self._store.has(text.text, annotator.fingerprint)
        ]
        self._chunks = _chunks(texts, missing)
        self._chunk_of = {i: c for c, chunk in enumerate(self._chunks) for i in chunk}
        self._found: dict[int, Words] = {}
        self._sent: dict[int, Future[list[Words]]] = {}
        self._workers = self._engaged(workers)
        self._send(0)

    def words(self, text_id: str) -> Words:
        """The words of a text, which are handed out and forgotten.

        Raises:
            UsageError: a text that cannot be annotated, or words that lack what the annotator
                provides.
            RunError: annotating processes vanished again and again.
        """
        place = self._place[text_id]
        if place in self._chunk_of and place not in self._found:
            self._finish(self._chunk_of[place])
        words = self._found.pop(place, None)
        if words is None and self._store is not None:
            words = self._store.get(self._texts[place].text, self._annotator.fingerprint)
        if words is None:  # a damaged file, or no cache and asked for a second time
            self._keep([place], self._annotator.annotate([self._texts[place]]))
            words = self._found.pop(place)
        self._asked += 1
        if self._progress is not None:
            self._progress(min(self._asked, len(self._texts)), len(self._texts))
        return words

    def close(self) -> None:
        """End the processes; what they have not finished is annotated here if it is asked for."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None
        self._sent.clear()

    def __enter__(self) -> "Annotation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _engaged(self, number: int | None) -> Workers | None:
        """The processes, where the annotator can be loaded by its name in others."""
        if not self._annotator.cacheable or not self._chunks:
            return None
        if number is None:
            missing = sum(len(self._texts[i].text) for chunk in self._chunks for i in chunk)
            number = default_workers(missing)
        number = min(number, len(self._chunks))
        return Workers(self._annotator, number) if number > 0 else None

    def _finish(self, chunk: int) -> None:
        """Annotate a chunk, or wait for it, and have others worked at meanwhile."""
        self._send(chunk)
        places = self._chunks[chunk]
        future = self._sent.pop(chunk, None)
        self._keep(
            places,
            self._annotator.annotate([self._texts[i] for i in places])
            if future is None
            else future.result(),
        )
        for i in places:
            del self._chunk_of[i]

    def _send(self, chunk: int) -> None:
        """Hand this chunk, and those after it within reach, to the processes."""
        if self._workers is None:
            return
        for c in range(chunk, min(chunk + AHEAD * self._workers.number + 1, len(self._chunks))):
            if c not in self._sent and self._chunks[c][0] in self._chunk_of:
                self._sent[c] = self._workers.annotate([self._texts[i] for i in self._chunks[c]])

    def _keep(self, places: Sequence[int], wordses: Iterable[Words]) -> None:
        for i, words in zip(places, wordses, strict=True):
            _check_provided(self._annotator, self._texts[i], words)
            self._found[i] = words
            self._write(self._texts[i], words)

    def _write(self, text: Text, words: Words) -> None:
        if self._store is None or not self._writable:
            return
        try:
            self._store.put(text.text, self._annotator.fingerprint, words)
        except (OSError, RunError) as error:
            self._writable = False
            warnings.warn(
                f"annotations are not cached: {error}; HEADSCRIBE_CACHE names another folder",
                RuntimeWarning,
                stacklevel=2,
            )


def annotated(
    corpus: Corpus,
    annotator: Annotator,
    progress: Callable[[int, int], None] | None = None,
    cache: AnnotationCache | None = None,
    workers: int | None = None,
) -> Iterator[tuple[Text, Words]]:
    """The texts of a corpus with their words, in order; see `Annotation`.

    In one process annotation runs ahead by at most `CHUNK` texts, so a consumer that stops early
    pays for no more.

    Raises:
        UsageError: a text that cannot be annotated, or words that lack what the annotator provides.
        RunError: annotating processes vanished again and again.
    """
    annotation = Annotation(
        corpus.texts, annotator, workers=workers, progress=progress, cache=cache
    )
    with annotation:
        for text in corpus:
            yield text, annotation.words(text.id)


def _chunks(texts: Sequence[Text], missing: Sequence[int]) -> list[list[int]]:
    """The missing texts in their order, cut where `CHUNK` or `CHUNK_CHARACTERS` are reached."""
    chunks: list[list[int]] = []
    characters = 0
    for i in missing:
        characters += len(texts[i].text)
        if not chunks or len(chunks[-1]) == CHUNK or characters > CHUNK_CHARACTERS:
            chunks.append([])
            characters = len(texts[i].text)
        chunks[-1].append(i)
    return chunks


def _check_provided(annotator: Annotator, text: Text, words: Words) -> None:
    missing = annotator.provides - words.provides
    if missing:
        raise UsageError(
            f"text {text.id}: expected {', '.join(sorted(missing))} from the annotator "
            f"{annotator.name}, got none"
        )
