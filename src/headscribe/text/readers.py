"""One reader per file format: each turns a file into records, line by line."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from headscribe.core.errors import UsageError, unknown_name
from headscribe.text.fields import Fields
from headscribe.text.records import Record, Source
from headscribe.text.treebanks import read_conllu

T = TypeVar("T")

Rows = Iterator[tuple[int, object]]
"""Rows of a file with their lines or numbers, from 1; `Broken` where one cannot be read."""


class Broken(str):
    """A row that could not be read, and why."""

    __slots__ = ()


def json_lines(source: Source) -> Rows:
    """The JSON documents of a file that has one a line."""
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            item = json.loads(line)
        except json.JSONDecodeError as error:
            item = Broken(f"broken JSON ({error.msg} at character {error.pos + 1})")
        except (ValueError, RecursionError) as error:
            item = Broken(f"JSON that cannot be read ({error})")
        yield number, item


def csv_rows(
    source: Source,
    check: Callable[[Sequence[str]], None],
    mistake: str = "a comma need quotation marks",
    cell: Callable[[str], str] = str,
    **options: Any,  # noqa: ANN401
) -> Rows:
    """The rows of a table with a header line, by the names of their columns.

    Args:
        check: raises UsageError where the header will not do.
        mistake: what cells that hold a separator have done wrong.
        cell: what each cell is read as.

    Raises:
        UsageError: what `check` raises, with its place; the file is broken as a whole.
    """
    rows = csv.reader((line + "\n" for _, line in source.lines()), **options)
    try:
        header = [cell(name).strip() for name in next(rows, [])]
        if not header:
            return
        _at(source, 1, lambda: check(header))
        number = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(header):
                wrong = f"expected {len(header)} cells as in the header, got {len(row)}"
                yield number, Broken(f"{wrong}; cells that hold {mistake}")
            elif row:
                yield number, dict(zip(header, map(cell, row), strict=True))
            number = rows.line_num + 1
    except csv.Error as error:
        raise source.error(
            rows.line_num, f"broken CSV ({error}); .jsonl has no such limits"
        ) from error


def parquet_rows(source: Source) -> Rows:
    """The rows of a Parquet file, read in batches.

    Raises:
        UsageError: the file is broken as a whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with source.opened() as file:
            table = pq.ParquetFile(pa.BufferReader(file.read()) if source.compressed else file)
            batches = table.iter_batches(batch_size=1024)
            yield from enumerate((row for batch in batches for row in batch.to_pylist()), 1)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise source.error(None, f"expected a Parquet file, got a broken one ({reason})") from error


def read_txt(source: Source, fields: Fields) -> Iterator[Record]:
    """A text per block of lines if a blank line stands between non-blank ones, else per line."""
    _without_columns(source, fields)
    if not _has_blocks(source):
        yield from (Record(line, number) for number, line in source.lines() if line.strip())
        return
    block: list[str] = []
    begin = 1
    for number, line in source.lines():
        if line.strip():
            begin = begin if block else number
            block.append(line)
        elif block:
            yield Record("\n".join(block), begin)
            block = []
    if block:
        yield Record("\n".join(block), begin)


def _has_blocks(source: Source) -> bool:
    seen = blank = False
    with source.opened() as file:
        for line in file:
            if line.isspace():
                blank = seen
            elif blank:
                return True
            else:
                seen = True
    return False


def read_jsonl(source: Source, fields: Fields) -> Iterator[Record]:
    """One JSON document a line: a row with a text and perhaps `id` and `group`, or a string."""
    return _placed(source, fields, json_lines(source))


def read_json(source: Source, fields: Fields) -> Iterator[Record]:
    """One JSON document: a list of rows or strings, a table by columns, or what holds either.

    Files of this name often hold one document a line: then they are read as .jsonl.
    """
    with source.opened() as file:
        raw = file.read()
    try:
        content = json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise source.error(None, f"expected UTF-8, got byte 0x{raw[error.start]:02x}") from error
    except (ValueError, RecursionError) as error:
        if getattr(error, "msg", "") == "Extra data":
            yield from read_jsonl(source, fields)
            return
        raise source.error(None, f"broken JSON ({error})") from error
    yield from _placed(source, fields, enumerate(_rows(content), 1))


