"""An earlier discovery run on recorded BERT, replayed.

`recorded/bert_discovery.jsonl.gz` holds the exchanges, `recorded/bert_discovery.json` what came of
them. Prompts are matched as they are, else by their first line: formulas are fitted otherwise since
the recording, so that prompts differ, and so may what comes of a proposal. Proposals and rivals
with their scores may not, nor may formulas be much worse. `recorded/bert_discovery_replayed.json`
says, attempt by attempt, what comes of them today, and which prompts are not those recorded.
"""

import gzip
import json
from pathlib import Path

import pytest

import headscribe as hs
from headscribe.discovery.clients import Replay, read_exchanges
from headscribe.discovery.outcomes import Outcome
from headscribe.discovery.proposals import ParseFailure, parse_proposal
from headscribe.results.run import Run

FIXTURE = Path(__file__).parent / "recorded"
HEADS = ["8.10"]


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recorded") / "exchanges.jsonl"
    path.write_bytes(gzip.decompress((FIXTURE / "bert_discovery.jsonl.gz").read_bytes()))
    return path


@pytest.fixture(scope="module")
def recorded() -> dict[str, Outcome]:
    stored = json.loads((FIXTURE / "bert_discovery.json").read_text(encoding="utf-8"))
    return {one["head"]: Outcome.from_json(one) for one in stored}


def test_every_recorded_answer_is_read(exchanges: Path, recorded: dict[str, Outcome]) -> None:
    """One exchange a proposal, and the parser of today reads each of them."""
    lines = read_exchanges(exchanges)
    attempts = [attempt for one in recorded.values() for attempt in one.attempts]
    assert len(recorded) >= 12
    assert len(lines) == len(attempts)
    codes = []
    for line in lines:
        found = parse_proposal(line["reply"])
        assert not isinstance(found, ParseFailure), found
        codes.append(found.code.model_dump(mode="json"))
    for attempt in attempts:
        assert attempt.code in codes
    titles = {line["prompt"].partition("\n")[0] for line in lines}
    assert len(titles) == len(lines), "first lines tell all prompts apart"


def test_the_recorded_run_is_replayed(
    exchanges: Path, recorded: dict[str, Outcome], shared_data: Path, tmp_path: Path
) -> None:
    told: list[str] = []
    replay = Replay(exchanges, told.append)
    found = hs.discover(
        hs.Recording(shared_data / "bert_sst2_attention"),
        llm=replay,
        heads=HEADS,
        annotator="bundled:en",
        library=tmp_path / "library.jsonl",
        out=tmp_path / "run",
    )
    made = [attempt for one in found.outcomes for attempt in one.attempts]
    assert [one.head for one in found.outcomes] == HEADS
    assert found.tally.calls == len(made) >= len(HEADS)
    assert (found.tally.usd, found.tally.invalid) == (0, {})
    today = json.loads((FIXTURE / "bert_discovery_replayed.json").read_text(encoding="utf-8"))
    assert told == [said for one in today for said in one["told"]], "prompts that differ are told"
    assert replay.differing == len(told)
    notes = " ".join(Run.open(tmp_path / "run").manifest["notes"])
    assert f"{len(told)} answers were replayed for other prompts" in notes
    for one, known in zip(found.outcomes, today, strict=True):
        expected = recorded[one.head]
        assert (one.head, one.status) == (known["head"], known["status"])
        assert one.rivals == expected.rivals
        for split, scores in expected.scores.items():
            assert one.scores[split]["catalogue"] == pytest.approx(scores["catalogue"], abs=1e-9)
            assert one.scores[split]["formula"] > scores["formula"] - 0.01
        for attempt, before, after in zip(
            one.attempts, expected.attempts, known["attempts"], strict=True
        ):
            assert attempt.proposal == before.proposal
            for name, value in after.items():
                own = list(attempt.notes) if name == "notes" else getattr(attempt, name)
                near = pytest.approx(value, abs=2e-3) if isinstance(value, float) else value
                assert own == near, (one.head, attempt.round, name)
    assert Run.open(tmp_path / "run").complete == (found.tally.stopped == 0)
