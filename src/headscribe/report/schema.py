"""What the page gets of a run: the one description that Python writes by and the script reads by.

A kind of run (`headscribe.results.kinds`) has named parts, functions of the run. A part gives

    a table      {"columns": [name, ...], "rows": [[cell, ...], ...]}
    facts        a mapping of names to facts, tables among them, nested as it likes
    nothing      None: the run was made without it

and a fact or a cell is text, a number, a truth value, nothing, or a list of such. The script opens
every table as a list of objects by the names of its columns, so that a column is called in Python
as in JavaScript. What is neither is left out of the page and named under `missing`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

import pyarrow as pa

from headscribe.core.errors import RunError
from headscribe.results.run import Run

MAX_ROWS = 4_000_000
"""Rows of a table that a page is made of; a survey of a 70-billion model has 1.5 million."""


class Table(TypedDict):
    """A table of a page; every row has a cell for each column."""

    columns: list[str]
    rows: list[list[Any]]


Facts: TypeAlias = Mapping[str, Any]

Part: TypeAlias = Callable[[Run], "Table | Facts | Sequence[Any] | None"]
"""A part of the page, made from a run."""


def of_table(name: str, columns: Sequence[str], *, optional: bool = False) -> Part:
    """The part that is a table of a run, some of its columns.

    Where a table has heads by number, `head` stands for its columns `layer` and `head`, as `7.10`,
    and `by_head` likewise for `by_layer` and `by_head`.

    Args:
        name: of the table in the run.
        columns: what the page gets of it.
        optional: a run may lack it, the part is None then.
    """

    def part(run: Run) -> Table | None:
        if optional and name not in run.manifest.get("tables", []):
            return None
        return tabled(columns, rows(run, name, columns))

    return part


def tabled(columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> Table:
    """Records as a table.

    >>> tabled(("head", "gain"), [{"gain": 0.27, "head": "7.10", "p": 0.01}])
    {'columns': ['head', 'gain'], 'rows': [['7.10', 0.27]]}
    """
    return {
        "columns": list(columns),
        "rows": [[record[column] for column in columns] for record in records],
    }


def rows(run: Run, name: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a table, heads as `7.10`; see `of_table`.

    Raises:
        UsageError: the run has no such table.
        RunError: it is damaged, too large, or of a version that had other columns.
    """
    schema = run.schema(name)
    numbered = [column for column in columns if column in schema.names and column.endswith("head")
                and pa.types.is_integer(schema.field(column).type)]  # fmt: skip
    split = {head: f"{head.removesuffix('head')}layer" for head in numbered}
    found: list[dict[str, Any]] = table(run, name, [*columns, *split.values()]).to_pylist()
    for row in found:
        for head, layer in split.items():
            row[head] = f"{row[layer]}.{row[head]}"
    return found


def table(run: Run, name: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table; raises what `rows` raises."""
    found = run.table(name)
    lacking = [column for column in columns if column not in found.column_names]
    if lacking:
        raise RunError(
            f"{name}: expected the columns {', '.join(lacking)}, which {writer(run)} did not "
            "write: open the run with that version, or make it anew"
        )
    if found.num_rows > MAX_ROWS:
        raise RunError(f"{name}: expected at most {MAX_ROWS:,} rows, got {found.num_rows:,}")
    return found.select(list(dict.fromkeys(columns)))


def writer(run: Run) -> str:
    """Which version wrote a run."""
    versions = run.manifest.get("versions")
    known = versions.get("headscribe") if isinstance(versions, dict) else None
    return f"headscribe {known}" if known else "an unknown version"


def check(part: object, where: str = "") -> None:
    """Whether a part is a table, facts or nothing.

    Raises:
        RunError: it is not; says where.
    """
    if part is None or isinstance(part, (str, bool, int, float)):
        return
    if isinstance(part, Mapping):
        columns, listed = part.get("columns"), part.get("rows")
        if isinstance(columns, list) and isinstance(listed, list):
            wrong = [row for row in listed if not isinstance(row, list) or len(row) != len(columns)]
            if wrong or not all(isinstance(name, str) for name in columns):
                raise RunError(f"{where}: expected {len(columns)} cells a row, got {wrong[:1]}")
        for name, value in part.items():
            check(value, f"{where}.{name}")
    elif isinstance(part, (list, tuple)):
        for number, value in enumerate(part):
            check(value, f"{where}[{number}]")
    else:
        raise RunError(f"{where}: expected a table or facts, got {type(part).__name__}")
