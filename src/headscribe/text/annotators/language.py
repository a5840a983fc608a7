"""Whether texts are in the language of a pipeline, which parses whatever it is given."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import lru_cache
from operator import add
from typing import Any

_WORD = re.compile(r"[^\W\d_]+")
_ADDRESS = re.compile(r"\S*(?:://|www\.|@)\S*")

SAMPLED = 200
"""Texts that are looked at, evenly spaced, and..."""

CHARACTERS = 2_000
"""... characters of each."""

WORDS = 8
"""Words from which unknown ones are telling."""

UNKNOWN = 0.4
"""Share of unknown words above which, where common words are rare too, texts are foreign."""

COMMON = 0.06
"""Share of common words that texts of the language exceed: English ones have about 0.3."""

LETTERS = 3
"""Letters from which a common word is telling: shorter ones ("in", "as") are of many languages."""

ENOUGH = 50
"""Common words from which their rarity is telling."""

FOREIGN = 0.25
"""Share of letters of other scripts, or of foreign texts, above which the language is refused."""


NOTED = 0.02
"""Share of foreign texts above which they are worth a note."""


@dataclass(frozen=True)
class _Count:
    """What is counted in texts; counts add up."""

    words: int = 0
    unknown: int = 0
    common: int = 0
    letters: int = 0
    strange: int = 0

    def __add__(self, other: "_Count") -> "_Count":
        return _Count(*map(add, astuple(self), astuple(other)))

    @property
    def foreign_script(self) -> bool:
        return self.strange > FOREIGN * self.letters

    @property
    def foreign_words(self) -> bool:
        return (
            self.words >= WORDS
            and self.unknown > UNKNOWN * self.words
            and self.common < COMMON * self.words
        )


@dataclass(frozen=True)
class Doubt:
    """Why texts seem not to be in the language of a pipeline.

    Attributes:
        refused: so many of them that tags and trees would mean nothing.
        reason: what was noticed, in numbers.
    """

    refused: bool
    reason: str


@dataclass(frozen=True)
class Language:
    """What tells the language of a pipeline: the words of its training, its common words.

    Attributes:
        name: `English`.
        words: the strings that the pipeline knows, in lower case.
        common: its stop words of at least `LETTERS` letters; none where there are too few.
        scripts: the scripts of its words, as Unicode names them.
    """

    name: str
    words: frozenset[str]
    common: frozenset[str]
    scripts: frozenset[str]

    @classmethod
    def of(cls, nlp: Any) -> "Language":  # noqa: ANN401
        """Of a pipeline as it was loaded: it adds the words of the texts that it reads."""
        words = frozenset(str(word).lower() for word in nlp.vocab.strings)
        stop = frozenset(word.lower() for word in nlp.Defaults.stop_words)
        common = frozenset(word for word in stop if len(word) >= LETTERS)
        scripts = Counter(_script(letter) for word in words for letter in word if letter.isalpha())
        frequent = {name for name, n in scripts.items() if n > 0.01 * scripts.total()}
        usual = {_script(letter) for word in stop for letter in word if letter.isalpha()}
        if len(common) < ENOUGH:
            common = frozenset()
        return cls(type(nlp).__name__, words, common, frozenset(frequent | usual))

    def doubt(self, texts: Sequence[str]) -> Doubt | None:
        """What speaks against the texts being in this language; None: nothing, or too few words.

        A text is foreign if a quarter of its letters are of other scripts, or if more than
        `UNKNOWN` of at least `WORDS` words are unknown and fewer than `COMMON` are common ones.
        Names and terms are unknown, but they come with common words.
        """
        step = max(1, len(texts) // SAMPLED)
        counts = [self._count(text[:CHARACTERS]) for text in texts[::step]]
        whole = sum(counts, _Count())
        telling = bool(self.common)
        foreign = sum(c.foreign_script or (telling and c.foreign_words) for c in counts)
        if whole.foreign_script:
            share = whole.strange / whole.letters
            return Doubt(True, f"{share:.0%} of their letters are of another script")
        if telling and whole.foreign_words:
            unknown, common = (n / whole.words for n in (whole.unknown, whole.common))
            return Doubt(True, f"{unknown:.0%} of their words are unknown, {common:.0%} common")
        if foreign <= NOTED * len(counts):
            return None
        many = f"{foreign} of {len(counts)} texts are of another script or language"
        return Doubt(foreign > FOREIGN * len(counts), many)

    def _count(self, text: str) -> _Count:
        words = [word.lower() for word in _WORD.findall(_ADDRESS.sub(" ", text))]
        letters = "".join(words)
        return _Count(
            len(words),
            sum(word not in self.words for word in words),
            sum(word in self.common for word in words),
            len(letters),
            sum(_script(letter) not in self.scripts for letter in letters),
        )


@lru_cache(maxsize=4096)
def _script(letter: str) -> str:
    """`LATIN`, `CYRILLIC`, `CJK`: the first word of the letter's name."""
    return unicodedata.name(letter, "").partition(" ")[0].partition("-")[0]
