"""Corpora: texts with an identity and a group, from files, strings and data sets."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

from headscribe.core.assets import asset
from headscribe.core.errors import UsageError
from headscribe.text.passages import WORD_FIELDS, Words
from headscribe.text.readers import records
from headscribe.text.records import Record, Source, is_text, record_of


@dataclass(frozen=True)
class Text:
    """One text of a corpus: the unit of sampling.

    Attributes:
        id: its identity, unique in the corpus.
        group: what may not be split apart (document, story): the unit of splits and intervals.
        text: the characters.
        words: gold annotation, if the corpus has it.
    """

    id: str
    group: str
    text: str
    words: Words | None = None

    @cached_property
    def digest(self) -> bytes:
        """16 bytes of hash over everything: id, group, characters, gold words."""
        parts = [self.id, self.group, self.text]
        if self.words is not None:
            columns = [self.words.form, self.words.spans.tolist()]
            columns += [getattr(self.words, name) for name in WORD_FIELDS]
            parts += [repr(list(c) if c is not None else None) for c in columns]
        hashed = blake2b(digest_size=16)
        for part in parts:
            raw = part.encode("utf-8", "surrogatepass")
            hashed.update(len(raw).to_bytes(8, "big") + raw)
        return hashed.digest()


@dataclass(frozen=True)
class Corpus:
    """Texts, none of them empty, their ids unique.

    Attributes:
        name: what a report calls it.
        texts: the texts, in the order they were read.
        skipped: how many texts were kept out, by reason (`empty`).
    """

    name: str
    texts: tuple[Text, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of hash over the set of texts, whatever their order."""
        digests = sorted(text.digest for text in self.texts)
        return blake2b(b"".join(digests), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[Text]:
        return iter(self.texts)

    def limit(self, n: int) -> "Corpus":
        """The first `n` texts.

        Raises:
            UsageError: `n` is less than 1.
        """
        return replace(self, texts=self.texts[: _positive(n)])


SAMPLES = "bundled:samples"
"""The name of the short stories that come with Headscribe."""


def _file(path: str | os.PathLike[str]) -> Path:
    return asset("samples") / "stories.jsonl" if path == SAMPLES else Path(path)


@runtime_checkable
class DatasetLike(Protocol):
    """What is asked of a Hugging Face data set: the names of its columns, and rows."""

    @property
    def column_names(self) -> Sequence[str]: ...  # noqa: D102
    def __iter__(self) -> Iterator[Mapping[str, object]]: ...


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], limit: int | None = None
) -> Corpus:
    """Read texts from files, each .txt, .jsonl, .csv, .parquet or .conllu, perhaps with .gz.

    A .txt file holds a text per block if a blank line stands anywhere between two lines with
    text, else a text per line; .jsonl, .csv and .parquet have a field `text` and perhaps `id` and
    `group`; .conllu has a text per sentence, with gold words, grouped by `# newdoc id`.

    A text without an id is called by its file and line, `stories:12`. Ids that occur again get
    `#2`, `#3`, ... The group of a text that has none is the id that it came with, so that texts
    which share one stay together; without an id it is a hash of the text, so that splits do not
    depend on order, and identical texts stay together.

    Args:
        paths: one path, or several; `bundled:samples` are the short stories that come along.
        limit: stop after so many texts that are not empty.

    Raises:
        UsageError: no such file, an unknown extension, broken content (with file and line), a
            file that is not UTF-8, or no text at all.
    """
    listed = [paths] if isinstance(paths, (str, os.PathLike)) else list(paths)
    sources = [Source(_file(path)) for path in listed]
    if not sources:
        raise UsageError("expected at least one file of texts, got none")
    stems = [source.stem for source in sources]
    shown = stems if len(stems) <= 3 else [*stems[:2], f"{len(stems) - 2} more"]
    prefixes = unique_names(stems)

    def everything() -> Iterator[tuple[str, str, Record]]:
        for source, prefix in zip(sources, prefixes, strict=True):
            for record in records(source):
                yield prefix, f"{source.path}:{record.number}", record

    return _corpus("+".join(shown), everything(), limit, ", ".join(map(str, listed)))


