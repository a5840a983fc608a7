"""The demonstration on one small model and few texts: every run, and a page that shows them."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from headscribe.api import demo as demonstration
from headscribe.api.demo import demo
from headscribe.core.errors import RunError, UsageError
from headscribe.core.processes import Command
from headscribe.replacement import record
from headscribe.results.run import Run
from headscribe.text.corpora import read


def few(folder: Path, texts: int = 24) -> Path:
    path = folder / "few.jsonl"
    some = read("bundled:samples").texts[:texts]
    lines = [json.dumps({"id": t.id, "text": " ".join(t.text.split()[:14])}) for t in some]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_demonstration_fits_and_replaces(tmp_path, monkeypatch):
    """One core: the parts one after the other."""
    monkeypatch.setattr(record, "NEW_TOKENS", 4)
    monkeypatch.setattr(demonstration, "cores", lambda: 1)
    monkeypatch.setattr(demonstration, "WRITTEN", (8, 3, 5))
    monkeypatch.setattr(demonstration, "TOKENS", 16)
    monkeypatch.setattr(demonstration, "TERMS", 2)
    found = demo(tmp_path / "demo", answered=("bundled:stories",), texts=few(tmp_path))
    kinds = [Run.open(run).manifest["kind"] for run in found.runs]
    assert kinds == ["explain", "survey", "fit", "replacement"]
    assert "36 heads of bundled:stories" in found.answers[0]
    assert found.answers[-1].startswith("Formulas in the place of heads of bundled:stories, on")
    assert "Untouched, the model has a perplexity of" in found.answers[-1]
    assert len(found.figures) == 8
    assert all(Run.open(run).complete for run in found.runs)
    fitted, replaced = (Run.open(run).manifest for run in found.runs[2:])
    assert fitted["corpus"]["texts"] == 8
    assert replaced["corpus"]["texts"] == 5
    # The stories are of the model's world: it is surer of them than of anything else.
    assert 1 < replaced["replacement"]["unaltered"] < 40
    curve = replaced["replacement"]["curve"]
    assert {p["program"] for p in curve} == {
        "formula", "profile", "fixed", "shuffled", "zero", "mean"
    }  # fmt: skip
    assert sorted({p["fraction"] for p in curve}) == [0.25, 0.5, 1.0]
    assert all(math.isfinite(p["increase"]) for p in curve)
    page = found.report.read_text(encoding="utf-8")
    assert "stories-fit" in page
    assert "stories-replaced" in page
    with pytest.raises(UsageError, match="not empty"):
        demo(tmp_path / "demo")
    with pytest.raises(UsageError, match="at least 20 texts"):
        demo(tmp_path / "other", texts=few(tmp_path, 3))


@pytest.fixture
def started(monkeypatch) -> list[Command]:
    """The processes of the parts, on however many cores."""
    found: list[Command] = []

    def start(*arguments: str, threads: int) -> Command:
        found.append(Command(*arguments, threads=threads))
        return found[-1]

    monkeypatch.setattr(demonstration, "Command", start)
    monkeypatch.setattr(demonstration, "cores", lambda: 2)
    return found


def alive(pid: int) -> bool:
    """Whether a process is there, and no mere entry of one that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_error_of_one_part_ends_both(tmp_path, started):
    with pytest.raises(UsageError, match="nothing"):
        demo(tmp_path / "demo", answered=(str(tmp_path / "nothing"),), texts=few(tmp_path))
    assert len(started) == 2
    assert not any(alive(command.pid) for command in started)


def test_a_part_that_vanishes_is_said(tmp_path, started):
    def end(stage: str, *_: object) -> None:
        started[-1].kill()

    with pytest.raises(RunError, match=r"a process of the demonstration was ended by signal 9"):
        demo(tmp_path / "demo", end, answered=("bundled:stories",), texts=few(tmp_path))
    assert not any(alive(command.pid) for command in started)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_part_outlives_its_parent(tmp_path, how):
    program = (
        "import sys\n"
        "from headscribe.api import demo as demonstration\n"
        "demonstration.cores = lambda: 2\n"
        "start = demonstration.Command\n"
        "def started(*arguments, **options):\n"
        "    command = start(*arguments, **options)\n"
        "    print(command.pid, flush=True)\n"
        "    return command\n"
        "demonstration.Command = started\n"
        "demonstration.demo('demo', answered=('bundled:stories',), texts=sys.argv[1])\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(few(tmp_path))],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as parent:  # fmt: skip
        assert parent.stdout is not None
        pids = [int(parent.stdout.readline()) for _ in range(2)]
        assert all(map(alive, pids))
        os.kill(parent.pid, how)
    end = time.monotonic() + 20
    while any(map(alive, pids)):
        assert time.monotonic() < end, "a part goes on without anybody"
        time.sleep(0.02)
