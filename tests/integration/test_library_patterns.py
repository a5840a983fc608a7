"""Programs found elsewhere, surveyed: formulas, Python in the sandbox, failing closed."""

import json
from pathlib import Path

import pytest

import headscribe as hs
from headscribe.core.errors import RunError, UsageError
from headscribe.discovery.library import Entry, Library
from headscribe.fitting.formula import Formula, Term
from headscribe.models.model import Model
from headscribe.patterns.relational import own_pattern
from headscribe.results import queries
from headscribe.sandbox import Sandbox, status
from headscribe.text.corpora import corpus
from tests.commands import headscribe

ESCAPE = """
import numpy as np

def attention(p):
    np.eye(len(p)).tofile({path!r})
    return np.eye(len(p))
"""
PREVIOUS = "import numpy as np\ndef attention(p):\n    return np.eye(len(p), k=-1)"
LINK = Formula("f", (Term("key.head == query.head", 2.0),))
BEFORE = Formula("f", (Term("distance == -1", 9.0),))

needs_walls = pytest.mark.skipif(
    not status().in_force, reason="needs the sandbox's walls: Linux with Landlock"
)


def entry(name: str, program: object) -> Entry:
    if isinstance(program, Formula):
        stored = {"kind": "formula", "formula": program.to_json(), "relations": []}
    else:
        stored = {"kind": "python", "program": program}
    return Entry(f"found:m:{name}", stored, "It says so.", False, {"model": "m", "head": "0.0"})


@pytest.fixture
def library(tmp_path: Path) -> Path:
    file = tmp_path / "library.jsonl"
    programs = {"before": BEFORE, "link": LINK, "python": PREVIOUS}
    programs["escape"] = ESCAPE.format(path=str(tmp_path / "out.txt"))
    programs["refused"] = "import os\ndef attention(p):\n    return os.environ"
    Library([entry(name, one) for name, one in programs.items()]).write(file)
    return file


@pytest.fixture(scope="module")
def model() -> Model:
    return hs.load("bundled:stories")


def surveyed(model: Model, folder: Path, **changes: object) -> hs.Survey:
    options = {"patterns": ["library"], "annotator": "plain", "max_tokens": 12, "out": folder}
    return hs.survey(model, corpus("bundled:samples").limit(10), **options | changes)


@needs_walls
def test_found_programs_are_scored_on_another_model(
    model: Model, library: Path, tmp_path: Path
) -> None:
    own = own_pattern("distance == -1")
    asked = ["library", own]
    found = surveyed(model, tmp_path / "run", library=library, patterns=asked)
    facts = found.run.manifest
    assert {"found:m:before", "found:m:python"} < set(found.patterns)
    assert "found:m:link" in facts["skipped"], "it needs a parse, which plain words lack"
    assert "os" in facts["skipped"]["found:m:refused"]
    assert facts["failures"] == {"found:m:escape": 10}
    assert not (tmp_path / "out.txt").exists()
    (best,) = queries.top(found.run, "found:m:python", k=1)
    (same,) = queries.top(found.run, own.name, k=1)
    assert (best.head, best.score) == (same.head, pytest.approx(same.score, abs=1e-6))
    described = {one["name"]: one for one in facts["patterns"]}
    assert described["found:m:python"]["program"] == PREVIOUS
    assert "distance == -1" in described["found:m:before"]["formula"]


def test_without_walls_python_is_left_out_with_the_reason(
    model: Model, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Sandbox, limits: object = None) -> None:
        raise RunError("the sandbox is not in force: no Landlock")

    monkeypatch.setattr(Sandbox, "__init__", refuse)
    found = surveyed(model, tmp_path / "run", library=library)
    skipped = found.run.manifest["skipped"]
    for name in ("python", "escape", "refused"):
        assert "no Landlock" in skipped[f"found:m:{name}"]
    assert "found:m:before" in found.patterns
    assert not (tmp_path / "out.txt").exists()


def test_trust_runs_python_in_this_process(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    Library([entry("python", PREVIOUS)]).write(file)
    found = surveyed(model, tmp_path / "run", library=file, trust=True)
    assert "found:m:python" in found.patterns
    assert not found.run.manifest["failures"]


def test_another_definition_is_another_survey(model: Model, tmp_path: Path) -> None:
    file = tmp_path / "own.jsonl"
    Library([entry("before", BEFORE)]).write(file)
    surveyed(model, tmp_path / "run", library=file)
    Library([entry("before", Formula("f", (Term("distance == -1", 8.0),)))]).write(file)
    with pytest.raises(UsageError, match="patterns differ"):
        surveyed(model, tmp_path / "run", library=file, resume=True)


def test_no_library_says_how_to_get_one(model: Model, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="headscribe discover` makes one"):
        surveyed(model, tmp_path / "run", library=tmp_path / "absent")
    for text, said in (
        ("", "found none"),
        ("{}\n", "line 1"),
        (json.dumps({"name": "a b", "program": {}}) + "\n", "line 1"),
        ('{"name": "a", "program": {"kind": "pickle"}, "sentence": "", "looks_ahead": false, '
         '"provenance": {"model": "m", "head": "0.0"}, "merged": []}\n', "pickle"),
    ):  # fmt: skip
        (tmp_path / "odd.jsonl").write_text(text)
        with pytest.raises((UsageError, RunError), match=said):
            surveyed(model, tmp_path / "run", library=tmp_path / "odd.jsonl")


@needs_walls
def test_the_command(library: Path, tmp_path: Path) -> None:
    texts = Path(hs.__file__).parent / "assets" / "samples" / "stories.jsonl"
    done = headscribe(
        "survey", "bundled:stories", "--text", texts,
        "--limit", 6, "--max-tokens", 12, "--annotator", "plain", "--patterns", "library",
        "--library", library, "--out", "run", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "found:m:python" in done.stdout
    assert "skipped found:m:link: it needs head" in done.stderr
    assert "found:m:escape failed on 6 texts" in done.stderr
