"""A passage as plain columns: what programs are shown of it."""

from collections.abc import Collection
from typing import Any

from headscribe.sandbox.inside.given import FIELDS
from headscribe.text.passages import Passage


def columns(passage: Passage, fields: Collection[str] = FIELDS) -> dict[str, Any]:
    """What the passage knows of its tokens and words, as lists that JSON can carry.

    The identity of the text and its group are left out: a program may not tell texts apart by name.

    Args:
        fields: the annotator's columns that are shown; a program gets those that its text names,
            so that what it reads is known without running it.
    """
    words = passage.words
    plain: dict[str, Any] = {
        "text": passage.text,
        "tokens": list(passage.tokens),
        "ids": passage.ids.tolist(),
        "spans": passage.read_spans.tolist(),
        "is_special": passage.is_special.tolist(),
        "is_bos": passage.is_bos.tolist(),
        "is_eos": passage.is_eos.tolist(),
        "word": passage.word.tolist(),
        "words_of": [row.tolist() for row in passage.words_of],
        "tokens_of": [row.tolist() for row in passage.tokens_of],
        "form": list(words.form),
        "word_spans": words.spans.tolist(),
    }
    for field in fields:
        column = getattr(words, field)
        if column is not None:
            plain[field] = [v.item() if hasattr(v, "item") else v for v in column]
    return plain
