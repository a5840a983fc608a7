"""Gold words: those that came with the corpus, the tree as it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from headscribe.core.errors import UsageError
from headscribe.text.corpora import Corpus, Text
from headscribe.text.passages import WORD_FIELDS, Words


@dataclass(frozen=True)
class Gold:
    """The gold annotation of a corpus, as CoNLL-U files have it.

    Attributes:
        provides: the word fields that are handed on; a field that some text lacks is left out for
            all of them.
    """

    provides: frozenset[str] = frozenset(WORD_FIELDS) - {"entity"}
    name: str = "conllu"
    fingerprint: str = "conllu-1"
    cacheable: bool = False

    @classmethod
    def of(cls, corpus: Corpus) -> "Gold":
        """The gold annotation of `corpus`, with the fields that all its texts have.

        Raises:
            UsageError: a text has no gold words.
        """
        known = frozenset(WORD_FIELDS)
        for text in corpus:
            known &= _gold(text).provides
        return cls(known)

    def annotate(self, texts: Sequence[Text]) -> Iterator[Words]:
        """The gold words of every text.

        Raises:
            UsageError: a text has no gold words, or lacks one of the fields.
        """
        for text in texts:
            words = _gold(text)
            missing = self.provides - words.provides
            if missing:
                raise UsageError(
                    f"text {text.id}: expected gold {', '.join(sorted(missing))}, got none; "
                    "`Gold.of(corpus)` provides what all its texts have"
                )
            unwanted: dict[str, Any] = dict.fromkeys(words.provides - self.provides)
            yield replace(words, **unwanted)


def _gold(text: Text) -> Words:
    if text.words is None:
        raise UsageError(
            f"text {text.id}: expected gold words, got none; texts of .conllu files have them, "
            "others need an annotator such as bundled:en"
        )
    return text.words
