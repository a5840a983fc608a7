"""A disk that fills up: one sentence, what was stored stays, and resuming ends the same."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from headscribe.api.survey import survey
from headscribe.core.errors import RunError
from headscribe.models.recorded import Recording, write_recording
from headscribe.results import run as runs
from headscribe.results.run import Run
from tests.unit.scoring.synthetic import Made, passage


@contextmanager
def full_disk(most: int) -> Iterator[None]:
    """No file can grow beyond so many bytes: writing fails as it does on a full disk."""
    before, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (before, hard))


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    texts = [passage(f"text{i}", 4 + i % 7) for i in range(12)]
    write_recording(tmp_path / "made", [(text, Made().attention(text)) for text in texts])
    return Recording(tmp_path / "made")


def test_a_full_disk_is_said_and_resumed_from(
    recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fills up before the run, at the first store of the sums, and at the tables."""
    monkeypatch.setattr(runs, "KEEP_EVERY", 0.0)
    out, chosen = tmp_path / "run", ["self", "next"]
    with full_disk(10), pytest.raises(RunError, match=r"cannot write .*run.json: File too large"):
        survey(recording, patterns=chosen, out=out)
    sums = r"cannot write .*sums.unfinished.npz: File too large"
    with full_disk(20_000), pytest.raises(RunError, match=sums):
        survey(recording, patterns=chosen, out=out)
    write = Run.write_table

    def filled(run: Run, name: str, table: object) -> None:
        with full_disk(10_000):
            write(run, name, table)

    monkeypatch.setattr(Run, "write_table", filled)
    with pytest.raises(RunError, match=r"cannot write .*scores.parquet: .*File too large"):
        survey(recording, patterns=chosen, out=out, resume=True)
    assert not list(out.glob(".*")), "no half of a file is left"
    assert not Run.open(out).complete
    monkeypatch.setattr(Run, "write_table", write)
    found = survey(recording, patterns=chosen, out=out, resume=True)
    assert found.run.complete
    whole = survey(recording, patterns=chosen, out=tmp_path / "whole")
    for table in whole.run.manifest["tables"]:
        one, other = (tmp_path / name / f"{table}.parquet" for name in ("run", "whole"))
        assert one.read_bytes() == other.read_bytes(), table


def test_what_a_killed_process_left_half_written_is_no_obstacle(
    recording: Recording, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    (out / ".run.json.123.partial").write_text("{")
    survey(recording, patterns=["self"], out=out)
    assert not list(out.glob(".*"))
