"""The commands as a newcomer uses them: right, wrong, interrupted."""

import json
import os
import signal
import time
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

import headscribe as hs
from headscribe.models.recorded import write_recording
from headscribe.results.examples import read_examples
from headscribe.results.run import Run
from tests.commands import Command, headscribe, wrong
from tests.unit.scoring.synthetic import Made, passage


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recording") / "made"
    texts = [passage(f"text{i}", 4 + i % 5) for i in range(12)]
    write_recording(folder, [(text, Made().attention(text)) for text in texts])
    return folder


@pytest.fixture(scope="module")
def run(recording: Path) -> Path:
    out = recording.parent / "run"
    done = headscribe("survey", "--recorded", recording, "--out", out, cwd=recording.parent)
    assert done.returncode == 0, done.stderr
    assert "next_token" in done.stdout
    assert "skipped dependency" in done.stderr, "patterns without their tags are named"
    return out


def test_top_prints_stable_json(run: Path) -> None:
    done = headscribe("top", run, "--pattern", "next_token", "-k", 2, "--json", cwd=run.parent)
    found = json.loads(done.stdout)
    assert [sorted(score) for score in found] == [
        sorted(
            ["pattern", "metric", "view", "split", "head", "score", "low", "high", "coverage",
             "texts", "baseline", "gain", "gain_low", "gain_high", "profile_gain",
                 "profile_gain_low", "profile_gain_high", "scored"]
        )
    ] * 2  # fmt: skip
    assert found[0]["score"] <= found[1]["score"]