def from_strings(texts: Iterable[str], limit: int | None = None, name: str = "strings") -> Corpus:
    """Make a corpus of strings, with the ids `text:1`, `text:2`, ...

    Raises:
        UsageError: one string instead of several, an item that is no string, or no text at all.
    """
    if isinstance(texts, str):
        raise UsageError("expected a list of strings, got one string; put it in brackets")

    def everything() -> Iterator[tuple[str, str, Record]]:
        for number, text in enumerate(texts, 1):
            yield "text", f"text {number}", _at(f"text {number}", {"text": text}, number)

    return _corpus(name, everything(), limit, "the list of strings")


def from_dataset(dataset: DatasetLike, limit: int | None = None) -> Corpus:
    """Make a corpus of a Hugging Face data set with a column `text`, perhaps `id` and `group`.

    Raises:
        UsageError: several splits instead of one, no column `text`, a value of a wrong type, or
            no text at all.
    """
    if isinstance(dataset, Mapping):
        splits = ", ".join(map(str, dataset))
        raise UsageError(f"expected one split of a data set, got several; choose one of: {splits}")
    columns = list(getattr(dataset, "column_names", None) or ["text"])
    if "text" not in columns:
        raise UsageError(
            f"expected a data set with a column `text`, got: {', '.join(columns)}; "
            "rename_column makes one"
        )

    def everything() -> Iterator[tuple[str, str, Record]]:
        for number, row in enumerate(dataset, 1):
            yield "row", f"row {number}", _at(f"row {number}", row, number)

    info = getattr(dataset, "info", None)
    name = getattr(info, "dataset_name", None) or "dataset"
    return _corpus(str(name), everything(), limit, "the data set")


def _at(place: str, fields: Mapping[str, object], number: int) -> Record:
    if not isinstance(fields, Mapping):
        raise UsageError(f"{place}: expected a row of named values, got {type(fields).__name__}")
    try:
        return record_of(fields, number)
    except UsageError as error:
        raise UsageError(f"{place}: {error}") from None


def _corpus(
    name: str, found: Iterator[tuple[str, str, Record]], limit: int | None, where: str
) -> Corpus:
    empty = 0

    def wanted() -> Iterator[tuple[str, str, Record]]:
        nonlocal empty
        for prefix, place, record in found:
            for value in (record.text, record.id or "", record.group or ""):
                if not is_text(value):
                    raise UsageError(
                        f"{place}: expected characters, got half of a surrogate pair (\\ud800 to "
                        "\\udfff), which no text can hold"
                    )
            if record.text.strip():
                yield prefix, place, record
            else:
                empty += 1

    stop = None if limit is None else _positive(limit)
    taken = list(islice(wanted(), stop))
    if not taken:
        counted = f" ({empty} empty)" if empty else ""
        raise UsageError(f"expected at least one text in {where}, got none{counted}")
    written = [record.id or f"{prefix}:{record.number}" for prefix, _, record in taken]
    texts = tuple(
        Text(id, record.group or record.id or _group_of(record.text), record.text, record.words)
        for id, (_, _, record) in zip(unique_names(written), taken, strict=True)
    )
    return Corpus(name, texts, {"empty": empty} if empty else {})


def _group_of(text: str) -> str:
    return "text " + blake2b(text.encode(), digest_size=8).hexdigest()


def unique_names(names: Sequence[str]) -> list[str]:
    """The names; those that occur again get the first of `#2`, `#3`, ... that is free."""
    taken = set(names)
    count: dict[str, int] = {}
    result = []
    for name in names:
        count[name] = count.get(name, 0) + 1
        if count[name] == 1:
            result.append(name)
            continue
        while f"{name}#{count[name]}" in taken:
            count[name] += 1
        result.append(f"{name}#{count[name]}")
        taken.add(result[-1])
    return result


def _positive(limit: int) -> int:
    if limit < 1:
        raise UsageError(f"expected a limit of at least 1 text, got {limit}")
    return limit
