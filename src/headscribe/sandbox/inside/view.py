"""The passage that a program is given: plain data, read-only."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from headscribe.sandbox.inside.given import FIELDS, INDEX_FIELDS, TEXT_FIELDS


def _frozen(values: ArrayLike, kind: type) -> NDArray[Any]:
    array: NDArray[Any] = np.array(values, kind)
    array.setflags(write=False)
    return array


class _ReadOnly:
    """An object whose attributes are set once, in `__init__`."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a passage is read-only: cannot set `{name}`")


class Words(_ReadOnly):
    """The words of a passage, each field a column of `W` values.

    Attributes:
        form: the words as written, tuple of strings.
        spans: character spans into the text, shape `(W, 2)`.
        lemma, upos, xpos, morph, dep, entity: tuples of strings.
        head: index of the syntactic head's word, -1 for a root, shape `(W,)`.
        sentence: index of the sentence, from 0, shape `(W,)`.

    Raises:
        AttributeError: a field that the annotator of this text does not know.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        known: dict[str, Any] = {
            "form": tuple(columns["form"]),
            "spans": _frozen(columns["word_spans"], np.int64).reshape(-1, 2),
        }
        known |= {f: tuple(columns[f]) for f in TEXT_FIELDS if columns.get(f) is not None}
        known |= {
            f: _frozen(columns[f], np.int64) for f in INDEX_FIELDS if columns.get(f) is not None
        }
        self.__dict__.update(known)

    def __len__(self) -> int:
        return len(self.form)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - columns of several kinds
        if name in FIELDS:
            raise AttributeError(
                f"the words of this text have no `{name}`, or the program's text does not name it"
            )
        known = ", ".join(sorted(self.__dict__))
        raise AttributeError(f"words have no `{name}`; they have {known}")


class Passage(_ReadOnly):
    """The tokens of one text and the words they belong to; `len(p)` is the number of tokens `T`.

    Attributes:
        text: the characters.
        tokens: the tokens as the vocabulary writes them (`Ġhome`, `##ing`), tuple of strings.
        ids: vocabulary ids, shape `(T,)`.
        spans: character spans, shape `(T, 2)`; empty for tokens that stand for no character, and
            for the pieces of one character but the last, which has it.
        is_special: tokens that the tokenizer added, shape `(T,)`.
        is_bos: the special token that opens the sequence, shape `(T,)`.
        is_eos: the other special tokens, shape `(T,)`.
        word: index of the word that each token overlaps most, -1 for none, shape `(T,)`.
        words_of: for each token the words that it touches, tuple of tuples.
        tokens_of: for each word the tokens that touch it, ascending, tuple of tuples.
        words: the words and what is known of them, see `Words`.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.__dict__.update(
            text=columns["text"],
            tokens=tuple(columns["tokens"]),
            spans=_frozen(columns["spans"], np.int64).reshape(-1, 2),
            words=Words(columns),
        )
        for name in ("ids", "word"):
            self.__dict__[name] = _frozen(columns[name], np.int64)
        for name in ("is_special", "is_bos", "is_eos"):
            self.__dict__[name] = _frozen(columns[name], np.bool_)
        for name in ("words_of", "tokens_of"):
            self.__dict__[name] = tuple(tuple(row) for row in columns[name])

    def __len__(self) -> int:
        return len(self.tokens)

    def by_token(self, field: str) -> tuple[Any, ...]:
        """A word column spread over the tokens, by `word`; None for tokens without a word."""
        column = getattr(self.words, field)
        return tuple(None if w < 0 else column[w] for w in self.word)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - columns of several kinds
        known = ", ".join(sorted(self.__dict__))
        raise AttributeError(f"a passage has no `{name}`; it has {known}, by_token(field)")
