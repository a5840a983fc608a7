"""Hints from a file of questions to a run directory, its table and its figures."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

import headscribe as hs
from headscribe.cli.main import main
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.hinting.questions import questions_of
from headscribe.patterns.registry import registry
from headscribe.replacement.transcripts import Transcript
from headscribe.results.run import Run
from tests.commands import Command
from tests.oracles import hints as oracle
from tests.unit.hinting import tiny
from tests.unit.hinting.test_reading import matrices

TABLES = ("questions", "answers", "rates", "heads", "slides", "readings", "profile")


@pytest.fixture(scope="module")
def mmlu(sums, tmp_path_factory):
    """The stories model asked a few questions, as MMLU has them, by the command."""
    out = tmp_path_factory.mktemp("hints") / "run"
    return out, ["hints", "bundled:stories", "--questions", str(sums), "--limit", "12",
                 "--out", str(out)]  # fmt: skip


def command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["headscribe", *arguments])
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    return left.value.code or 0, captured.out, captured.err


def test_a_model_at_chance_is_said_to_be_and_heads_are_not_ranked(mmlu, monkeypatch, capsys):
    out, arguments = mmlu
    status, printed, errors = command(monkeypatch, capsys, *arguments)
    assert (status, errors) == (0, "")
    printed = " ".join(printed.split())
    assert "heads are not ranked: answers that follow the wrong hint:" in printed
    assert "accuracy without hint is at chance" in printed
    followed = next(
        row for row in Run.open(out).table("rates").to_pylist()
        if (row["name"], row["condition"]) == ("to_hinted", "wrong")
    )  # fmt: skip
    assert (
        f"the wrong hint is followed by {followed['hits']} of the {followed['n']} answers that "
        f"could ({followed['share']:.0%}, {followed['low']:.0%} to {followed['high']:.0%})"
    ) in printed
    assert "guessing gives 25 %" in printed
    run = Run.open(out)
    assert run.manifest["kind"] == "hints"
    assert run.complete
    assert sorted(run.manifest["tables"]) == sorted(TABLES)
    assert run.manifest["passes"] == {"observed": 48, "generated": 0, "traced": 0, "causal": 0}
    assert run.manifest["ranking"]["refused"] in run.manifest["messages"]
    heads = run.table("heads").to_pylist()
    assert len(heads) == 2 * 5 * 36
    assert all(row["hint"] is not None and not row["flagged"] for row in heads)
    answers = run.table("answers").to_pylist()
    assert len(answers) == 48
    assert all(row["answer"] == int(np.argmax(row["scores"])) for row in answers)
    assert not list(out.glob("part-*"))

    status, printed, _ = command(monkeypatch, capsys, *arguments, "--resume", "--json")
    document = json.loads(printed)
    assert document["heads"] == []
    assert document["ranking"]["refused"]
    assert {row["name"] for row in document["rates"]} >= {"accuracy", "changed", "to_hinted"}
    status, _, errors = command(monkeypatch, capsys, *arguments)
    assert status == 2
    assert "is not empty" in errors


def test_readings_are_those_of_the_table_of_heads(mmlu):
    run = Run.open(mmlu[0])
    readings = run.table("readings").to_pylist()
    for row in run.table("heads").to_pylist()[::37]:
        at = row["layer"] * 6 + row["index"]
        mine = {
            condition: [one["values"][at] for one in readings
                        if (one["condition"], one["measure"]) == (condition, row["measure"])]
            for condition in (row["condition"], "note")
        }  # fmt: skip
        assert row["hint"] == pytest.approx(np.mean(mine[row["condition"]]), abs=1e-6)
        assert row["note"] == pytest.approx(np.mean(mine["note"]), abs=1e-6)


def test_figures(mmlu):
    from headscribe.report.hint_figures import hint_figures

    figures = hint_figures(Run.open(mmlu[0]))
    assert {*figures} == {"grid", "profile"}
    for figure in figures.values():
        figure.canvas.draw()
    labels = [one.get_text() for one in figures["profile"].axes[0].get_yticklabels()]
    assert "Ġthe / Ġthe" in labels
    assert len(figures["profile"].axes) == 6


PROGRAM = """
import os, signal, sys
from pathlib import Path
from tests.integration.test_hints import chat

written = []

def report(task, done, total):
    written.append(task)
    if len(written) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

