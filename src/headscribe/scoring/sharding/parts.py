"""What a shard of a survey adds up to, as a table that can be sent and kept.

A row is a slice along the first axis of one array, so that no cell grows with the number of heads
and patterns together, and slices that are all zeros (buckets without a text) are left out.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headscribe.core.errors import RunError

SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("name", pa.string()),
        ("dtype", pa.string()),
        ("shape", pa.list_(pa.int64())),
        ("index", pa.int64()),
        ("data", pa.large_binary()),
    ]
)
"""One row a slice; `shape` is that of the whole array, `index` the slice's place in it."""

SHAPE_ONLY = -1
"""The index of a row that says that an array exists, with zeros where no other row speaks."""

LAST = "."
"""The name of the row that ends a shard; its index is the number of the rows before it."""


def tables_of(shard: int, arrays: Mapping[str, np.ndarray]) -> Iterator[pa.Table]:
    """The arrays of a shard as tables, one an array, and one that says that these were all."""
    count = 0
    for name, array in arrays.items():
        head = (shard, name, array.dtype.str, list(array.shape))
        rows: list[tuple[object, ...]] = [(*head, SHAPE_ONLY, b"")]
        rows += [(*head, i, array[i].tobytes()) for i in range(len(array)) if array[i].any()]
        count += len(rows)
        yield _table(rows)
    yield _table([(shard, LAST, "", [], count, b"")])


def message_table(shard: int, kind: str, message: str) -> pa.Table:
    """A sentence about a shard: of kind `usage` or `run` (why it failed), or `said`."""
    return _table([(shard, f".{kind}", "", [], 0, message.encode())])


def messages(table: pa.Table) -> list[tuple[str, str]]:
    """The sentences in a table, with their kinds."""
    rows = table.filter(pc.is_in(table["name"], pa.array([".usage", ".run", ".said"]))).to_pylist()
    return [(row["name"][1:], row["data"].decode()) for row in rows]


def complete(table: pa.Table) -> bool:
    """Whether all rows of a shard are there."""
    ends = table.filter(pc.equal(table["name"], LAST))
    return len(ends) > 0 and len(table) == ends["index"][0].as_py() + 1


def arrays_from(table: pa.Table, where: Path) -> dict[str, np.ndarray]:
    """The arrays of a shard.

    Raises:
        RunError: rows are missing or damaged.
    """
    if not complete(table):
        raise RunError(f"{where} lacks rows of its shard: remove it and resume")
    found: dict[str, np.ndarray] = {}
    for row in table.to_pylist():
        if row["name"] == LAST:
            continue
        if row["index"] == SHAPE_ONLY:
            found[row["name"]] = np.zeros(row["shape"], row["dtype"])
        else:
            array = found[row["name"]]
            array[row["index"]] = np.frombuffer(row["data"], row["dtype"]).reshape(array.shape[1:])
    return found


def _table(rows: list[tuple[object, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True)
    arrays = [pa.array(list(c), f.type) for c, f in zip(columns, SCHEMA, strict=True)]
    return pa.table(arrays, schema=SCHEMA)
