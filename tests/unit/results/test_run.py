"""The run directory: what is written is read, faults are named, nothing is half there."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.results.run import NOT_KEPT, SCHEMA_VERSION, Run, Unfinished

TABLE = pa.table({"head": [1, 2], "score": [0.5, None]})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "deep" / "run", "survey", {"seed": 3})


def test_a_finished_run_opens(run: Run) -> None:
    run.write_table("scores", TABLE)
    run.keep("sums", {"x": np.arange(3)})
    run.finish(failures={"next": 2})
    again = Run.open(run.folder)
    assert again.complete
    assert again.manifest["failures"] == {"next": 2}
    assert 0 <= again.manifest["seconds"] < 60
    assert again.manifest["schema_version"] == SCHEMA_VERSION
    assert again.manifest["config"] == {"seed": 3}
    assert again.table("scores").equals(TABLE)
    assert again.kept("sums") is None
    assert sorted(p.name for p in run.folder.iterdir()) == ["run.json", "scores.parquet"]


@pytest.mark.parametrize(
    "value",
    [{"x": np.arange(3.0), "y": np.zeros((0, 2))}, TABLE, {"terms": [["a", 0.1]]}, [1, "b", None]],
)
def test_what_is_kept_comes_back(run: Run, value: object) -> None:
    assert run.kept("one") is None
    run.keep("one", value)
    assert run.has_kept("one")
    again = Run.open(run.folder).kept("one")
    if isinstance(value, dict) and "x" in value:
        assert again.keys() == value.keys()
        for name in value:
            np.testing.assert_array_equal(again[name], value[name])
    else:
        assert again == value
    run.forget("one")
    assert not run.has_kept("one")
    run.finish()
    assert not (run.folder / "stages").exists()


@pytest.mark.parametrize("value", [{"x": np.arange(3)}, TABLE, [1]])
def test_a_damaged_stage_is_named(run: Run, value: object) -> None:
    run.keep("sums", value)
    (file,) = (run.folder / "stages").iterdir()
    file.write_bytes(b"PK\x03\x04 half of it")
    with pytest.raises(RunError, match=r"sums\.\w+ is damaged: remove it"):
        run.kept("sums")


def test_a_stage_is_computed_once(run: Run) -> None:
    calls: list[str] = []

    def compute(unfinished: Unfinished) -> tuple[int, ...]:
        calls.append("computed")
        return (3, 1)

    for _ in range(2):
        assert Run.open(run.folder).stage("order", compute, pack=list, unpack=tuple) == (3, 1)
    assert calls == ["computed"]
    assert NOT_KEPT.stage("order", compute, pack=list, unpack=tuple) == (3, 1)
    assert len(calls) == 2


def test_an_interrupted_stage_goes_on_from_its_part(run: Run) -> None:
    def stopped(unfinished: Unfinished) -> list[int]:
        assert unfinished.read() is None
        unfinished.keep(lambda: [1], now=True)
        unfinished.keep(lambda: [1, 2])  # a moment later: not written
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.stage("sums", stopped, pack=list)
    found = run.stage("sums", lambda part: [*part.read(), 7], pack=list)
    assert found == [1, 7]
    assert [path.name for path in (run.folder / "stages").iterdir()] == ["sums.json"]


def test_only_the_same_request_resumes(run: Run) -> None:
    run.check_resumable("survey", {"seed": 3}, {})
    with pytest.raises(UsageError, match="seed differ"):
        run.check_resumable("survey", {"seed": 4}, {})
    with pytest.raises(UsageError, match="model differ"):
        run.check_resumable("survey", {"seed": 3}, {"model": "0f"})
    with pytest.raises(UsageError, match=r"expected a run of fit .*, got one of survey"):
        run.check_resumable("fit", {"seed": 3}, {})


def test_a_run_of_the_first_version_opens(tmp_path: Path) -> None:
    """As 0.1.0 wrote it: other names, the model's fingerprint among the options."""
    for kind, config in (
        ("survey", {"model": "03cd14f6c7e9eee7", "annotator": {"name": "plain"}}),
        ("discover", {"model": "gpt2", "fingerprint": "03cd14f6c7e9eee7"}),
    ):
        folder = tmp_path / kind
        folder.mkdir()
        old = {"schema": 1, "kind": kind, "complete": True, "tables": [], "config": config}
        (folder / "run.json").write_text(json.dumps(old | {"model": {"name": "gpt2"}}))
        run = Run.open(folder)
        assert run.manifest["config"]["model"] == "gpt2"
        assert run.manifest["model"]["fingerprint"] == "03cd14f6c7e9eee7"
        assert run.manifest["config"].get("annotator") in ("plain", None)
        with pytest.raises(UsageError, match="an older version began it; give another --out"):
            run.check_resumable(kind, {}, {})


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
    manifest = run.manifest | {
        "schema_version": SCHEMA_VERSION + 1,
        "versions": {"headscribe": "9.0"},
    }
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


def test_a_column_of_another_type_is_named(run: Run) -> None:
    run.write_table("scores", pa.table({"x": [1, 2], "names": [["a"], []]}))
    assert Run.open(run.folder).table("scores").to_pylist()[0] == {"x": 1, "names": ["a"]}
    changed = pa.table({"x": ["1", "2"], "names": [["a"], []]})
    pq.write_table(changed, run.folder / "scores.parquet")
    for read in (run.table, run.schema):
        with pytest.raises(RunError, match="expected int64 values in the column x, got string"):
            read("scores")
    del run.manifest["columns"]  # as in runs of older versions
    assert run.table("scores").equals(changed)


def test_a_write_that_fails_leaves_the_old_file(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.keep("state", {"x": np.arange(3)})

    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(RunError, match="No space left"):
        run.keep("state", {"x": np.arange(9)})
    state = run.kept("state")
    assert state is not None
    assert len(state["x"]) == 3
    assert not list(run.folder.rglob(".*partial"))
