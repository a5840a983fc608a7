"""A run directory: configuration, tables, and the state from which an interrupted run goes on.

    run.json             what was run, on what, with which versions; which tables are complete
    scores.parquet       one row per pattern, head, metric, view and split
    layers.parquet, gate.parquet, containment.parquet, examples.parquet
    state.npz            sums of an unfinished run; part-*.npz finished parts of one; gone once it
                         is complete
    parts/               sums by shard of an unfinished run on many machines

Every file is written under a temporary name and renamed, so that a reader never meets half of one.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headscribe.core.errors import RunError, UsageError

SCHEMA = 1
"""Version of the layout; a run of a newer version is refused by name."""


def _is_partial(path: Path) -> bool:
    """Whether a file was on its way to being renamed."""
    return path.name.startswith(".") and path.suffix == ".partial"


@dataclass
class Run:
    """One run directory.

    Attributes:
        folder: where it lies.
        manifest: the contents of `run.json`: `schema`, `kind`, `complete`, `tables`, and what the
            command recorded about itself (`config`, `model`, `corpus`, `versions`, ...).
    """

    folder: Path
    manifest: dict[str, Any]

    @classmethod
    def create(cls, folder: str | Path, kind: str, config: Mapping[str, Any]) -> "Run":
        """Start a run in a new or empty folder.

        Raises:
            UsageError: the folder holds something already, or cannot be made.
        """
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
            occupied = any(not _is_partial(item) for item in path.iterdir())
        except OSError as error:
            raise UsageError(f"cannot make the folder {path}: {error.strerror}") from error
        if occupied:
            raise UsageError(
                f"{path} is not empty: give another --out, or --resume to go on with its run"
            )
        run = cls(
            path,
            {"schema": SCHEMA, "kind": kind, "complete": False, "tables": []}
            | {"config": dict(config)},
        )
        run.save()
        return run

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Open a run.

        Raises:
            UsageError: there is no run in the folder, or a newer version wrote it.
            RunError: its `run.json` is damaged.
        """
        path = Path(folder)
        file = path / "run.json"
        if not file.is_file():
            raise UsageError(f"expected a run directory with a run.json, got {str(path)!r}")
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{file}: expected JSON, got a damaged file ({error})") from error
        if not isinstance(manifest, dict) or not isinstance(manifest.get("schema"), int):
            raise RunError(f"{file}: expected the description of a run, got something else")
        if manifest["schema"] > SCHEMA:
            version = manifest.get("versions", {}).get("headscribe", "a newer version")
            raise UsageError(f"{path} was written by headscribe {version}: update to open it")
        return cls(path, manifest)

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Whether the run was started with this configuration, so that it may go on.

        Raises:
            UsageError: something differs; says what.
        """
        old = self.manifest.get("config", {})
        changed = [name for name, value in config.items() if old.get(name) != value]
        if changed:
            raise UsageError(
                f"cannot resume {self.folder}: {', '.join(changed)} differ from the unfinished "
                "run; give the same model, texts and options, or another --out"
            )

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.manifest["complete"])

    def save(self) -> None:
        """Write `run.json`."""
        text = json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n"
        self._replace("run.json", lambda path: path.write_text(text, encoding="utf-8"))

    def finish(self, **facts: object) -> None:
        """Mark the run complete, record last facts, and drop the state."""
        self.manifest |= {"complete": True, **facts}
        self.save()
        (self.folder / "state.npz").unlink(missing_ok=True)
        for part in self.folder.glob("part-*.npz"):
            part.unlink()
        shutil.rmtree(self.folder / "parts", ignore_errors=True)
        for item in self.folder.iterdir():
            if _is_partial(item):  # of a process that was killed while it wrote
                item.unlink(missing_ok=True)

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table and note it in the manifest."""
        self._replace(
            f"{name}.parquet", lambda path: pq.write_table(table, path, compression="zstd")
        )
        if name not in self.manifest["tables"]:
            self.manifest["tables"].append(name)
        self.save()

    def write_text(self, name: str, text: str) -> None:
        """Write a file for people to read."""
        self._replace(name, lambda path: path.write_text(text, encoding="utf-8"))

    def table(self, name: str) -> pa.Table:
        """Read a table.

        Raises:
            UsageError: the run has no such table: it is unfinished, or of another kind.
            RunError: the file is damaged.
        """
        path = self.path_of(name)
        try:
            return pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise RunError(f"{path}: expected a Parquet table, got a damaged file") from error

    def path_of(self, name: str) -> Path:
        """The file of a table that the run has.

        Raises:
            UsageError: it has not.
        """
        path = self.folder / f"{name}.parquet"
        if name not in self.manifest["tables"] or not path.is_file():
            state = "is unfinished: go on with --resume" if not self.complete else "has none"
            raise UsageError(f"expected the table {name} in {self.folder}, but the run {state}")
        return path

    def write_state(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Store the sums of an unfinished run."""

        self._replace("state.npz", _writer(arrays))

    def read_state(self) -> dict[str, np.ndarray] | None:
        """The stored sums, None if the run was stopped before the first were stored.

        Raises:
            RunError: the file is damaged.
        """
        return self._arrays(self.folder / "state.npz")

    def _arrays(self, path: Path) -> dict[str, np.ndarray] | None:
        if not path.is_file():
            return None
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (BadZipFile, ValueError, OSError, EOFError, KeyError) as error:
            raise RunError(f"{path} is damaged: remove it and start anew") from error

    def write_part(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store one finished part of an unfinished run; gone once the run is complete."""
        self._replace(f"part-{name}.npz", _writer(arrays))

    def read_part(self, name: str) -> dict[str, np.ndarray] | None:
        """A part that was stored, None if it was not.

        Raises:
            RunError: the file is damaged.
        """
        return self._arrays(self.folder / f"part-{name}.npz")

    def has_shard(self, name: str) -> bool:
        """Whether the sums of a shard of an unfinished run are there."""
        return (self.folder / "parts" / f"{name}.parquet").is_file()

    def write_shard(self, name: str, table: pa.Table) -> None:
        """Keep the sums of a shard of an unfinished run."""
        (self.folder / "parts").mkdir(exist_ok=True)
        self._replace(
            f"parts/{name}.parquet", lambda path: pq.write_table(table, path, compression="zstd")
        )

    def shard(self, name: str) -> pa.Table:
        """Read the sums of a shard.

        Raises:
            RunError: the file is damaged.
        """
        path = self.folder / "parts" / f"{name}.parquet"
        try:
            return pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise RunError(f"{path} is damaged: remove it and resume") from error

    def _replace(self, name: str, write: Any) -> None:  # noqa: ANN401
        """Write a file under a temporary name and rename it.

        Raises:
            RunError: the disk is full or the folder cannot be written.
        """
        target = self.folder / name
        temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            write(temporary)
            temporary.replace(target)
        except OSError as error:
            raise RunError(f"cannot write {target}: {error.strerror or error}") from error
        finally:
            temporary.unlink(missing_ok=True)


def _writer(arrays: Mapping[str, np.ndarray]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    return write
