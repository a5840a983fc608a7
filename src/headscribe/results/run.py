"""A run directory: what was asked, its tables, and the stages that an interrupted run resumes from.

    run.json             what was run, on what, with which versions; which tables are complete
    *.parquet            the tables; `docs/reference/run-directory.md` describes every column
    stages/              what an unfinished run keeps; gone once it is complete

Every file is written under a temporary name and renamed, so that a reader never meets half of one.
"""

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from zipfile import BadZipFile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headscribe.core.errors import RunError, UsageError
from headscribe.core.files import is_partial, write_whole
from headscribe.results.older import upgraded

SCHEMA_VERSION = 2
"""Version of the layout; a run of a newer version is refused by name, an older one is read."""

RUNS = Path("runs")
"""Where runs go that were given no folder."""

STAGES = "stages"
"""The folder of what an unfinished run keeps."""

KEEP_EVERY = 10.0
"""Least seconds between two writings of an unfinished stage."""

KEEP_SHARE = 0.01
"""The share of a stage's time that writing it may take: what is large is written less often."""

T = TypeVar("T")

Kept: TypeAlias = Mapping[str, np.ndarray] | pa.Table | dict[str, Any] | list[Any]
"""What can be kept of a stage: arrays by name, a table, or what JSON can say."""

_VERSIONS = ("headscribe", "torch", "transformers", "numpy", "spacy")


class Stages:
    """Whoever keeps finished stages: a `Run`, or `NOT_KEPT`, which computes them every time."""

    def stage(
        self,
        name: str,
        compute: "Callable[[Unfinished], T]",
        pack: Callable[[T], Kept] | None = None,
        unpack: Callable[[Any], T] | None = None,
    ) -> T:
        """What `compute` gives, or gave before the run was interrupted."""
        return compute(Unfinished(None, name))


NOT_KEPT = Stages()
"""For work that belongs to no run."""


