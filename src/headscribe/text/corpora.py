"""Corpora: texts with an identity and a group, from files, strings and data sets."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from headscribe.core.assets import asset
from headscribe.core.errors import UsageError, unknown_name
from headscribe.text.fields import Fields
from headscribe.text.grouping import blocks_of
from headscribe.text.passages import WORD_FIELDS, Words
from headscribe.text.readers import READERS, records
from headscribe.text.records import Record, Source, is_text


@dataclass(frozen=True)
class Text:
    """One text of a corpus: the unit of sampling.

    Attributes:
        id: its identity, unique in the corpus.
        group: what may not be split apart (document, story): the unit of splits and intervals.
        text: the characters.
        words: gold annotation, if the corpus has it.
        about: what is known of the whole text, by name: relations read it as `text.<name>`.
    """

    id: str
    group: str
    text: str
    words: Words | None = None
    about: Mapping[str, str] = field(default_factory=dict, hash=False)

    @cached_property
    def digest(self) -> bytes:
        """16 bytes of hash over everything: id, group, characters, gold words, what is known."""
        parts = [self.id, self.group, self.text]
        if self.words is not None:
            columns = [self.words.form, self.words.spans.tolist()]
            columns += [getattr(self.words, name) for name in WORD_FIELDS]
            parts += [repr(list(c) if c is not None else None) for c in columns]
        parts += [repr(pair) for pair in sorted(self.about.items())]
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
        skipped: how many texts were kept out, by reason (`empty`, `WITHHELD`).
        notes: what was guessed of them, and what their number allows.
    """

    name: str
    texts: tuple[Text, ...]
    skipped: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of hash over the set of texts, whatever their order."""
        digests = sorted(text.digest for text in self.texts)
        return blake2b(b"".join(digests), digest_size=16).hexdigest()

    def __len__(self) -> int:
        return len(self.texts)

    def __iter__(self) -> Iterator[Text]:
        return iter(self.texts)

    def __repr__(self) -> str:
        groups = len({text.group for text in self.texts})
        return f"<Corpus {self.name}: {len(self)} texts of {groups} groups>"

    def limit(self, n: int) -> "Corpus":
        """The first `n` texts.

        Raises:
            UsageError: `n` is less than 1.
        """
        return _grouped(replace(self, texts=self.texts[: _positive(n)]))


WITHHELD = "with withheld words"

SAMPLES = "bundled:samples"
"""The name of the short stories that come with Headscribe."""


def _file(path: str | os.PathLike[str]) -> Path:
    if str(path) == SAMPLES:
        return asset("samples") / "stories.jsonl"
    if str(path).startswith("bundled:"):
        raise unknown_name("bundled text", str(path), [SAMPLES])
    return Path(path).expanduser()


@runtime_checkable
class DatasetLike(Protocol):
    """What is asked of a Hugging Face data set: the names of its columns, and rows."""

    @property
    def column_names(self) -> Sequence[str]: ...  # noqa: D102
    def __iter__(self) -> Iterator[Mapping[str, object]]: ...


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    limit: int | None = None,
    column: str | None = None,
) -> Corpus:
    """Read texts from files, each of one of `readers.READERS`' extensions, perhaps with .gz.

    A .txt file holds a text per block if a blank line stands anywhere between two lines with
    text, else a text per line; .jsonl, .ndjson, .json, .csv, .tsv and .parquet have a column with
    the text and perhaps `id`, `group` and what is known of the whole text, `text.label`; .conllu
    has a text per sentence, with gold words, grouped by `# newdoc id`. Where groups are too few to
    split, see `grouping`.

    A text without an id is called by its file and line, `stories:12`. Ids that occur again get
    `#2`, `#3`, ... The group of a text that has none is the id that it came with, so that texts
    which share one stay together; without an id it is a hash of the text, so that splits do not
    depend on order, and identical texts stay together.

    Args:
        paths: one path, or several; `bundled:samples` are the short stories that come along.
        limit: stop after so many texts that are not empty.
        column: of tables the column with the text; None: `text`, or a guess that is noted.

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
    fields = Fields(column)

    def everything() -> Iterator[tuple[str, str, Record]]:
        for source, prefix in zip(sources, prefixes, strict=True):
            for record in records(source, fields):
                yield prefix, f"{source.path}:{record.number}", record

    return _corpus("+".join(shown), everything(), limit, ", ".join(map(str, listed)), fields)


def from_strings(
    items: Iterable[object],
    limit: int | None = None,
    name: str = "strings",
    column: str | None = None,
) -> Corpus:
    """Make a corpus of what stands in memory: strings, rows of named values, pairs, chats.

    Texts without an id are called `text:1`, `text:2`, ...

    Raises:
        UsageError: one string instead of several, an item of another kind, or no text at all.
    """
    if isinstance(items, str):
        raise UsageError("expected a list of strings, got one string; put it in brackets")
    fields = Fields(column)
    return _corpus(name, _numbered("text", items, fields), limit, "the texts in memory", fields)


