"""One reader per file format: each turns a file into records, line by line."""

import csv
import json
from collections.abc import Callable, Iterator

from headscribe.core.errors import UsageError, unknown_name
from headscribe.text.records import Record, Source, record_of
from headscribe.text.treebanks import read_conllu


def read_txt(source: Source) -> Iterator[Record]:
    """A text per block of lines if a blank line stands between non-blank ones, else per line."""
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


def read_jsonl(source: Source) -> Iterator[Record]:
    """One JSON object a line with `text` and perhaps `id` and `group`; blank lines are skipped."""
    for number, line in source.lines():
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except json.JSONDecodeError as error:
            raise source.error(
                number, f"broken JSON ({error.msg} at character {error.pos + 1})"
            ) from error
        except (ValueError, RecursionError) as error:
            raise source.error(number, f"JSON that cannot be read ({error})") from error
        if not isinstance(fields, dict):
            raise source.error(number, f"expected a JSON object, got {type(fields).__name__}")
        yield _placed(source, fields, number)


def read_csv(source: Source) -> Iterator[Record]:
    """A header line and comma-separated rows with a column `text`, perhaps `id` and `group`."""
    rows = csv.reader((line + "\n" for _, line in source.lines()), strict=True)
    try:
        header = next(rows, None)
        if header is None:
            return
        header = [name.strip() for name in header]
        if "text" not in header:
            raise source.error(1, f"expected a column `text`, got: {', '.join(header)}")
        number = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(header):
                raise source.error(
                    number,
                    f"expected {len(header)} cells as in the header, got {len(row)}; cells that "
                    "hold a comma need quotation marks",
                )
            if row:
                yield _placed(source, dict(zip(header, row, strict=True)), number)
            number = rows.line_num + 1
    except csv.Error as error:
        raise source.error(
            rows.line_num, f"broken CSV ({error}); .jsonl has no such limits"
        ) from error


def read_parquet(source: Source) -> Iterator[Record]:
    """A table with a column `text`, perhaps `id` and `group`; read in batches of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with source.opened() as file:
            content = pa.BufferReader(file.read()) if source.compressed else file
            table = pq.ParquetFile(content)
            names = table.schema_arrow.names
            if "text" not in names:
                raise source.error(None, f"expected a column `text`, got: {', '.join(names)}")
            columns = [name for name in ("text", "id", "group") if name in names]
            number = 0
            for batch in table.iter_batches(batch_size=1024, columns=columns):
                for fields in batch.to_pylist():
                    number += 1
                    yield _placed(source, fields, number)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise source.error(None, f"expected a Parquet file, got a broken one ({reason})") from error


def _placed(source: Source, fields: dict[str, object], number: int) -> Record:
    try:
        return record_of(fields, number)
    except UsageError as error:
        raise source.error(number, str(error)) from None


READERS: dict[str, Callable[[Source], Iterator[Record]]] = {
    ".txt": read_txt,
    ".jsonl": read_jsonl,
    ".csv": read_csv,
    ".parquet": read_parquet,
    ".conllu": read_conllu,
}
"""The reader of every file name extension."""


def records(source: Source) -> Iterator[Record]:
    """The records of a file, by its extension.

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
    return READERS[source.extension](source)
