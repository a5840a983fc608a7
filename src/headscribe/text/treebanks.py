"""CoNLL-U: sentences with gold words, lemmas, tags and trees."""

import re
import unicodedata
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from headscribe.text.passages import Words
from headscribe.text.records import Record, Source

_ID = re.compile(r"(\d{1,6})(?:-(\d{1,6})|\.(\d{1,6}))?")
_SPACE_AFTER_NO = re.compile(r"(?:^|\|)SpaceAfter=No(?:\||$)")


class _Surface(NamedTuple):
    """A written unit: a multiword token, or a word that is its own token."""

    number: int
    form: str
    words: list[list[str]]
    space_after: bool


class _Sentence:
    """The lines of one sentence, collected and then turned into a record."""

    def __init__(self, source: Source, begin: int) -> None:
        self.source = source
        self.begin = begin
        self.comments: dict[str, str] = {}
        self.rows: list[tuple[int, list[str]]] = []

    def surfaces(self) -> list[_Surface]:
        """The written units in order; empty nodes are skipped, word numbers checked."""
        units: list[_Surface] = []
        covered = seen = 0
        for number, row in self.rows:
            match = _ID.fullmatch(row[0])
            if match is None:
                raise self.source.error(number, f"expected a word number, got {row[0]!r}")
            if match[3] is not None:
                continue
            first, last = int(match[1]), int(match[2] or match[1])
            if first != seen + 1 or last < first or (match[2] and first <= covered):
                raise self.source.error(number, f"expected word {seen + 1}, got {row[0]}")
            space = _SPACE_AFTER_NO.search(row[9]) is None
            if match[2] is not None:
                units.append(_Surface(number, row[1], [], space))
                covered = last
                continue
            seen = first
            if first > covered:
                units.append(_Surface(number, row[1], [row], space))
            else:
                units[-1].words.append(row)
        if seen < covered:
            raise self.source.error(self.begin, f"expected words up to {covered}, got {seen}")
        return units

    def record(self, group: str) -> Record:
        """The sentence as a text with gold words, or as one whose words are withheld."""
        units = self.surfaces()
        if _withheld([row for unit in units for row in unit.words]):
            name = self.comments.get("sent_id") or None
            return Record("", self.begin, name, group, withheld=True)
        text = self.comments.get("text")
        if text is None:
            joined = "".join(unit.form + " " * unit.space_after for unit in units)
            text = joined.rstrip()
        spans: list[tuple[int, int]] = []
        cursor = 0
        for unit in units:
            start, cursor = self._locate(unit, text, cursor)
            spans += split_span(unit.form, [row[1] for row in unit.words], start)
        if text[cursor:].strip():
            raise self.source.error(
                self.begin, f"expected words for all of `# text`, got none for {text[cursor:]!r}"
            )
        rows = [row for unit in units for row in unit.words]
        if not rows:
            raise self.source.error(self.begin, "expected at least one word in the sentence")
        words = Words(
            form=tuple(row[1] for row in rows),
            spans=np.array(spans, np.int64).reshape(-1, 2),
            lemma=_column(rows, 2),
            upos=_column(rows, 3),
            xpos=_column(rows, 4),
            morph=tuple("" if row[5] == "_" else row[5] for row in rows),
            dep=_column(rows, 7),
            head=self._heads(),
            sentence=np.zeros(len(rows), np.int64),
        )
        return Record(text, self.begin, self.comments.get("sent_id") or None, group, words)

    def _locate(self, unit: _Surface, text: str, cursor: int) -> tuple[int, int]:
        while cursor < len(text) and text[cursor].isspace():
            cursor += 1
        end = cursor + len(unit.form)
        found = zip(text[cursor:end], unit.form, strict=False)
        same = all(a == b or (a.isspace() and b.isspace()) for a, b in found)
        if end > len(text) or not same:
            raise self.source.error(
                unit.number,
                f"expected {unit.form!r} at character {cursor + 1} of `# text`, "
                f"got {text[cursor : cursor + len(unit.form) + 10]!r}",
            )
        return cursor, end

    def _heads(self) -> Int[np.ndarray, " W"] | None:
        plain = [(number, row) for number, row in self.rows if row[0].isdecimal()]
        if all(row[6] == "_" for _, row in plain):
            return None
        heads = np.zeros(len(plain), np.int64)
        for word, (number, row) in enumerate(plain):
            if not (re.fullmatch(r"\d{1,6}", row[6]) and int(row[6]) <= len(plain)):
                raise self.source.error(
                    number, f"expected a head within 0..{len(plain)}, got {row[6]!r}"
                )
            heads[word] = int(row[6]) - 1
        cycle = _word_on_a_cycle(heads)
        if cycle is not None:
            raise self.source.error(
                plain[cycle][0], f"expected a tree, but word {cycle + 1} is its own ancestor"
            )
        return heads