def _rows(content: object) -> Iterator[object]:
    """The rows of a JSON document of any of the shapes in which tables are written."""
    if isinstance(content, dict):
        values = list(content.values())
        lists = [value for value in values if isinstance(value, list)]
        tables = [value for value in values if isinstance(value, dict)]
        even = len({len(value) for value in lists}) == 1 and len(lists) == len(values)
        if even and (len(values) > 1 or not all(isinstance(x, dict) for x in lists[0])):
            for row in zip(*lists, strict=True):
                yield dict(zip(content, row, strict=True))
            return
        # A table by columns, each a mapping of row numbers to values, as pandas writes it.
        if values and len(tables) == len(values) and len({tuple(table) for table in tables}) == 1:
            for row in tables[0]:
                yield {name: column[row] for name, column in content.items()}
            return
        rows = [value for value in lists if value and all(isinstance(x, dict) for x in value)]
        if len(rows) == 1 and "text" not in content and "messages" not in content:
            yield from rows[0]
            return
        yield content
    elif isinstance(content, list):
        yield from content
    else:
        yield content


def read_tsv(source: Source, fields: Fields) -> Iterator[Record]:
    """A header line and rows separated by tabs; quotation marks around a whole cell are dropped.

    Such files are written both with quotation marks and without, and a text may begin with one.
    """
    rows = csv_rows(
        source, _headed(fields), "a tab do not go into .tsv", _unquoted,
        delimiter="\t", quoting=csv.QUOTE_NONE,
    )  # fmt: skip
    return _placed(source, fields, rows)


def _headed(fields: Fields) -> Callable[[Sequence[str]], None]:
    return lambda header: fields.check(header) if len(header) > 1 else None


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    whole = len(cell) >= 2 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if whole else cell


def _placed(source: Source, fields: Fields, rows: Iterable[tuple[int, object]]) -> Iterator[Record]:
    for number, item in rows:
        if isinstance(item, Broken):
            raise source.error(number, item)
        yield _at(source, number, partial(fields.of, item, number))


def _at(source: Source, number: int, read: Callable[[], T]) -> T:
    """What is read there, or its error with the place."""
    try:
        return read()
    except UsageError as error:
        raise source.error(number, str(error)) from None


def read_treebank(source: Source, fields: Fields) -> Iterator[Record]:
    """One record a sentence of a CoNLL-U file, see `read_conllu`."""
    _without_columns(source, fields)
    yield from read_conllu(source)


def _without_columns(source: Source, fields: Fields) -> None:
    if fields.column is not None:
        raise source.error(None, f"expected a table for the column {fields.column!r}, got texts")


READERS: dict[str, Callable[[Source, Fields], Iterator[Record]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".json": read_json,
    ".csv": lambda source, fields: _placed(
        source, fields, csv_rows(source, _headed(fields), strict=True)
    ),
    ".tsv": read_tsv,
    ".parquet": lambda source, fields: _placed(source, fields, parquet_rows(source)),
    ".conllu": read_treebank,
}
"""The reader of every file name extension."""


def records(source: Source, fields: Fields) -> Iterator[Record]:
    """The records of a file, by its extension.

    Raises:
        UsageError: no such file, an unknown extension, or broken content; says where.
    """
    return reader_of(source, READERS, "file format")(source, fields)


def reader_of(source: Source, readers: Mapping[str, T], what: str) -> T:
    """The reader of a file among some by extension.

    Raises:
        UsageError: no such file, or an extension that has none.
    """
    try:
        exists, folder = source.path.is_file(), source.path.is_dir()
    except OSError as error:
        raise source.error(None, f"cannot be read ({error.strerror or error})") from error
    if folder:
        raise source.error(None, "expected a file, got a folder; name the files in it")
    if not exists and not source.piped:
        said = readers is READERS and source.extension not in readers
        raise source.error(None, f"no such file{'; texts themselves go in a list' * said}")
    if source.extension not in readers:
        unknown = unknown_name(what, source.extension or "(no extension)", list(readers))
        raise source.error(None, f"{unknown}, each also with .gz")
    return readers[source.extension]
