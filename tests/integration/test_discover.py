"""`discover` from the command line: the search, by hand through files, interrupted, replayed."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import headscribe as hs
from benchmarks.discovery_controls import Blinded, control
from headscribe.core.errors import UsageError
from headscribe.discovery.clients import Replay
from headscribe.discovery.results import Discovery
from headscribe.models.model import Model
from headscribe.results.examples import read_examples
from headscribe.results.run import Run
from headscribe.text.corpora import corpus
from tests.commands import Command, headscribe, wrong
from tests.unit.discovery.answers import answer

OPTIONS = [
    "bundled:stories", "--text", "texts.jsonl", "--max-tokens", 12, "--annotator", "plain",
    "--heads", "4.0,3.2", "--rounds", 2, "--terms", 2,
]  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("discover")
    lines = [json.dumps({"id": t.id, "text": t.text}) for t in corpus("bundled:samples").limit(18)]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def model() -> Model:
    return hs.load("bundled:stories")


@pytest.fixture(scope="module")
def offline(here: Path) -> dict:
    done = headscribe(
        "discover", *OPTIONS, "--library", "found.jsonl", "--out", "offline", "--json", cwd=here
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_search_end_to_end(here: Path, offline: dict) -> None:
    assert sorted(offline) == ["by_head", "left_out", "run", "tally"]
    assert [one["head"] for one in offline["by_head"]] == ["4.0", "3.2"]
    tally = offline["tally"]
    counted = sum(sum(tally[kind].values()) for kind in ("invalid", "failed", "rejected"))
    assert tally["proposals"] == counted + tally["accepted"] >= 2
    assert (tally["calls"], tally["usd"]) == (0, 0)
    run = Run.open(here / "offline")
    assert run.complete
    attempts = run.table("attempts").to_pylist()
    assert len(attempts) == tally["proposals"]
    for one in offline["by_head"]:
        evidence = json.loads((here / "offline" / "evidence" / f"{one['head']}.json").read_text())
        assert f"{evidence['layer']}.{evidence['head']}" == one["head"]
        assert all(len(attempt["proposal"]["hypotheses"]) == 3 for attempt in one["attempts"])
        (example,) = (
            e for e in read_examples(run).values() if f"{one['head']}:formula" in e.patterns
        )
        assert (f"{one['head']}:program" in example.patterns) == (one["status"] == "accepted")
    accepted = [one["head"] for one in offline["by_head"] if one["status"] == "accepted"]
    library = here / "found.jsonl"
    joined = [
        one["head"]
        for one in offline["by_head"]
        if one["head"] in accepted and all(low > 0 for _, low, _ in one["gains"].values())
    ]
    stored = [json.loads(line) for line in library.read_text().splitlines()] if joined else []
    assert [one["provenance"]["head"] for one in stored] == joined
    assert str(here) not in (here / "offline" / "run.json").read_text(), "no path of this machine"


@pytest.mark.parametrize(
    "asked, said",
    [
        ({}, "--resume to go on"),
        ({"resume": True, "seed": 3}, "seed differ"),
        ({"resume": True, "terms": 3}, "terms differ"),
    ],
)
def test_a_run_is_never_overwritten_by_accident(
    here: Path, offline: dict, model: Model, asked: dict[str, Any], said: str
) -> None:
    options = {"max_tokens": 12, "annotator": "plain", "heads": "4.0,3.2", "rounds": 2, "terms": 2}
    options |= {"library": here / "found.jsonl"} | asked
    options["out"] = here / options.get("out", "offline")
    before = (here / "offline" / "run.json").read_bytes()
    with pytest.raises(UsageError, match=said):
        hs.discover(model, here / "texts.jsonl", **options)
    assert (here / "offline" / "run.json").read_bytes() == before


def test_a_finished_run_is_opened_again(here: Path, offline: dict) -> None:
    found = Discovery.open(here / "offline")
    document = json.loads(json.dumps(found.to_json()))
    assert document | {"run": "offline"} == offline


def answered(folder: Path, texts: list[str], running: Command) -> None:
    """Answer the prompts of an exchange, as many as there are texts, as they come."""
    known: set[Path] = set()
    for text in texts:
        while not (fresh := sorted(set(folder.glob("*.prompt.md")) - known)):
            assert running.running(), "ended before it asked"
            time.sleep(0.05)
        known.add(fresh[0])
        fresh[0].with_name(fresh[0].name.replace("prompt", "reply")).write_text(text)


def test_by_hand_interrupted_resumed_and_replayed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two heads, answered through files; Ctrl-C while the second waits; nothing asked twice."""
    arguments = ["discover", *OPTIONS, "--library", "hand.jsonl", "--out", "hand"]
    by_hand = [*arguments, "--llm", "exchange:chat"]
    running = Command(*by_hand, cwd=here)
    texts = ["I would rather not.", answer("key.lower == query.lower and distance < 0")]
    answered(here / "chat", texts, running)
    while len(list((here / "chat").glob("*.prompt.md"))) < 3:
        assert running.running()
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGINT)
    done = running.wait(60)
    assert done.returncode == 130
    assert "head 4.0 | round 1: put the answer to" in done.stderr
    assert (
        done.stderr.splitlines()[-1]
        == "headscribe: interrupted; --resume goes on with a run that had begun"
    )
    assert [path.name for path in (here / "hand" / "heads").iterdir()] == ["4.0.json"]
    program = "import numpy as np\ndef attention(p):\n    return np.tri(len(p), k=-1)"
    running = Command(*by_hand, "--resume", "--json", cwd=here)
    waiting = sorted((here / "chat").glob("*.prompt.md"))
    for prompt in waiting:
        reply = prompt.with_name(prompt.name.replace("prompt", "reply"))
        if not reply.exists():
            reply.write_text(answer(program=program))
    while len(list((here / "chat").glob("*.prompt.md"))) < 4:
        assert running.running()
        time.sleep(0.05)
    (last,) = set((here / "chat").glob("*.prompt.md")) - set(waiting)
    last.with_name(last.name.replace("prompt", "reply")).write_text("{")
    done = running.wait(120)
    assert done.returncode == 0
    document = json.loads(done.stdout)
    kinds = [[(a["fate"], a["kind"]) for a in one["attempts"]] for one in document["by_head"]]
    assert kinds[0][0] == ("invalid", "no_json")
    assert kinds[1] == [("rejected", "fit"), ("invalid", "bad_json")]
    assert document["tally"]["calls"] == 4
    replayed = headscribe(
        *arguments[:-1], "again", "--llm", "replay:hand/exchanges.jsonl", "--json", cwd=here
    )
    assert replayed.returncode == 0, replayed.stderr
    again = json.loads(replayed.stdout)
    assert again["by_head"] == document["by_head"]
    assert again["tally"] == document["tally"] | {"usd": 0.0}
    assert Run.open(here / "again").manifest["notes"] == Run.open(here / "hand").manifest["notes"]
    # Blinded: each head is given what was proposed for the other one.
    monkeypatch.chdir(here)
    hand = Run.open("hand")
    examined = hand.manifest["examined"]
    blinded = control(hand, Blinded(Replay("hand/exchanges.jsonl"), examined), "blinded")
    for outcome, other in zip(blinded.outcomes, reversed(document["by_head"]), strict=True):
        mine = [attempt.proposal for attempt in outcome.attempts]
        assert mine == [attempt["proposal"] for attempt in other["attempts"]][: len(mine)]
    assert "4 answers were replayed for other prompts" in " ".join(blinded.run.manifest["notes"])


