"""A package outside `src` adds a pattern, a baseline, a metric, an annotator, a client, a kind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXTENSION = ROOT / "tests" / "extension"


def python(code: str, cwd: Path, *, installed: bool = True) -> str:
    """What a process prints that has the package, or has it not."""
    folders = [str(ROOT), *[str(EXTENSION)] * installed]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(folders), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return done.stdout if done.returncode == 0 else done.stderr


SURVEY = """
import json
import headscribe as hs
import numpy as np
from headscribe.models.recorded import write_recording
from tests.unit.scoring.synthetic import passage

texts = ["The cat sat on the mat.", "A dog saw the cat.", "Tom has a big red ball."] * 4
survey = hs.survey(
    "bundled:stories", texts, annotator="blanks", patterns=["two_back", "same_token"], out="run"
)
manifest = survey.run.manifest
rows = survey.run.table("scores").to_pylist()

# A head that reads the second token: what the package adds is the strongest baseline.
passages = [passage(f"text{i}", 6) for i in range(12)]
reads_second = np.full((1, 1, 6, 6), 0.01, np.float32)
reads_second[..., 1] = 0.95
write_recording("recorded", [(one, reads_second) for one in passages])
recorded = hs.survey(recorded="recorded", patterns=["two_back"], out="second")
second = recorded.run.table("scores").to_pylist()
print(json.dumps({
    "annotator": manifest["annotator"]["name"],
    "scored": survey.patterns,
    "metrics": sorted({row["metric"] for row in rows}),
    "baselines": sorted({row["baseline"] for row in second if row["baseline"]}),
    "heads": [len(survey.scores("two_back", k=2, metric=m)) for m in ("jsd", "outside")],
}))
"""


def test_a_survey_with_what_was_added(tmp_path: Path) -> None:
    found = json.loads(python(SURVEY, tmp_path).splitlines()[-1])
    assert found["annotator"] == "blanks"
    assert {"two_back", "second_token"} <= set(found["scored"])
    assert "second_token" in found["baselines"], "the head is compared with it"
    assert "outside" in found["metrics"]
    assert found["heads"] == [2, 2]


KIND = """
import headscribe as hs
import headscribe_example
made = headscribe_example.measured(["a", "four"], "run")
again = hs.open("run")
hs.report([again], "page.html")
print(type(again).__name__, again.longest, list(again.frame("lengths").columns), again)
"""


def test_a_kind_of_run(tmp_path: Path) -> None:
    said = python(KIND, tmp_path)
    assert said.startswith("Lengths 4 ['letters'] <Lengths of no model")
    assert '"longest":4' in (tmp_path / "page.html").read_text(encoding="utf-8")
    without = python("import headscribe as hs; hs.open('run')", tmp_path, installed=False)
    assert "a run of lengths, which nothing installed here opens" in without


CLIENT = """
from headscribe.discovery.clients import client_of
print(client_of("parrot:pieces of eight").ask("?").text)
"""


def test_a_client(tmp_path: Path) -> None:
    assert python(CLIENT, tmp_path) == "pieces of eight\n"
    assert "is no language model" in python(CLIENT, tmp_path, installed=False)


@pytest.mark.parametrize("group", ["kinds", "annotators", "clients"])
def test_a_broken_package_is_named(tmp_path: Path, group: str) -> None:
    folder = tmp_path / "broken-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text(f"[headscribe.{group}]\nx = nowhere:at_all\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from headscribe.core.extensions import extensions
extensions("headscribe.{group}", object)
"""
    said = python(code, tmp_path, installed=False).splitlines()[-1]
    assert said.endswith(
        f"nowhere:at_all (headscribe.{group}) cannot be loaded: No module named 'nowhere'"
    )
