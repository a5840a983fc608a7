"""Annotations on disk, by the hash of the text and the annotator's fingerprint."""

import json
import os
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from platformdirs import user_cache_path

from headscribe.core.files import write_whole
from headscribe.text.passages import WORD_FIELDS, Words

_FORMAT = 1
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

    def has(self, text: str, fingerprint: str) -> bool:
        """Whether there is a file for the text; it may be damaged."""
        return self.path(text, fingerprint).is_file()

    def get(self, text: str, fingerprint: str) -> Words | None:
        """The words of a text; `None` if they are absent, unreadable or damaged."""
        try:
            content = self.path(text, fingerprint).read_bytes()
        except OSError:
            return None
        checksum, _, payload = content.partition(b"\n")
        if checksum != _checksum(payload):
            return None
        return words_of(json.loads(payload))

    def put(self, text: str, fingerprint: str, words: Words) -> None:
        """Keep the words of a text.

        Raises:
            OSError, RunError: the folder cannot be written.
        """
        path = self.path(text, fingerprint)
        path.parent.mkdir(parents=True, exist_ok=True)
        payload = json.dumps(columns_of(words), ensure_ascii=False, separators=(",", ":"))
        raw = payload.encode("utf-8", "surrogatepass")
        write_whole(path, _checksum(raw) + b"\n" + raw)


def _checksum(payload: bytes) -> bytes:
    return blake2b(payload, digest_size=16).hexdigest().encode()


def columns_of(words: Words) -> dict[str, Any]:
    """The columns of words by name, as JSON has them."""
    columns = {name: getattr(words, name) for name in ("form", "spans", *WORD_FIELDS)}
    return {
        name: column.ravel().tolist() if isinstance(column, np.ndarray) else column
        for name, column in columns.items()
        if column is not None
    }


def words_of(columns: dict[str, Any]) -> Words:
    """Read back what `columns_of` gave."""
    read: dict[str, Any] = {
        name: np.array(column, np.int64) if name in _NUMBERS else tuple(column)
        for name, column in columns.items()
    }
    return Words(**{**read, "spans": read["spans"].reshape(-1, 2)})
