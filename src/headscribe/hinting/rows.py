"""Files of questions, row by row; a row that cannot be read does not end the file."""

import csv
import json
from collections.abc import Iterator

from headscribe.core.errors import unknown_name
from headscribe.text.records import Source


class Broken(str):
    """A line that could not be read, and why."""

    __slots__ = ()


def rows_of(source: Source) -> Iterator[tuple[int, object]]:
    """The rows of a file with their lines or numbers; `Broken` where one cannot be read.

    Raises:
        UsageError: no such file, an unknown extension, or a file that is broken as a whole.
    """
    readers = {".jsonl": _jsonl, ".csv": _csv, ".parquet": _parquet}
    if not source.path.is_file():
        raise source.error(None, "no such file")
    if source.extension not in readers:
        what = unknown_name("format of questions", source.extension or "(none)", list(readers))
        raise source.error(None, f"{what}, each also with .gz")
    return readers[source.extension](source)


def _jsonl(source: Source) -> Iterator[tuple[int, object]]:
    for number, line in source.lines():
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, Broken(f"broken JSON ({error})")


def _csv(source: Source) -> Iterator[tuple[int, object]]:
    rows = csv.reader((line + "\n" for _, line in source.lines()), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if "question" not in header:
            raise source.error(1, f"expected a column `question`, got: {', '.join(header)}")
        number = rows.line_num + 1
        for row in rows:
            if row and len(row) != len(header):
                yield number, Broken(f"expected {len(header)} cells, got {len(row)}")
            elif row:
                yield number, dict(zip(header, row, strict=True))
            number = rows.line_num + 1
    except csv.Error as error:
        raise source.error(rows.line_num, f"broken CSV ({error})") from error


def _parquet(source: Source) -> Iterator[tuple[int, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with source.opened() as file:
            table = pq.ParquetFile(pa.BufferReader(file.read()) if source.compressed else file)
            number = 0
            for batch in table.iter_batches(batch_size=1024):
                for fields in batch.to_pylist():
                    number += 1
                    yield number, fields
    except (pa.ArrowException, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise source.error(None, f"expected a Parquet file, got a broken one ({reason})") from error