def test_show_draws_a_head(run: Path) -> None:
    done = headscribe("show", run, "1.2", "--png", "head.png", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert (run.parent / "head.png").read_bytes().startswith(b"\x89PNG")


def test_show_begins_with_the_card_and_draws_what_the_name_says(tmp_path: Path) -> None:
    """First the answer, then the attention beside what the name predicts, also on a sentence."""
    texts = "".join(
        f'{{"text": "Tom saw the {one}. The {one} ran to Tom, and the {one} sat on the mat."}}\n'
        for one in ("cat", "dog", "cow", "hen", "pig", "fox", "owl", "bee", "ant", "rat", "bat",
                    "ram", "elk", "yak", "emu", "koi", "cod", "eel", "fly", "asp")
    )  # fmt: skip
    (tmp_path / "texts.jsonl").write_text(texts)
    ask = ["survey", "bundled:stories", "--text", "texts.jsonl", "--annotator", "plain",
           "--patterns", "previous_token", "--layers", "1", "--out", "run"]  # fmt: skip
    done = headscribe(*ask, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    card = hs.open(tmp_path / "run").card("1.2")
    assert card.name == "the previous token"
    for more in ([], ["--text", "A cat sat."]):
        said = headscribe("show", "run", "1.2", *more, cwd=tmp_path).stdout
        assert said.startswith(f"{card}\n")
        assert said.index("Attention of L1H2") < said.index("What “the previous token” predicts")
        assert said.index("What “the previous token” predicts") < said.index("say more of L1H2")
    (example, *_) = read_examples(Run.open(tmp_path / "run")).values()
    behaviour = example.behaviours["the previous token"].matrix()
    length = len(behaviour)
    assert np.array_equal(behaviour[1:], np.eye(length, dtype=np.float32)[:-1])
    assert not behaviour[0].any()
    drawn = headscribe("show", "run", "1.2", "--png", "head.png", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr


def test_report_is_a_page(run: Path) -> None:
    done = headscribe("report", run, "-o", "page.html", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    assert "<!doctype html>" in (run.parent / "page.html").read_text()[:100].lower()


def test_a_folder_that_cannot_be_read_does_not_lose_the_others(run: Path, tmp_path: Path) -> None:
    copytree(run, tmp_path / "damaged")
    (tmp_path / "damaged" / "run.json").write_text("{")
    done = headscribe("report", "nowhere", run, "damaged", "-o", "page.html", cwd=tmp_path)
    assert (done.returncode, done.stdout.strip()) == (2, "page.html"), done.stderr
    said = done.stderr.strip().splitlines()
    assert said[0].startswith("headscribe: shown as far as its tables tell: damaged/run.json")
    assert said[1].startswith("headscribe: left out: expected a run directory")
    assert "nowhere" in said[1]
    assert len(said) == 2
    assert "left out" not in wrong(tmp_path, "report", "nowhere")
    assert run.name in (tmp_path / "page.html").read_text()


def test_diff_of_a_run_and_itself(run: Path) -> None:
    done = headscribe("diff", run, run, "--json", cwd=run.parent)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["kind"], found["by"]) == ("survey", "head")
    assert {change["change"] for change in found["changes"]} == {0.0}
    assert "nothing differs" in headscribe("diff", run, run, cwd=run.parent).stdout


def test_wrong_use_says_what_would_work(run: Path, recording: Path) -> None:
    here = run.parent
    assert "such as 7.10, L7H10 or (7, 10)" in wrong(here, "show", run, "7-1")
    assert "2 layers of 3 heads" in wrong(here, "show", run, "9.9")
    assert "did you mean `next_token`" in wrong(here, "top", run, "--pattern", "nxt_token")
    assert "did you mean `jsd`" in wrong(here, "top", run, "--metric", "jds")
    assert "run.json" in wrong(here, "top", here / "nowhere")
    assert "expected a folder" in wrong(here, "survey", "--recorded", here / "nowhere")
    assert "a model and texts" in wrong(here, "survey")
    assert "got both" in wrong(here, "survey", "m", "--text", "t", "--recorded", recording)
    assert "not empty" in wrong(here, "survey", "--recorded", recording, "--out", run)
    needs = wrong(here, "survey", "--recorded", recording, "--patterns", "dependency")
    assert "--annotator bundled:en" in needs
    png = wrong(here, "patterns", "try", "distance == 1", "--text", "a b", "--annotator", "plain",
                "--png", here / "nowhere" / "x.png", stdout=True)  # fmt: skip
    assert "No such file" in png
    assert "were not parsed" in wrong(here, "top", run, "--relations")
    said = wrong(here, "survey", "bundled:stories", "--text", "bundled:storys")
    assert "`bundled:storys` is no bundled text; did you mean `bundled:samples`?" in said
    (here / "long.txt").write_text("the cat sat on the mat " * 100)
    long = ["survey", "bundled:stories", "--text", "long.txt", "--patterns", "previous_token"]
    assert headscribe(*long, "--out", "long", cwd=here).returncode == 0
    assert "--text shows the head on a sentence of yours" in wrong(here, "show", "long", "1.2")
    assert "known: all, default" in wrong(here, "patterns", "list", "zzz")
    assert "No such option" in wrong(here, "top", run, "--nonsense")
    assert "RUN" in wrong(here, "top")
    assert "'-k': expected a valid integer" in wrong(here, "top", run, "-k", "many")
    column = wrong(here, "patterns", "try", "query.hed == 1", "--text", "a b")
    assert "did you mean `query.head`" in column


def test_help_without_arguments(tmp_path: Path) -> None:
    for arguments in ((), ("--help",), ("survey", "--help"), ("patterns",)):
        done = headscribe(*arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "Usage: " in done.stdout
    assert headscribe("--version", cwd=tmp_path).stdout.startswith("headscribe 0.")


def test_a_broken_line_is_named_by_number(tmp_path: Path, stories: Path) -> None:
    (tmp_path / "texts.jsonl").write_text('{"text": "fine"}\n{"text": broken\n')
    assert "texts.jsonl:2" in wrong(tmp_path, "survey", stories, "--text", "texts.jsonl")
    assert "nothing.txt" in wrong(tmp_path, "survey", stories, "--text", "nothing.txt")
    (tmp_path / "empty.txt").write_text("\n\n")
    assert "empty.txt" in wrong(tmp_path, "survey", stories, "--text", "empty.txt")


def test_nan_in_a_recording_is_named(recording: Path, tmp_path: Path) -> None:
    with np.load(recording / "attention.npz") as stored:
        arrays = {name: stored[name].copy() for name in stored}
    # Arrays are numbered in the order of the texts, whatever the texts are called.
    arrays["7"][1, 2, 3, 1] = np.nan
    (tmp_path / "bad").mkdir()
    np.savez(tmp_path / "bad" / "attention.npz", **arrays)
    (tmp_path / "bad" / "sentences.jsonl").write_text((recording / "sentences.jsonl").read_text())
    line = wrong(tmp_path, "survey", "--recorded", "bad", "--out", "run", status=1)
    assert "text 'text7'" in line
    assert "head 1.2, row 3" in line
    assert "unfinished" in wrong(tmp_path, "top", "run"), "a half-written run says what it is"


def test_relations_of_a_users_own(recording: Path, tmp_path: Path) -> None:
    arguments = ["survey", "--recorded", recording, "--patterns", "same_token", "--out", "run"]
    two = ["--pattern", "distance == 1", "--pattern", "distance == -1"]
    done = headscribe(*arguments, *two, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = {score["pattern"] for score in json.loads(done.stdout)["top"]}
    assert sum(name.startswith("own:distance_1-") for name in names) == 2
    other = ["--pattern", "distance == 2", "--pattern", "distance == -1"]
    assert "patterns differ" in wrong(tmp_path, *arguments, *other, "--resume")


def test_one_token_and_unknown_symbols(tmp_path: Path, stories: Path) -> None:
    texts = ("a", "\u2603 \U0001f9d1\u200d\U0001f680 \U0001d54f", "", "the cat the cat")
    lines = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "odd.jsonl").write_text("\n".join(lines))
    done = headscribe(
        "survey", stories, "--text", "odd.jsonl", "--annotator", "plain",
        "--out", "run", "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert "next_token" in found["skipped"]
    assert "previous_token" in {score["pattern"] for score in found["top"]}


def test_an_interrupted_survey_resumes_to_the_same_table(
    tmp_path: Path, stories: Path, story_lines: list[str]
) -> None:
    (tmp_path / "texts.jsonl").write_text("".join(story_lines))
    arguments = [
        "survey", stories, "--text", "texts.jsonl", "--annotator", "plain",
        "--max-tokens", 64, "--patterns", "previous_token",
    ]  # fmt: skip
    for attempt in range(5):  # on a busy machine a survey may be done before the signal is sent
        folder = f"stopped{attempt}"
        running = Command(*arguments, "--out", folder, cwd=tmp_path)
        while not (tmp_path / folder / "run.json").exists():
            assert running.running()
            time.sleep(0.02)
        os.kill(running.pid, signal.SIGINT)
        stopped = running.wait(60)
        if stopped.returncode != 0:
            break
    assert stopped.returncode == 130
    assert "--resume" in stopped.stderr.strip().splitlines()[-1]
    done = headscribe(*arguments, "--out", folder, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = headscribe(*arguments, "--out", "whole", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    tables = [(tmp_path / name / "scores.parquet").read_bytes() for name in (folder, "whole")]
    assert tables[0] == tables[1]
    other = headscribe(*arguments, "--seed", 1, "--out", folder, "--resume", cwd=tmp_path)
    assert other.returncode == 2
    assert "seed" in other.stderr
