"""Passages of token ids: what a program reads of a text that a model is writing."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

from headscribe.models.tokenizing import special_ids
from headscribe.text.alignment import align
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage

_INCOMPLETE = "\ufffd"
"""What decoding gives for the first bytes of a character that needs more."""


class Transcript:
    """A growing text as a passage, from its ids alone: nothing is ever tokenised anew.

    Token `k` spans the characters that it adds to the text of the tokens before it; the pieces of
    one character span all of it, once all are there; special tokens span nothing, and those within
    a text, as chat templates have them, leave a blank between words. Words are those of the plain
    annotator. So a longer transcript has a shorter one as its beginning.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, text_id: str) -> None:
        self._tokenizer = tokenizer
        self._text_id = text_id
        self._special = special_ids(tokenizer)
        self._ids: list[int] = []
        self._spans: list[tuple[int, int]] = []
        self._added: list[str] = []
        self._passage: Passage | None = None

    def passage(self, ids: Sequence[int] | Int[np.ndarray, " T"]) -> Passage:
        """The passage of `ids`; what it shares with the last one asked for is not decoded anew."""
        ids = [int(one) for one in ids]
        if self._passage is not None and ids == self._ids:
            return self._passage
        shared = 0
        for old, new in zip(self._ids, ids, strict=False):
            if old != new:
                break
            shared += 1
        del self._ids[shared:], self._spans[shared:], self._added[shared:]
        for one in ids[shared:]:
            self._append(one)
        self._passage = self._made()
        return self._passage

    def _append(self, one: int) -> None:
        # Bytes that are no character yet make some decoders spoil those before them as well: a
        # character that was whole once stays.
        start = self._spans[-1][0] + len(self._added[-1]) if self._ids else 0
        self._ids.append(one)
        after = self._decoded(self._ids)
        whole = after.rstrip(_INCOMPLETE)
        self._added.append(whole[start:])
        self._spans.append((start, max(start, len(whole)) + (whole != after)))

    def _decoded(self, ids: Sequence[int]) -> str:
        parts = [
            self._tokenizer.decode(
                list(run), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            for special, run in groupby(ids, self._special.__contains__)
            if not special
        ]
        return " ".join(parts)

    def _made(self) -> Passage:
        written = "".join(self._added)
        special = np.array([one in self._special for one in self._ids], bool)
        spans = np.array(self._spans, np.int64).reshape(-1, 2)
        spans = np.minimum(spans, len(written))
        spans[special] = 0
        tokens = tuple(str(t) for t in self._tokenizer.convert_ids_to_tokens(self._ids))
        encoding = Encoding(tokens, np.array(self._ids, np.int64), spans, special)
        text = Text(self._text_id, self._text_id, written)
        return align(text, encoding, next(iter(Plain().annotate([text]))))