def _word_on_a_cycle(heads: Int[np.ndarray, " W"]) -> int | None:
    """A word that is its own ancestor; pointers are doubled until all have passed the root."""
    far = heads.copy()
    for _ in range(max(len(heads), 1).bit_length()):
        far = np.where(far >= 0, far[far], -1)
    on_cycle = far[far >= 0]
    return int(on_cycle[0]) if len(on_cycle) else None


_SIGNS = frozenset(["PUNCT", "SYM", "X"])


def _withheld(rows: list[list[str]]) -> bool:
    """Whether the words are `_` throughout, signs perhaps aside, though not tagged as signs."""
    forms = [row[1] for row in rows]
    blank = [row for row in rows if row[1] == "_"]
    if any(c.isalnum() for form in forms for c in form) or 2 * len(blank) < len(rows):
        return False
    return any(row[3] not in _SIGNS and (row[3] != "_" or len(rows) > 1) for row in blank)


def _column(rows: list[list[str]], index: int) -> tuple[str, ...] | None:
    """A column, "" where it is missing; `None` if it is missing in the whole sentence."""
    values = tuple(
        "" if row[index] == "_" and not (index == 2 and row[1] == "_") else row[index]
        for row in rows
    )
    return values if any(values) else None


def _base(character: str) -> str:
    return unicodedata.normalize("NFD", character)[0].casefold()


def split_span(form: str, words: list[str], start: int) -> list[tuple[int, int]]:
    """Character spans of the words of one token written as `form` at `start`.

    Words that spell the token, case and accents aside ("does" + "n't" in "doesn't"), split its
    span; others ("de" + "le" in "du") share the whole of it.
    """
    if [_base(c) for c in "".join(words)] != [_base(c) for c in form]:
        return [(start, start + len(form))] * len(words)
    spans = []
    for word in words:
        spans.append((start, start + len(word)))
        start += len(word)
    return spans


def read_conllu(source: Source) -> Iterator[Record]:
    """One record a sentence: its `# text` (or its words joined by `SpaceAfter`) and gold words.

    The group is the `# newdoc id` that the sentence stands under; sentences under none share the
    file's name as their group. Multiword tokens are split by `split_span`, empty nodes skipped.
    A column that is `_` throughout a sentence is unknown, except for the features; a sentence whose
    words are `_` is one whose words are withheld.

    Raises:
        UsageError: a line is not CoNLL-U, a tree is none, or words and `# text` disagree.
    """
    group, documents = source.stem, 0
    sentence: _Sentence | None = None
    for number, line in source.lines():
        if not line.strip():
            if sentence is not None and sentence.rows:
                yield sentence.record(group)
                sentence = None
            continue
        sentence = sentence or _Sentence(source, number)
        if line.startswith("#"):
            name, _, value = line[1:].partition("=")
            name, value = name.strip(), value.strip()
            if name == "newdoc" or name == "newdoc id":
                documents += 1
                group = value or f"{source.stem}:document {documents}"
            else:
                sentence.comments.setdefault(name, value)
            continue
        row = line.split("\t")
        if len(row) != 10 or not row[1]:
            raise source.error(
                number, f"expected 10 tab-separated columns of CoNLL-U, got {len(row)}"
            )
        sentence.rows.append((number, row))
    if sentence is not None and sentence.rows:
        yield sentence.record(group)