def from_dataset(table: Any, limit: int | None = None, column: str | None = None) -> Corpus:  # noqa: ANN401
    """Make a corpus of a table: a Hugging Face data set, a frame of pandas or polars, an Arrow one.

    Raises:
        UsageError: several splits instead of one, no column with a text, a value of a wrong type,
            or no text at all.
    """
    if isinstance(table, Mapping) and all(isinstance(column, list) for column in table.values()):
        rows = zip(*table.values(), strict=False)
        table = [dict(zip(table, row, strict=True)) for row in rows]
        return from_strings(table, limit, column=column)
    if isinstance(table, Mapping):
        splits = ", ".join(map(str, table))
        raise UsageError(f"expected one split of a data set, got several; choose one of: {splits}")
    fields = Fields(column)
    names = getattr(table, "column_names", None)
    if names is None:
        names = getattr(table, "columns", None)
    columns = [str(name) for name in names] if names is not None and not callable(names) else []
    if len(columns) > 1:
        fields.check(columns)
    info = getattr(table, "info", None)
    name = getattr(info, "dataset_name", None) or "dataset"
    found = _numbered("row", _rows_of(table), fields)
    return _corpus(str(name), found, limit, "the data set", fields)


def _rows_of(table: Any) -> Iterable[Any]:  # noqa: ANN401
    """The rows of a table as mappings, by whichever way its library offers."""
    if hasattr(table, "iter_rows"):
        rows: Iterable[Any] = table.iter_rows(named=True)
        return rows
    if hasattr(table, "to_pylist"):
        return list(table.to_pylist())
    if hasattr(table, "itertuples"):
        names = list(table.columns)
        tuples = table.itertuples(index=False, name=None)
        return ({str(n): v for n, v in zip(names, row, strict=True)} for row in tuples)
    return iter(table)


def corpus(
    source: Any,  # noqa: ANN401 - whatever people have at hand
    limit: int | None = None,
    column: str | None = None,
) -> Corpus:
    """Texts from whatever people have at hand.

    Args:
        source: a path, or a list of paths, to .txt, .jsonl, .ndjson, .json, .csv, .tsv, .parquet or
            .conllu (also .gz), or `-` for plain text that is piped in; a list, a generator, an
            array or a series of strings, of rows or of chats; a data set, a frame of pandas or
            polars, a dictionary of columns, or an Arrow table; or a corpus.
        limit: at most so many texts.
        column: of tables the column with the text; None: `text`, or a guess that is noted.

    >>> corpus(["The cat sat.", "A dog ran."]).texts[1].text
    'A dog ran.'

    Raises:
        UsageError: no such file, broken content (named by its line), or no text at all.
    """
    if isinstance(source, Corpus):
        return source if limit is None else source.limit(limit)
    if isinstance(source, str | os.PathLike):
        return read(source, limit, column)
    if isinstance(source, list | tuple) and source:
        if all(map(_names_a_file, source)):
            return read(source, limit, column)
        return from_strings(source, limit, column=column)
    if hasattr(source, "column_names") or hasattr(source, "columns") or isinstance(source, Mapping):
        return from_dataset(source, limit, column)
    for listed in ("to_list", "tolist"):  # a series of polars or pandas; an array
        if hasattr(source, listed):
            return from_strings(getattr(source, listed)(), limit, column=column)
    if isinstance(source, Iterable) and not isinstance(source, bytes | bytearray):
        return from_strings(source, limit, column=column)
    raise UsageError(
        f"expected a path, strings, a data set or a frame of texts, got {type(source).__name__}"
    )


def _names_a_file(item: object) -> bool:
    """Whether an item of a list is a path, or a word that could be no text but names a file."""
    if not isinstance(item, str):
        return isinstance(item, os.PathLike)
    if item == SAMPLES or Source(Path(item)).extension not in READERS:
        return item == SAMPLES
    return not any(map(str.isspace, item)) or Path(item).is_file()


def _numbered(
    what: str, items: Iterable[object], fields: Fields
) -> Iterator[tuple[str, str, Record]]:
    for number, item in enumerate(items, 1):
        try:
            record = fields.of(item, number)
        except UsageError as error:
            raise UsageError(f"{what} {number}: {error}") from None
        yield what, f"{what} {number}", record


def _grouped(corpus: Corpus) -> Corpus:
    """The corpus by groups that can be split, and a note where they are not its own."""
    texts = corpus.texts
    groups, note = blocks_of([text.group for text in texts], [text.text for text in texts])
    notes = () if note is None or note in corpus.notes else (note,)
    renamed = tuple(
        text if text.group == group else replace(text, group=group)
        for text, group in zip(texts, groups, strict=True)
    )
    return replace(corpus, texts=renamed, notes=(*corpus.notes, *notes))


def _corpus(
    name: str,
    found: Iterator[tuple[str, str, Record]],
    limit: int | None,
    where: str,
    fields: Fields,
) -> Corpus:
    skipped: Counter[str] = Counter()

    def wanted() -> Iterator[tuple[str, str, Record]]:
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
                skipped[WITHHELD if record.withheld else "empty"] += 1

    stop = None if limit is None else _positive(limit)
    taken = list(islice(wanted(), stop))
    if not taken:
        counted = ", ".join(f"{n} {reason}" for reason, n in skipped.items())
        raise UsageError(
            f"expected at least one text in {where}, got none{f' ({counted})' * bool(counted)}"
            + "; the treebank's own site says how to put its words back" * (WITHHELD in skipped)
        )
    written = [record.id or f"{prefix}:{record.number}" for prefix, _, record in taken]
    texts = tuple(
        Text(id, _group_of(record), record.text, record.words, record.about)
        for id, (_, _, record) in zip(unique_names(written), taken, strict=True)
    )
    notes = list(fields.notes)
    if skipped[WITHHELD]:
        notes.append(f"{skipped[WITHHELD]} sentences are left out: their words are withheld (`_`)")
    return _grouped(Corpus(name, texts, dict(+skipped), tuple(notes)))


def _group_of(record: Record) -> str:
    own = record.group or record.id
    return own or "text " + blake2b(record.text.encode(), digest_size=8).hexdigest()


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
