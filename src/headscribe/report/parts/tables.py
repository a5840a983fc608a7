"""Reading the tables of a run that may be old, damaged or half written."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from headscribe.core.errors import RunError
from headscribe.results.run import Run

MAX_ROWS = 4_000_000
"""Rows of a table that a page is made of; a survey of a 70-billion model has 1.5 million."""


def table(run: Run, name: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table.

    Raises:
        UsageError: the run has no such table.
        RunError: it is damaged, too large, or of a version that had other columns.
    """
    found = run.table(name)
    lacking = [column for column in columns if column not in found.column_names]
    if lacking:
        raise RunError(
            f"{name}: expected the columns {', '.join(lacking)}, which {writer(run)} did not "
            "write: open the run with that version, or make it anew"
        )
    if found.num_rows > MAX_ROWS:
        raise RunError(f"{name}: expected at most {MAX_ROWS:,} rows, got {found.num_rows:,}")
    return found.select(list(columns))


def rows(run: Run, name: str, columns: Sequence[str]) -> list[dict[str, Any]]:
    """The rows of a small table; raises what `table` raises."""
    listed: list[dict[str, Any]] = table(run, name, columns).to_pylist()
    return listed


def writer(run: Run) -> str:
    """Which version wrote a run."""
    versions = run.manifest.get("versions")
    known = versions.get("headscribe") if isinstance(versions, dict) else None
    return f"headscribe {known}" if known else "an unknown version"
