"""Words without any analysis: letters apart from punctuation."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from headscribe.text.corpora import Text
from headscribe.text.passages import Words


@dataclass(frozen=True)
class Plain:
    """Words by a regular expression, for any script that writes blanks between them.

    A word is a run of letters, digits, underscores and their combining marks, with apostrophes
    between letters ("doesn't") and points and commas between digits ("3.14"); an emoji with its
    modifiers and everything joined to it by zero-width joiners; a flag; a run of one of
    `.!?-–—*=~#` ("..."); or any other single sign. Blanks and zero-width spaces are in no word.
    Scripts without blanks (Chinese, Japanese, Thai) come out as one word a run.

    Attributes:
        notes: why no more than words are given, where more was to be expected.
    """

    name: str = "plain"
    fingerprint: str = "plain-1"
    provides: frozenset[str] = frozenset()
    cacheable: bool = False
    notes: tuple[str, ...] = ()

    def annotate(self, texts: Sequence[Text]) -> Iterator[Words]:
        """The words of every text, their forms and spans only."""
        for text in texts:
            spans = [match.span() for match in _pattern().finditer(text.text)]
            form = tuple(text.text[start:end] for start, end in spans)
            yield Words(form, np.array(spans, np.int64).reshape(-1, 2))


@lru_cache(maxsize=1)
def _pattern() -> re.Pattern[str]:
    marks = "".join(
        chr(code)
        for code in (*range(0x300, 0x20000), *range(0xE0100, 0xE01F0))
        if unicodedata.category(chr(code))[0] == "M"
    )
    marks = re.escape(marks)
    letters = rf"\w[\w{marks}\u200c\u200d]*"
    extended = rf"(?:[{marks}\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d[^\s\w])*"
    return re.compile(
        rf"\d+(?:[.,]\d+)+[\w{marks}]*"
        rf"|{letters}(?:['’]{letters})*"
        r"|[\U0001f1e6-\U0001f1ff]{2}"
        r"|([.!?\-–—*=~#])\1*"
        rf"|[^\s\u200b\u2060\ufeff]{extended}"
    )
