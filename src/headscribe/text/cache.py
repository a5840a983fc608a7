"""Annotations on disk, by the hash of the text and the annotator's fingerprint."""

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from headscribe.core.errors import UsageError
from headscribe.text.annotators.contract import Annotator
from headscribe.text.corpora import Corpus, Text
from headscribe.text.passages import WORD_FIELDS, Words

_FORMAT = 1
_BATCH = 64
_NUMBERS = frozenset({"spans", "head", "sentence"})


def cache_folder() -> Path:
    """The folder of everything cached: `HEADSCRIBE_CACHE`, or the user's own cache folder."""
    named = os.environ.get("HEADSCRIBE_CACHE")
    return Path(named).expanduser() if named else user_cache_path("headscribe")


class AnnotationCache:
    """One file an annotated text: its checksum, a line feed, the columns as JSON.

    Files are written under a temporary name and renamed, so that several processes may share the
    folder; a file that is cut off or altered counts as absent.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Use `folder`, or `annotations` in `cache_folder()`."""
        self.folder = cache_folder() / "annotations" if folder is None else folder

    def path(self, text: str, fingerprint: str) -> Path:
        """Where the annotation of a text lies, or would lie."""
        key = f"{_FORMAT}:{fingerprint}:{text}".encode("utf-8", "surrogatepass")
        digest = blake2b(key, digest_size=16).hexdigest()
        return self.folder / digest[:2] / f"{digest[2:]}.json"

    def get(self, text: str, fingerprint: str) -> Words | None:
        """The words of a text; `None` if they are absent, unreadable or damaged."""
        try:
            content = self.path(text, fingerprint).read_bytes()
        except OSError:
            return None
        checksum, _, payload = content.partition(b"\n")
        if checksum != _checksum(payload):
            return None
        return _words_of(json.loads(payload))

    def put(self, text: str, fingerprint: str, words: Words) -> None:
        """Keep the words of a text.

        Raises:
            OSError: the folder cannot be written.
        """
        path = self.path(text, fingerprint)
        path.parent.mkdir(parents=True, exist_ok=True)
        payload = json.dumps(_columns_of(words), ensure_ascii=False, separators=(",", ":"))
        raw = payload.encode("utf-8", "surrogatepass")
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(_checksum(raw) + b"\n" + raw)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=16).hexdigest().encode()


def _columns_of(words: Words) -> dict[str, Any]:
    columns = {name: getattr(words, name) for name in ("form", "spans", *WORD_FIELDS)}
    return {
        name: column.ravel().tolist() if isinstance(column, np.ndarray) else column
        for name, column in columns.items()
        if column is not None
    }


def _words_of(columns: dict[str, Any]) -> Words:
    read: dict[str, Any] = {
        name: np.array(column, np.int64) if name in _NUMBERS else tuple(column)
        for name, column in columns.items()
    }
    return Words(**{**read, "spans": read["spans"].reshape(-1, 2)})


def annotated(
    corpus: Corpus,
    annotator: Annotator,
    progress: Callable[[int, int], None] | None = None,
    cache: AnnotationCache | None = None,
) -> Iterator[tuple[Text, Words]]:
    """The texts of a corpus with their words, in order; each is annotated once and then cached.

    Annotation runs ahead by at most 64 texts, so a consumer that stops early pays for no more. If
    the cache cannot be written, a warning says so once and the work goes on without it.

    Args:
        corpus: the texts.
        annotator: what finds the words; one that is not `cacheable` bypasses the cache.
        progress: called after every text with the number done and the number of all texts.
        cache: where annotations are kept; by default in `cache_folder()`.

    Raises:
        UsageError: a text that cannot be annotated, or words that lack what the annotator provides.
    """
    store = (AnnotationCache() if cache is None else cache) if annotator.cacheable else None
    writable = True
    for begin in range(0, len(corpus), _BATCH):
        batch = corpus.texts[begin : begin + _BATCH]
        found = {
            i: words
            for i, text in enumerate(batch)
            if store is not None
            and (words := store.get(text.text, annotator.fingerprint)) is not None
        }
        missing = [i for i in range(len(batch)) if i not in found]
        fresh = annotator.annotate([batch[i] for i in missing])
        for i, words in zip(missing, fresh, strict=True):
            _check_provided(annotator, batch[i], words)
            found[i] = words
            if store is not None and writable:
                try:
                    store.put(batch[i].text, annotator.fingerprint, words)
                except OSError as error:
                    writable = False
                    warnings.warn(
                        f"annotations are not cached: {store.folder} cannot be written "
                        f"({error.strerror}); HEADSCRIBE_CACHE names another folder",
                        RuntimeWarning,
                        stacklevel=2,
                    )
        for i, text in enumerate(batch):
            yield text, found[i]
            if progress is not None:
                progress(begin + i + 1, len(corpus))


def _check_provided(annotator: Annotator, text: Text, words: Words) -> None:
    missing = annotator.provides - words.provides
    if missing:
        raise UsageError(
            f"text {text.id}: expected {', '.join(sorted(missing))} from the annotator "
            f"{annotator.name}, got none"
        )
