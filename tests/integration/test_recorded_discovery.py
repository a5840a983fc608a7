"""The recorded discovery run of `docs/discovery-run.md`, replayed.

`recorded/bert_discovery.jsonl.gz` holds the exchanges, `recorded/bert_discovery.json` what came of
them. Prompts are matched as they are, else by their first line: formulas are fitted otherwise since
the recording, so that prompts differ, and what comes of a proposal may differ too. Proposals and
rivals with their scores may not, nor may formulas be much worse.
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
    replay = Replay(exchanges)
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
    for one in found.outcomes:
        before = recorded[one.head].attempts
        for attempt, known in zip(one.attempts, before, strict=False):
            assert attempt.proposal == known.proposal
        expected = recorded[one.head]
        assert one.rivals == expected.rivals
        for split, scores in expected.scores.items():
            assert one.scores[split]["catalogue"] == pytest.approx(scores["catalogue"], abs=1e-9)
            assert one.scores[split]["formula"] > scores["formula"] - 0.01
        if one.status == "stopped":  # another round than the recording has
            assert replay.differing
            assert len(one.attempts) == len(before)
    assert Run.open(tmp_path / "run").complete == (found.tally.stopped == 0)
    assert replay.differing or found.tally.stopped == 0
