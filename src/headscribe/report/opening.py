"""Opening runs to show them: also those of which only a part is left."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headscribe.core.errors import RunError
from headscribe.results.kinds import kinds
from headscribe.results.run import SCHEMA_VERSION, Run


def open_to_show(folder: str | Path) -> Run:
    """Open a run; where its `run.json` is damaged, what its tables tell.

    Raises:
        UsageError: there is no run in the folder, or a newer version wrote it.
        RunError: its `run.json` is damaged, and no table tells what it was.
    """
    try:
        return Run.open(folder)
    except RunError as error:
        manifest = _salvaged(Path(folder))
        if manifest is None:
            raise
        return Run(Path(folder), manifest | {"damaged": str(error)})


def _salvaged(folder: Path) -> dict[str, Any] | None:
    """A manifest made of the tables that lie in a folder."""
    tables = sorted(path.stem for path in folder.glob("*.parquet"))
    for kind in kinds().values():
        name = kind.telling
        if name in tables:
            return {
                "schema_version": SCHEMA_VERSION, "kind": kind.name, "complete": False,
                "tables": tables,
                "model": {"name": folder.name, **_shape(folder, tables)},
                "patterns": _patterns(folder, name),
            }  # fmt: skip
    return None


def _shape(folder: Path, tables: list[str]) -> dict[str, int]:
    """Layers and heads, as far as any table names them."""
    for name in tables:
        found = _read(folder / f"{name}.parquet", ("layer", "head"))
        if found is not None and found.num_rows:
            sizes = {part: pc.max(found[part]).as_py() for part in ("layer", "head")}
            if all(isinstance(size, int) for size in sizes.values()):
                return {"layers": sizes["layer"] + 1, "heads": sizes["head"] + 1}
    return {}


def _patterns(folder: Path, name: str) -> list[dict[str, str]]:
    """The patterns of a survey, by name alone."""
    found = _read(folder / f"{name}.parquet", ("pattern",)) if name == "scores" else None
    names = [] if found is None else found["pattern"].unique().to_pylist()
    return [{"name": str(one), "family": "custom"} for one in names]


def _read(path: Path, columns: tuple[str, ...]) -> pa.Table | None:
    """Some columns of a table; None where it is damaged or lacks them."""
    try:
        return pq.read_table(path, columns=list(columns))
    except (pa.ArrowInvalid, OSError, KeyError):
        return None
