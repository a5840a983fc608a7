"""A passage: the tokens that a model reads, the words that a linguist reads, how they align."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from headscribe.core.arrays import Spans, TokenFlags, TokenIndex
from headscribe.core.errors import UsageError
from headscribe.core.visible import visible

WORD_FIELDS = ("lemma", "upos", "xpos", "morph", "dep", "head", "entity", "sentence")
"""What an annotator may know about a word besides its form and span."""


@dataclass(frozen=True)
class Words:
    """The words of one text, each field a column; `None`: the annotator does not know the field.

    Attributes:
        form: the words as written.
        spans: character spans into the text, shape `(W, 2)`.
        lemma: dictionary forms.
        upos: Universal Dependencies part-of-speech tags (`NOUN`, `VERB`, ...).
        xpos: treebank-specific tags.
        morph: morphological features as in CoNLL-U, `Number=Sing|Person=3`; "" for none.
        dep: Universal Dependencies relation to the head, `nsubj`, `acl:relcl`.
        head: index of the syntactic head, shape `(W,)`; -1 for a root.
        entity: entity type, "" for none.
        sentence: index of the sentence, ascending from 0, shape `(W,)`.
    """

    form: tuple[str, ...]
    spans: Spans
    lemma: tuple[str, ...] | None = None
    upos: tuple[str, ...] | None = None
    xpos: tuple[str, ...] | None = None
    morph: tuple[str, ...] | None = None
    dep: tuple[str, ...] | None = None
    head: Int[np.ndarray, " W"] | None = None
    entity: tuple[str, ...] | None = None
    sentence: Int[np.ndarray, " W"] | None = None

    def __post_init__(self) -> None:
        for one in fields(self):
            column = getattr(self, one.name)
            if column is not None and len(column) != len(self.form):
                raise UsageError(
                    f"expected {len(self.form)} values in the word column {one.name}, "
                    f"got {len(column)}"
                )
        if self.head is not None and len(self.form):
            head = np.asarray(self.head)
            if head.min() < -1 or head.max() >= len(self.form):
                raise UsageError("expected heads to be word indices, or -1 for a root")

    def __len__(self) -> int:
        return len(self.form)

    @property
    def provides(self) -> frozenset[str]:
        """The fields of `WORD_FIELDS` that are known."""
        return frozenset(name for name in WORD_FIELDS if getattr(self, name) is not None)


@dataclass(frozen=True)
class Ragged:
    """Lists of integers of different lengths, one a row: `index[ptr[i]:ptr[i + 1]]`."""

    ptr: Int[np.ndarray, " N_ends"]
    index: Int[np.ndarray, " nnz"]

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> "Ragged":
        """Pack lists of integers."""
        ptr = np.concatenate([[0], np.cumsum([len(item) for item in lists])]).astype(np.int64)
        index = np.array([i for item in lists for i in item], np.int64)
        return cls(ptr, index)

    def __len__(self) -> int:
        return len(self.ptr) - 1

    def __getitem__(self, row: int) -> Int[np.ndarray, " n"]:
        if not 0 <= row < len(self):
            raise IndexError(row)
        values: Int[np.ndarray, " n"] = self.index[self.ptr[row] : self.ptr[row + 1]]
        return values

    def __iter__(self) -> Iterator[Int[np.ndarray, " n"]]:
        return (self[row] for row in range(len(self)))


@dataclass(frozen=True)
class Encoding:
    """One text as a tokenizer sees it; shape of every column `(T,)`.

    Attributes:
        tokens: the tokens as the vocabulary writes them (`Ġhome`, `##ing`, `▁the`).
        ids: vocabulary ids.
        spans: character spans into the text, `(0, 0)` for tokens that stand for no character; the
            pieces of one character all span it.
        is_special: tokens that the tokenizer added (`[CLS]`, `<s>`), and control tokens that stand
            in the text itself (`<|im_end|>`).
        cut: number of further tokens that were cut off, since the text was longer than the limit.
    """

    tokens: tuple[str, ...]
    ids: TokenIndex
    spans: Spans
    is_special: TokenFlags
    cut: int = 0

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def read_spans(self) -> Spans:
        """Spans of the characters that are whole once a token is read, shape `(T, 2)`.

        Pieces of one character all have it in their span, though the first of them alone says
        nothing of it. Here a token ends where a later one begins: the last piece has it.
        """
        spans: Spans = np.array(self.spans, np.int64).reshape(-1, 2)
        start = np.where(spans[:, 1] > spans[:, 0], spans[:, 0], np.iinfo(np.int64).max)
        later = np.minimum.accumulate(start[::-1])[::-1]
        spans[:-1] = np.minimum(spans[:-1], later[1:, None])
        return spans


@dataclass(frozen=True)
class Passage:
    """A text after tokenisation and annotation: what patterns read.

    Attributes:
        text_id: the identity of the text in its corpus.
        group: what may not be split apart (document, story).
        text: the characters.
        encoding: the tokens; also reached as `tokens`, `ids`, `spans`, `is_special`.
        words: the words and what the annotator knows of them.
        words_of: for every token the words that it touches, best overlap first; often one, none
            for special tokens, several where a subword straddles words.
        about: what is known of the whole text, by name: a class, the model's own answer.
    """

    text_id: str
    group: str
    text: str
    encoding: Encoding
    words: Words
    words_of: Ragged
    about: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.words_of) != len(self.encoding):
            raise UsageError(
                f"text {self.text_id}: {len(self.encoding)} tokens but the words of "
                f"{len(self.words_of)}"
            )

    def __len__(self) -> int:
        return len(self.encoding)

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens as the vocabulary writes them."""
        return self.encoding.tokens

    def label(self, token: int) -> str:
        r"""The token as a person reads it: its characters, `\n` for a line break, `␣` for a blank.

        A token that stands for no character is called what the vocabulary calls it.
        """
        start, end = self.spans[token].tolist()
        piece = self.text[start:end]
        blanks = "".join("␣" if one == " " else visible(one) for one in piece)
        return piece.strip() or blanks or self.tokens[token]

    @property
    def ids(self) -> TokenIndex:
        """Vocabulary ids, shape `(T,)`."""
        return self.encoding.ids

    @property
    def spans(self) -> Spans:
        """Character spans, shape `(T, 2)`."""
        return self.encoding.spans

    @property
    def read_spans(self) -> Spans:
        """Spans without characters of which pieces are yet to come, shape `(T, 2)`."""
        return self.encoding.read_spans

    @property
    def is_special(self) -> TokenFlags:
        """Tokens that the tokenizer added, and control tokens of the text, shape `(T,)`."""
        return self.encoding.is_special

    @cached_property
    def word(self) -> TokenIndex:
        """The word that each token overlaps most (the first of equals), -1 for none, `(T,)`."""
        first = np.full(len(self), -1)
        some = np.diff(self.words_of.ptr) > 0
        first[some] = self.words_of.index[self.words_of.ptr[:-1][some]]
        return first

    @cached_property
    def tokens_of(self) -> Ragged:
        """For every word the tokens that touch it, ascending: the inverse of `words_of`."""
        lists: list[list[int]] = [[] for _ in range(len(self.words))]
        for token, touched in enumerate(self.words_of):
            for word in touched:
                lists[word].append(token)
        return Ragged.from_lists(lists)

    @cached_property
    def is_bos(self) -> TokenFlags:
        """The special token that opens the sequence (`[CLS]`, `<s>`), shape `(T,)`."""
        return self.is_special & (np.arange(len(self)) == 0)

    @cached_property
    def is_eos(self) -> TokenFlags:
        """Special tokens other than an opening one (`[SEP]`, `</s>`), shape `(T,)`."""
        flags: Bool[np.ndarray, " T"] = self.is_special & ~self.is_bos
        return flags


def known_of(texts: Iterable[Mapping[str, str]]) -> frozenset[str]:
    """What relations may read of texts that this is known of: `text.<name>`."""
    return frozenset(f"text.{name}" for about in texts for name in about)
