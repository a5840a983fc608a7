"""Alignment of tokens and words by character spans."""

import numpy as np
from jaxtyping import Bool, Int

from headscribe.core.arrays import Spans
from headscribe.core.errors import UsageError
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage, Ragged, Words

_MARKS = frozenset("▁Ġ ")
"""What vocabularies write for a blank: SentencePiece, byte-level, none."""


def align(text: Text, encoding: Encoding, words: Words) -> Passage:
    """Join the tokens and the words of a text: `words_of[t]` are the words that token t touches.

    A token touches a word if their character spans overlap, blanks at the ends of the token's
    span aside; the word of the largest overlap comes first, of equals the earlier. So a subword
    that straddles words touches all of them, and every byte piece of an emoji, whose span is the
    whole character, touches the emoji's word. A token of zero width touches the words that its
    place lies strictly within. No word is touched by special tokens, by tokens of blanks only,
    and by a lone `▁` or `Ġ` that the tokenizer put before the text, whatever span it gives it.
    Words beyond a cut are touched by no token.

    Raises:
        UsageError: a span lies outside the text.
    """
    for what, spans in (("token", encoding.spans), ("word", words.spans)):
        _check(text, what, np.asarray(spans))
    tokens = stripped(text.text, np.asarray(encoding.spans, np.int64).reshape(-1, 2))
    silent = np.asarray(encoding.is_special, bool) | _only_marks(text.text, encoding)
    words_of = _overlaps(tokens, np.asarray(words.spans, np.int64).reshape(-1, 2), silent)
    return Passage(text.id, text.group, text.text, encoding, words, words_of, text.about)


def stripped(text: str, spans: Spans) -> Spans:
    """Spans without the blanks at their ends; `(0, 0)` if only blanks are left of one.

    Spans that were of zero width to begin with are kept as they are.
    """
    inked = np.array([not character.isspace() for character in text], bool)
    place = np.flatnonzero(inked)
    before = np.concatenate([[0], np.cumsum(inked)])
    first, last = before[spans[:, 0]], before[spans[:, 1]]
    some = last > first
    result = np.where(spans[:, :1] == spans[:, 1:], spans, 0)
    result[some, 0] = place[first[some]]
    result[some, 1] = place[last[some] - 1] + 1
    return result


def _check(text: Text, what: str, spans: Spans) -> None:
    if spans.size and (
        spans.ndim != 2
        or spans.shape[1] != 2
        or spans.min() < 0
        or spans.max() > len(text.text)
        or (spans[:, 0] > spans[:, 1]).any()
    ):
        raise UsageError(
            f"text {text.id}: expected {what} spans (start, end) within its {len(text.text)} "
            "characters, got one outside"
        )


def _only_marks(text: str, encoding: Encoding) -> Bool[np.ndarray, " T"]:
    """Tokens that write a blank and nothing else, unless the text itself has the mark there."""
    flags = np.zeros(len(encoding), bool)
    for index, token in enumerate(encoding.tokens):
        if _MARKS.issuperset(token):
            start, end = encoding.spans[index]
            flags[index] = not set(text[start:end]) & (_MARKS - {" "})
    return flags


def _overlaps(tokens: Spans, words: Spans, silent: Bool[np.ndarray, " T"]) -> Ragged:
    """The words that each token overlaps, best first; O((T + W) log W) for words in order."""
    order = np.argsort(words[:, 0], kind="stable")
    start, end = words[order, 0], words[order, 1]
    reach = np.maximum.accumulate(end) if len(end) else end
    low = np.searchsorted(reach, tokens[:, 0], side="right")
    high = np.searchsorted(start, tokens[:, 1], side="left")
    count = np.where(silent, 0, np.maximum(high - low, 0))
    token = np.repeat(np.arange(len(tokens)), count)
    offset = np.arange(len(token)) - np.repeat(np.cumsum(count) - count, count)
    candidate = np.repeat(low, count) + offset
    left = np.maximum(tokens[token, 0], start[candidate])
    shared: Int[np.ndarray, " n"] = np.minimum(tokens[token, 1], end[candidate]) - left
    within = (start[candidate] < tokens[token, 0]) & (tokens[token, 1] < end[candidate])
    keep = (shared > 0) | within
    token, word, shared = token[keep], order[candidate[keep]], shared[keep]
    best = np.lexsort((word, -shared, token))
    pointer = np.zeros(len(tokens) + 1, np.int64)
    np.cumsum(np.bincount(token, minlength=len(tokens)), out=pointer[1:])
    return Ragged(pointer, word[best])
