"""By what a text is known again: what it says, not where it lies or what it is called."""

from collections.abc import Iterable
from hashlib import blake2b

import pyarrow as pa

TEXTS = "texts"
"""The table of a run that lists the texts that something was fitted on."""


def text_hash(text: str) -> str:
    r"""16 hexadecimal digits of what a text says; white space and case play no part.

    >>> text_hash("Once upon  a time.\n") == text_hash("once upon a time.")
    True
    """
    content = " ".join(text.split()).casefold()
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def texts_table(texts: Iterable[tuple[str, str]]) -> pa.Table:
    """The table `texts` of (id, text) pairs: `text_id` and `hash`."""
    pairs = list(texts)
    return pa.table(
        {
            "text_id": pa.array([name for name, _ in pairs], pa.string()),
            "hash": pa.array([text_hash(text) for _, text in pairs], pa.string()),
        }
    )
