"""One reader per file format: each turns a file into records, line by line."""

import csv
import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from headscribe.core.errors import UsageError, unknown_name
from headscribe.text.fields import Fields
from headscribe.text.records import Record, Source
from headscribe.text.treebanks import read_conllu

T = TypeVar("T")


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
    for number, line in source.lines():
        if not line.strip():
            continue
        yield _placed(source, fields, _parsed(source, line, number), number)


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
    for number, item in enumerate(_rows(content), 1):
        yield _placed(source, fields, item, number)


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


def _parsed(source: Source, line: str, number: int) -> object:
    try:
        return json.loads(line)
    except json.JSONDecodeError as error:
        raise source.error(
            number, f"broken JSON ({error.msg} at character {error.pos + 1})"
        ) from error
    except (ValueError, RecursionError) as error:
        raise source.error(number, f"JSON that cannot be read ({error})") from error


def read_csv(source: Source, fields: Fields) -> Iterator[Record]:
    """A header line and comma-separated rows with a text, perhaps `id` and `group`."""
    rows = csv.reader((line + "\n" for _, line in source.lines()), strict=True)
    yield from _table(source, fields, rows, "a comma need quotation marks")


def read_tsv(source: Source, fields: Fields) -> Iterator[Record]:
    """A header line and rows separated by tabs; quotation marks around a whole cell are dropped.

    Such files are written both with quotation marks and without, and a text may begin with one.
    """
    rows = csv.reader(
        (line + "\n" for _, line in source.lines()), delimiter="\t", quoting=csv.QUOTE_NONE
    )
    yield from _table(source, fields, rows, "a tab do not go into .tsv", _unquoted)


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    whole = len(cell) >= 2 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', "")
    return inner.replace('""', '"') if whole else cell


def _table(
    source: Source,
    fields: Fields,
    rows: Any,  # noqa: ANN401 - csv names no type for its reader
    mistake: str,
    cell: Callable[[str], str] = str,
) -> Iterator[Record]:
    try:
        header = next(rows, None)
        if header is None:
            return
        header = [cell(name).strip() for name in header]
        _at(source, 1, lambda: fields.check(header) if len(header) > 1 else None)
        number = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(header):
                raise source.error(
                    number,
                    f"expected {len(header)} cells as in the header, got {len(row)}; cells that "
                    f"hold {mistake}",
                )
            if row:
                values = dict(zip(header, map(cell, row), strict=True))
                yield _placed(source, fields, values, number)
            number = rows.line_num + 1
    except csv.Error as error:
        raise source.error(
            rows.line_num, f"broken CSV ({error}); .jsonl has no such limits"
        ) from error


def read_parquet(source: Source, fields: Fields) -> Iterator[Record]:
    """A table with a text, perhaps `id` and `group`; read in batches of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with source.opened() as file:
            content = pa.BufferReader(file.read()) if source.compressed else file
            table = pq.ParquetFile(content)
            number = 0
            for batch in table.iter_batches(batch_size=1024):
                for row in batch.to_pylist():
                    number += 1
                    yield _placed(source, fields, row, number)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise source.error(None, f"expected a Parquet file, got a broken one ({reason})") from error


def _placed(source: Source, fields: Fields, item: object, number: int) -> Record:
    return _at(source, number, lambda: fields.of(item, number))


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
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".parquet": read_parquet,
    ".conllu": read_treebank,
}
"""The reader of every file name extension."""


def records(source: Source, fields: Fields) -> Iterator[Record]:
    """The records of a file, by its extension.

    Args:
        source: the file.
        fields: which column holds the text, and where to say what was guessed.

    Raises:
        UsageError: no such file, an unknown extension, or broken content; says where.
    """
    try:
        exists, folder = source.path.is_file(), source.path.is_dir()
    except OSError as error:
        raise source.error(None, f"cannot be read ({error.strerror or error})") from error
    if folder:
        raise source.error(None, "expected a file, got a folder; name the files in it")
    if not exists:
        raise source.error(None, "no such file")
    if source.extension not in READERS:
        what = unknown_name("file format", source.extension or "(no extension)", list(READERS))
        raise source.error(None, f"{what}, each also with .gz")
    return READERS[source.extension](source, fields)
