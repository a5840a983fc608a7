"""The run directory: what is written is read, faults are named, nothing is half there."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.results.run import SCHEMA, Run

TABLE = pa.table({"head": [1, 2], "score": [0.5, None]})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "deep" / "run", "survey", {"seed": 3})


def test_a_finished_run_opens(run: Run) -> None:
    run.write_table("scores", TABLE)
    run.write_state({"x": np.arange(3)})
    run.finish(seconds=1.5)
    again = Run.open(run.folder)
    assert again.complete
    assert again.manifest["seconds"] == 1.5
    assert again.manifest["config"] == {"seed": 3}
    assert again.table("scores").equals(TABLE)
    assert again.read_state() is None
    assert sorted(p.name for p in run.folder.iterdir()) == ["run.json", "scores.parquet"]


def test_the_state_of_an_unfinished_run(run: Run) -> None:
    assert run.read_state() is None
    run.write_state({"x": np.arange(3)})
    state = Run.open(run.folder).read_state()
    assert state is not None
    np.testing.assert_array_equal(state["x"], [0, 1, 2])
    (run.folder / "state.npz").write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(RunError, match=r"state\.npz is damaged"):
        run.read_state()


def test_a_folder_with_something_in_it_is_not_written_over(run: Run) -> None:
    with pytest.raises(UsageError, match=r"not empty.*--resume"):
        Run.create(run.folder, "survey", {})


def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make the folder"):
        Run.create(tmp_path / "file" / "run", "survey", {})


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"run\.json"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("{half")
    with pytest.raises(RunError, match="damaged"):
        Run.open(tmp_path)
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(RunError, match="something else"):
        Run.open(tmp_path)


def test_a_newer_run_names_the_version_that_wrote_it(run: Run) -> None:
    manifest = run.manifest | {"schema": SCHEMA + 1, "versions": {"headscribe": "9.0"}}
    (run.folder / "run.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=r"headscribe 9\.0"):
        Run.open(run.folder)


def test_missing_and_damaged_tables(run: Run) -> None:
    with pytest.raises(UsageError, match="unfinished"):
        run.table("scores")
    run.write_table("scores", TABLE)
    (run.folder / "scores.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(RunError, match="damaged"):
        run.table("scores")


def test_a_write_that_fails_leaves_the_old_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.write_state({"x": np.arange(3)})

    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match="No space left"):
        run.write_state({"x": np.arange(9)})
    state = run.read_state()
    assert state is not None
    assert len(state["x"]) == 3
    assert not list(run.folder.glob(".*partial"))
