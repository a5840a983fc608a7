"""A survey that is killed outright, again and again, ends with the table of one that was not."""

import random
import signal
from pathlib import Path

import pytest

from headscribe.models.recorded import write_recording
from tests.commands import Command
from tests.unit.scoring.synthetic import Made, passage

PROGRAM = """
import os, signal, sys, threading
from pathlib import Path
import headscribe as hs
from headscribe.api.survey import survey
from headscribe.models.recorded import Recording
from headscribe.results import run

run.KEEP_EVERY = 0.0  # the state is on its way to the disk most of the time
run.KEEP_SHARE = 1e9
folder, out, delay = sys.argv[1], sys.argv[2], float(sys.argv[3])
started = []

def report(stage, done, total):
    if stage == "scoring" and delay > 0 and not started:
        started.append(threading.Timer(delay, os.kill, (os.getpid(), signal.SIGKILL)))
        started[0].start()

survey(
    Recording(Path(folder)), out=out, token_budget=12, on_progress=report,
    resume=os.path.exists(out),
)
for timer in started:
    timer.cancel()
"""


def surveyed(folder: Path, out: Path, delay: float) -> int:
    """The exit status of a survey that is killed so many seconds after its first batch."""
    done = Command(folder, out, delay, cwd=folder, code=PROGRAM).wait()
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode


@pytest.mark.parametrize("seed", [0])
def test_a_killed_survey_resumes_to_the_same_table(tmp_path: Path, seed: int) -> None:
    texts = [passage(f"text{i}", 4 + i % 7) for i in range(40)]
    write_recording(tmp_path / "made", [(text, Made().attention(text)) for text in texts])
    moments = random.Random(seed)
    killed = 0
    for _ in range(4):
        killed += surveyed(tmp_path / "made", tmp_path / "killed", moments.uniform(0, 0.3)) != 0
        if (tmp_path / "killed" / "scores.parquet").exists():
            break
    assert killed > 0
    assert surveyed(tmp_path / "made", tmp_path / "killed", 0) == 0
    assert surveyed(tmp_path / "made", tmp_path / "whole", 0) == 0
    for table in ("scores", "layers", "gate", "containment", "examples", "cards", "budget"):
        one, other = ((tmp_path / run / f"{table}.parquet") for run in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes(), table