@dataclass
class Run(Stages):
    """One run directory.

    Attributes:
        manifest: the contents of `run.json`: `schema_version`, `kind`, `complete`, `tables`,
            `config` (every option of the request), and what the command recorded besides (`model`,
            `corpus`, `annotator`, `versions`, ...).
    """

    folder: Path
    manifest: dict[str, Any]
    _since: float = field(default_factory=time.monotonic, repr=False, compare=False)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        kind: str,
        config: Mapping[str, Any],
        fingerprints: Mapping[str, Any] | None = None,
        **facts: object,
    ) -> "Run":
        """Start a run in a new or empty folder.

        Args:
            config: every option of the request.
            fingerprints: of what the request names: the model, its texts, ...

        Raises:
            UsageError: the folder holds something already, or cannot be made.
        """
        path = Path(folder)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the folder {path}: {error.strerror}") from error
        check_free(path)
        manifest: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "kind": kind,
            "complete": False,
            "tables": [],
            "config": dict(config),
            "fingerprints": dict(fingerprints or {}),
            "versions": {name: version(name) for name in _VERSIONS},
            "started": _now(),
        }
        run = cls(path, manifest | facts)
        run.save()
        return run

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """Open a run, also one that an older version wrote.

        Raises:
            UsageError: there is no run in the folder, or a newer version wrote it.
            RunError: its `run.json` is damaged.
        """
        path = Path(folder).expanduser()
        file = path / "run.json"
        if not file.is_file():
            raise UsageError(f"expected a run directory with a run.json, got {str(path)!r}")
        try:
            manifest = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise RunError(f"{file}: expected JSON, got a damaged file ({error})") from error
        manifest = upgraded(manifest) if isinstance(manifest, dict) else {}
        schema, tables = manifest.get("schema_version"), manifest.get("tables")
        if not isinstance(schema, int) or not isinstance(tables, list):
            raise RunError(f"{file}: expected the description of a run, got something else")
        if schema > SCHEMA_VERSION:
            writer = manifest.get("versions", {}).get("headscribe", "a newer version")
            raise UsageError(f"{path} was written by headscribe {writer}: update to open it")
        return cls(path, manifest)

    def check_resumable(
        self, kind: str, config: Mapping[str, Any], fingerprints: Mapping[str, Any]
    ) -> None:
        """Whether this is the run of such a request, so that it may go on.

        Args:
            config: the options that its numbers depend on.

        Raises:
            UsageError: something differs; says what.
        """
        if self.kind != kind:
            raise UsageError(f"expected a run of {kind} in {self.folder}, got one of {self.kind}")
        if "fingerprints" not in self.manifest:
            raise UsageError(
                f"cannot resume {self.folder}: an older version began it; give another --out"
            )
        changed = []
        for part, wanted in (("config", config), ("fingerprints", fingerprints)):
            known = self.manifest.get(part, {})
            changed += [name for name, value in wanted.items() if known.get(name) != _plain(value)]
        if changed:
            raise UsageError(
                f"cannot resume {self.folder}: {', '.join(changed)} differ from the unfinished "
                "run; give the same model, texts and options, or another --out"
            )

    @property
    def kind(self) -> str:
        """The kind of run, such as `survey`."""
        return str(self.manifest.get("kind"))

    @property
    def complete(self) -> bool:
        """Whether the run came to its end."""
        return bool(self.manifest["complete"])

    def save(self) -> None:
        """Write `run.json`."""
        text = json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n"
        write_whole(self.folder / "run.json", text)

    def finish(self, **facts: object) -> None:
        """Mark the run complete, record last facts, and drop its stages."""
        self.note_seconds()
        self.manifest |= {"complete": True, "finished": _now(), **facts}
        self.save()
        shutil.rmtree(self.folder / STAGES, ignore_errors=True)
        for item in self.folder.iterdir():
            if is_partial(item):  # of a process that was killed while it wrote
                item.unlink(missing_ok=True)

    def note_seconds(self) -> None:
        """Add the time since this process opened the run to `seconds`."""
        now = time.monotonic()
        before = self.manifest.get("seconds") or 0.0
        self.manifest["seconds"] = round(before + now - self._since, 2)
        self._since = now

    def write_table(self, name: str, table: pa.Table) -> None:
        """Write a table and note it in the manifest."""
        _write_table(self.folder / f"{name}.parquet", table)
        if name not in self.manifest["tables"]:
            self.manifest["tables"].append(name)
        self.manifest.setdefault("columns", {})[name] = _types(table.schema)
        self.save()

    def write_text(self, name: str, text: str) -> None:
        """Write a file for people to read."""
        write_whole(self.folder / name, text)

    def table(self, name: str) -> pa.Table:
        """Read a table.

        Raises:
            UsageError: the run has no such table: it is unfinished, or of another kind.
            RunError: the file is damaged, or not what this run wrote.
        """
        path = self.path_of(name)
        self.schema(name)
        try:
            return pq.read_table(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise RunError(f"{path}: expected a Parquet table, got a damaged file") from error

    def schema(self, name: str) -> pa.Schema:
        """The columns of a table, of the types that the run wrote; raises what `table` raises."""
        path = self.path_of(name)
        try:
            found = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise RunError(f"{path}: expected a Parquet table, got a damaged file") from error
        known = self.manifest.get("columns")  # runs of older versions have none
        types = known.get(name) if isinstance(known, dict) else None
        if not isinstance(types, dict):
            return found
        for column, kind in _types(found).items():
            if types.get(column) != kind:
                raise RunError(
                    f"{path}: expected {types.get(column, 'no')} values in the column {column}, "
                    f"got {kind}; make the run anew"
                )
        return found

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

    def stage(
        self,
        name: str,
        compute: "Callable[[Unfinished], T]",
        pack: Callable[[T], Kept] | None = None,
        unpack: Callable[[Any], T] | None = None,
    ) -> T:
        """What `compute` gives; what it gave, where the run was interrupted after it.

        >>> from tempfile import mkdtemp
        >>> run = Run.create(mkdtemp(), "survey", {})
        >>> run.stage("order", lambda _: [3, 1], pack=list, unpack=list)
        [3, 1]
        >>> run.stage("order", lambda _: [], pack=list, unpack=list)  # not computed again
        [3, 1]

        Args:
            compute: called with the `Unfinished` stage, where what takes long may keep a part of
                its work and find it again.
            pack: what to keep of the result; None: nothing, since what follows is quick.

        Raises:
            RunError: what was kept is damaged, or the disk is full.
        """
        if pack is not None:
            kept = self.kept(name)
            if kept is not None:
                return kept if unpack is None else unpack(kept)
        unfinished = Unfinished(self, f"{name}.unfinished")
        found = compute(unfinished)
        if pack is not None:
            self.keep(name, pack(found))
            self.forget(unfinished.name)
        return found

    def keep(self, name: str, value: Kept) -> None:
        """Keep a value until the run is complete.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
        """
        folder = self.folder / STAGES
        try:
            folder.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(f"cannot make {folder}: {error.strerror or error}") from error
        if isinstance(value, pa.Table):
            _write_table(folder / f"{name}.parquet", value)
        elif isinstance(value, dict) and any(isinstance(v, np.ndarray) for v in value.values()):
            write_whole(folder / f"{name}.npz", lambda path: _write_arrays(path, value))
        else:
            write_whole(folder / f"{name}.json", json.dumps(value))

    def kept(self, name: str) -> Any:  # noqa: ANN401
        """A value that was kept, None if there is none.

        Raises:
            RunError: it is damaged.
        """
        for ending, read in _READERS.items():
            path = self.folder / STAGES / f"{name}{ending}"
            if path.is_file():
                try:
                    return read(path)
                except (BadZipFile, ValueError, OSError, EOFError, KeyError, pa.ArrowInvalid) as e:
                    raise RunError(f"{path} is damaged: remove it and --resume") from e
        return None

    def has_kept(self, name: str) -> bool:
        """Whether a value of this name was kept."""
        folder = self.folder / STAGES
        return any((folder / f"{name}{ending}").is_file() for ending in _READERS)

    def forget(self, name: str) -> None:
        """Drop a value that was kept, if there is one."""
        for ending in _READERS:
            (self.folder / STAGES / f"{name}{ending}").unlink(missing_ok=True)


class Unfinished:
    """A stage of a run while it is computed: keeps a part of the work, and gives it back.

    Attributes:
        name: under which the run keeps it.
    """

    def __init__(self, run: Run | None, name: str) -> None:
        self._run = run
        self.name = name
        self._due = time.monotonic() + KEEP_EVERY

    def read(self) -> Any:  # noqa: ANN401
        """What an interrupted call kept, None if it kept nothing; raises what `kept` raises."""
        return None if self._run is None else self._run.kept(self.name)

    def keep(self, value: Callable[[], Kept], *, now: bool = False) -> None:
        """Keep what `value` gives, unless that was done a moment ago and not `now`."""
        began = time.monotonic()
        if self._run is None or not (now or began > self._due):
            return
        self._run.keep(self.name, value())
        ended = time.monotonic()
        self._due = ended + max(KEEP_EVERY, (ended - began) / KEEP_SHARE)


def check_free(folder: Path) -> None:
    """Whether a new run can have a folder: it is not there yet, or it is empty.

    Raises:
        UsageError: it holds something, or is a file.
    """
    try:
        occupied = folder.exists() and any(not is_partial(item) for item in folder.iterdir())
    except OSError as error:
        raise UsageError(f"cannot use the folder {folder}: {error.strerror}") from error
    if occupied:
        raise UsageError(
            f"{folder} is not empty: give another --out, or --resume to go on with its run"
        )


def new_folder(*names: str) -> Path:
    """A folder for a run under `runs/`, such as `runs/MODEL--TEXTS`, numbered if there is one."""
    raw = "--".join([Path(names[0]).name or "model", *names[1:]])
    name = "".join(c if c.isalnum() or c in "-_.+" else "-" for c in raw)[:80]
    folder, number = RUNS / name, 2
    while folder.exists():
        folder, number = RUNS / f"{name}-{number}", number + 1
    return folder


def _types(schema: pa.Schema) -> dict[str, str]:
    # Parquet calls the items of a list its elements.
    return {one.name: str(one.type).replace("<element:", "<item:") for one in schema}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _plain(value: Any) -> Any:  # noqa: ANN401
    """A value as JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(value))


def _write_table(path: Path, table: pa.Table) -> None:
    write_whole(path, lambda to: pq.write_table(table, to, compression="zstd"))


def _write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


_READERS: dict[str, Callable[[Path], Any]] = {
    ".npz": _read_arrays,
    ".parquet": pq.read_table,
    ".json": lambda path: json.loads(path.read_text(encoding="utf-8")),
}