chat(Path(sys.argv[1]), report)
"""


def chat(out, report=lambda *now: None, **settings):
    """A tiny chat model that is asked nine questions in many batches."""
    usual = {"max_new_tokens": 8, "token_budget": 400, "out": out, "resume": out.exists()}
    model = tiny.model("qwen3", chat=True)
    return hs.hints(model, tiny.questions(9), on_progress=report, **usual | settings)


def interrupt(task, done, total):
    if task == "reading" and done == total // 3 * 2:
        raise KeyboardInterrupt


def test_a_chat_model_that_is_killed_resumes_to_the_same_tables(tmp_path):
    done = Command(tmp_path / "killed", cwd=Path.cwd(), code=PROGRAM).wait()
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(list((tmp_path / "killed" / "stages").glob("written-*"))) == 2
    with pytest.raises(KeyboardInterrupt):
        chat(tmp_path / "killed", interrupt)
    assert list((tmp_path / "killed" / "stages").glob("read-*"))
    seen = []
    chat(tmp_path / "killed", lambda *now: seen.append(now))
    assert {task for task, _, _ in seen} == {"answering", "reading"}
    assert seen[-1] == ("reading", 9, 9)
    chat(tmp_path / "whole")
    for table in TABLES:
        one, other = (tmp_path / run / f"{table}.parquet" for run in ("killed", "whole"))
        assert one.read_bytes() == other.read_bytes(), table
    run = Run.open(tmp_path / "killed")
    assert run.manifest["model"]["chat"]
    assert run.manifest["answer"] == "generate"
    assert run.manifest["passes"]["generated"] == 36
    with pytest.raises(UsageError, match="token_budget differ from the unfinished run"):
        chat(tmp_path / "killed", token_budget=401)
    again = chat(tmp_path / "killed")
    assert again.document == hs.open(tmp_path / "killed").document, "a complete run is read"
    with pytest.raises(UsageError, match="opened without its model"):
        again.restored(["0.0"])


def test_nothing_is_lost():
    rows = [
        *tiny.rows(6),
        {"question": "w1", "choices": [], "answer": 0},
        {"question": "w1", "choices": ["w2", "w2"], "answer": 0},
        {"question": "w1 " * 200, "choices": ["w2", "w3"], "answer": 0},
        {"question": "w1", "choices": ["w2", "w3"], "answer": "Z"},
    ]
    found = hs.hints(tiny.model(), rows, answer="generate", max_new_tokens=5)
    assert found.document["questions"] == {
        "rows": 10, "ok": 6, "bad_answer": 1, "duplicate_choices": 1, "no_choices": 1,
        "too_long": 1,
    }  # fmt: skip
    assert found.messages[-1].startswith("4 of 10 rows were not asked: 1 bad answer")
    states = {rate.name: rate.hits for rate in found.rates if rate.condition == "none"}
    answered = sum(one["none"].state == "answered" for one in found.study.outcomes.answers)
    assert states["unparsed"] + states["unended"] + answered == 6
    assert states["unended"] > 0  # a model that never ends its answer
    assert any("did not end within 5 tokens" in message for message in found.messages)
    assert any("--answer likelihood" in message for message in found.messages)
    assert found.study.values.shape[0] == 6


def test_the_context_counts_what_is_written():
    row = tiny.rows(1)
    length = len(tiny.prompter(tiny.tokenizer(), answer="generate").ask(questions_of(row).rows[0])
                 .prompts["wrong"])  # fmt: skip
    assert hs.hints(tiny.model(), row, answer="generate", max_new_tokens=160 - length).document
    with pytest.raises(UsageError, match=r"expected questions that fit .*, got none \(1 too_long"):
        hs.hints(tiny.model(), row, answer="generate", max_new_tokens=161 - length)


def test_programs_predict_for_the_score_of_the_slides():
    model, questions = tiny.model(seed=3), tiny.questions(40)
    (previous,) = registry().select(["previous_token"])
    found = hs.hints(model, questions, position="after", programs={HeadId(1, 1): previous})
    (score,) = found.study.slides
    turned = found.study.outcomes.to_hinted("right")
    assert score.n == turned.sum() > 0
    expected = {}
    for condition in ("right", "note"):
        found_of = []
        for at in np.flatnonzero(turned).tolist():
            unit = found.study.units[at]
            text = unit.text("none")
            passage = Transcript(model.tokenizer, "q").passage(text.ids.tolist())
            made = previous.predict(passage, model.visibility(1)).to_dense()
            first, second, after = unit.shared(condition)
            keys = list(zip(first, second, strict=True))
            real = matrices(model, unit.text(condition))[1, 1]
            found_of.append(
                oracle.measures(made, real, keys[len(keys) - after :], keys, (0, 1))["columns"]
            )
        expected[condition] = np.array(found_of)
    assert score.score[0] == pytest.approx(expected["right"].mean(), abs=1e-5)
    assert score.note == pytest.approx(expected["note"].mean(), abs=1e-5)
    assert score.beyond[0] == pytest.approx((expected["right"] - expected["note"]).mean(), abs=1e-5)
    own = hs.hints(model, questions, position="after").study
    assert len(own.slides) == 8
    assert own.slides[5].score[0] < score.score[0]
    columns = own.values[turned, :, 1, 1, 1]  # the head's own profiles: wrong, right, note
    assert own.slides[5].beyond[0] == pytest.approx((columns[:, 1] - columns[:, 2]).mean())


def test_one_question_has_no_intervals_and_says_so():
    found = hs.hints(tiny.model(), tiny.questions(1))
    assert "one question was asked: means have no intervals" in found.messages
    rows = found.run.table("heads").to_pylist()
    assert all(row["beyond"] is not None for row in rows)
    assert all(row["beyond_low"] is row["hint_low"] is row["contrast_low"] is None for row in rows)
    assert not found.heads
    shown = list(dict.fromkeys(row["head"] for row in found.run.table("profile").to_pylist()))
    assert shown == sorted(shown), "in the order of the model: heads are not ranked"


def test_wrong_use(tmp_path):
    with pytest.raises(UsageError, match="`middle` is no position"):
        hs.hints(tiny.model(), tiny.questions(2), position="middle")
    with pytest.raises(UsageError, match="`guess` is no way to answer"):
        hs.hints(tiny.model(), tiny.questions(2), answer="guess")
    found = hs.hints(tiny.model(), tiny.questions(3))
    with pytest.raises(UsageError, match="`cut` is no way to alter heads"):
        found.restored(["0.0"], how="cut")
    assert set(found.figures()) >= {"grid"}, "a run is kept without `out` as well"