@pytest.mark.parametrize(
    "asked, said",
    [
        ({"heads": "worst:0"}, "worst:N"),
        (
            {"heads": "9.9"},
            "no head 9.9 in bundled:stories: it has 6 layers of 6 heads, 0.0 to",
        ),
        ({"heads": "nine"}, "such as 7.10"),
        ({"heads": []}, "at least one head"),
        ({"llm": "smith:x"}, "offline, exchange:FOLDER, replay:FILE"),
        ({"llm": "openai:gpt-5"}, "set OPENAI_API_KEY"),
        ({"llm": "replay:absent"}, "recorded exchanges"),
        ({"llm": "compatible:http://me:secret@localhost#m"}, "in the environment"),
        ({"llm": "compatible:http://localhost#m", "budget_usd": 1.0}, "budget in tokens"),
        ({"resume": True, "out": None}, "--out RUN"),
        ({"limit": 2}, "give more texts"),
        ({"rounds": 0}, "at least 1 for rounds"),
    ],
)
def test_wrong_use_says_what_would_work(
    asked: dict[str, Any], said: str, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.chdir(tmp_path)
    options = {"annotator": "plain", "max_tokens": 20, "out": "run", "library": "x.jsonl"} | asked
    with pytest.raises(UsageError) as caught:
        hs.discover(model, corpus("bundled:samples").limit(24), **options)
    assert said in str(caught.value)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "nothing was begun"


def test_wrong_use_is_one_line(here: Path) -> None:
    assert "recorded exchanges" in wrong(here, "discover", *OPTIONS, "--llm", "replay:absent")
