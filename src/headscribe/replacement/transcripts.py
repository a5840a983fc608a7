"""Passages of token ids: what a program reads of a text that a model is writing."""

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from jaxtyping import Int
from transformers import PreTrainedTokenizerFast

from headscribe.core.errors import UsageError
from headscribe.models.tokenizing import special_ids
from headscribe.text.alignment import align
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage, Words

_INCOMPLETE = "\ufffd"
"""What decoding gives for the first bytes of a character that needs more."""


class Transcript:
    """A growing text as a passage, from its ids alone: nothing is ever tokenised anew.

    Token `k` spans the characters that it adds to the text of the tokens before it; the pieces of
    one character span all of it; special tokens span nothing, and those within a text, as chat
    templates have them, leave a blank between words. Words are those of the plain annotator. So a
    longer transcript has the tokens, ids and spans of a shorter one as its beginning.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, text_id: str) -> None:
        self._tokenizer = tokenizer
        self._text_id = text_id
        self._special = special_ids(tokenizer)
        self._ids: list[int] = []
        self._starts: list[int] = []
        self._ends: list[int] = []
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
        del self._ids[shared:], self._starts[shared:], self._ends[shared:]
        for one in ids[shared:]:
            self._append(one)
        self._passage = self._made()
        return self._passage

    def _append(self, one: int) -> None:
        before = self._decoded(self._ids)
        self._ids.append(one)
        after = self._decoded(self._ids)
        pending = before.endswith(_INCOMPLETE) and one not in self._special
        self._starts.append(self._starts[-1] if pending else len(before))
        self._ends.append(max(len(after), self._starts[-1]))

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
        written = self._decoded(self._ids)
        special = np.array([one in self._special for one in self._ids], bool)
        spans = np.array([self._starts, self._ends], np.int64).T.reshape(-1, 2)
        spans = np.minimum(spans, len(written))
        spans[special] = 0
        tokens = tuple(str(t) for t in self._tokenizer.convert_ids_to_tokens(self._ids))
        encoding = Encoding(tokens, np.array(self._ids, np.int64), spans, special)
        text = Text(self._text_id, self._text_id, written)
        return align(text, encoding, next(iter(Plain().annotate([text]))))


def prefix(passage: Passage, length: int) -> Passage:
    """The first `length` tokens of a passage and the words that they reach, the last one cut.

    Of the words only forms and spans are kept: what an annotator says of them was found with the
    whole text in view.

    Raises:
        UsageError: the passage is shorter.
    """
    if not 0 < length <= len(passage):
        raise UsageError(f"expected a length within 1..{len(passage)}, got {length}")
    encoding = passage.encoding
    spans = np.asarray(passage.spans[:length])
    end = int(spans[:, 1].max())
    cut = Encoding(
        encoding.tokens[:length], encoding.ids[:length], spans, encoding.is_special[:length]
    )
    reached = [(int(a), min(int(b), end)) for a, b in passage.words.spans if a < end]
    words = Words(
        tuple(passage.text[a:b] for a, b in reached), np.array(reached, np.int64).reshape(-1, 2)
    )
    return align(Text(passage.text_id, passage.group, passage.text[:end]), cut, words)
