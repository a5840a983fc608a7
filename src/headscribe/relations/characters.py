"""What the characters of a text say about its tokens, each judged by what stands before it."""

import re
import unicodedata
from typing import TypeAlias

import numpy as np
from jaxtyping import Float

from headscribe.core.arrays import TokenFlags
from headscribe.text.passages import Passage

TokenNumbers: TypeAlias = Float[np.ndarray, " T"]
"""One number a token, NaN where it is missing."""

TokenTexts: TypeAlias = list[str | None]
"""One string a token, None where it is missing."""

APOSTROPHES = frozenset("'’")
CLAUSE_BREAKS = frozenset(",;:.!?…—–")
OPENING = {"(": ")", "[": "]", "{": "}", "“": "”", "‘": "’", "«": "»", "`": "'", "``": "''"}
STRAIGHT_QUOTES = frozenset("\"'")
CLOSING = STRAIGHT_QUOTES | frozenset(OPENING.values())


def texts(passage: Passage) -> TokenTexts:
    r"""Return the characters of every token; none for special tokens.

    Blanks around them are left out, and kept where there is nothing else: a line break is `"\n"`.
    Of the pieces of one character the last has it, and the others have none.
    """
    return [None if piece is None else piece.strip() or piece for piece in _pieces(passage)]


def line_breaks(passage: Passage) -> TokenFlags:
    """Return the tokens whose characters hold a line break."""
    return np.array([piece is not None and "\n" in piece for piece in _pieces(passage)], bool)


def _pieces(passage: Passage) -> TokenTexts:
    text, special = passage.text, passage.is_special.tolist()
    return [
        None if special[i] or end <= start else text[start:end]
        for i, (start, end) in enumerate(passage.read_spans.tolist())
    ]


_NUMERAL = re.compile(r"[0-9]+(\.[0-9]+)?")


def numeral(text: str | None) -> float:
    """Return what a numeral such as `12` or `0.5` is worth, NaN for any other text."""
    met = text is not None and _NUMERAL.fullmatch(text)
    return float(text) if text is not None and met else float("nan")


def is_punctuation(text: str) -> bool:
    """Return whether every character is punctuation (Unicode category P)."""
    return all(unicodedata.category(character).startswith("P") for character in text)


def _continues(text: str, at: int) -> bool:
    """Whether the character at `at` carries on a word, judged by those before it alone."""
    if at == 0 or text[at - 1].isspace():
        return False
    here, before = text[at], text[at - 1]
    if here in APOSTROPHES:
        return before.isalpha()
    if before in APOSTROPHES and here.isalpha():
        return at > 1 and text[at - 2].isalpha()
    return here == before if not _in_word(here) else _in_word(before)


def _in_word(character: str) -> bool:
    return character == "_" or unicodedata.category(character)[0] in "LNM"


def word_starts(passage: Passage) -> TokenFlags:
    """Return the tokens that begin a run of letters and digits, or of one sign."""
    text, special = passage.text, passage.is_special
    starts, reached = np.zeros(len(passage), bool), 0
    for index, (start, end) in enumerate(passage.read_spans.tolist()):
        if special[index] or end <= start or not text[start:end].strip():
            continue
        inked = start + len(text[start:end]) - len(text[start:end].lstrip())
        starts[index] = inked >= reached and not _continues(text, inked)
        reached = max(reached, end)
    return starts


def runs(passage: Passage) -> TokenNumbers:
    """Return how many word starts stand before each token, its own aside."""
    run = np.cumsum(word_starts(passage)) - 1.0
    return np.where(passage.is_special | (run < 0), np.nan, run)


def clauses(passage: Passage) -> TokenNumbers:
    """Return how many clause breaks stand before each token."""
    breaks = [text is not None and text[-1] in CLAUSE_BREAKS for text in texts(passage)]
    return (np.cumsum(breaks) - np.array(breaks, np.int64)).astype(np.float64)


def openings(passage: Passage) -> TokenNumbers:
    """Return, for every closing bracket or quote, the index of the token that opened it.

    A straight quote closes where one is open; directly after a letter or a digit it opens nothing,
    being an apostrophe or a mark of feet and inches.
    """
    found = np.full(len(passage), np.nan)
    waiting: list[tuple[str, int]] = []
    starts = passage.read_spans[:, 0].tolist()
    for index, text in enumerate(texts(passage)):
        if text in CLOSING and any(closer == text for closer, _ in waiting):
            closer = ""
            while closer != text:
                closer, opened = waiting.pop()
            found[index] = opened
        elif text in OPENING:
            waiting.append((OPENING[text], index))
        elif text in STRAIGHT_QUOTES and not _after_word(passage.text, starts[index]):
            waiting.append((text, index))
    return found


def _after_word(text: str, at: int) -> bool:
    return at > 0 and _in_word(text[at - 1])
