"""End to end on the bundled storyteller: few short texts, few heads."""

import json

import pytest

from headscribe.core.heads import HeadId
from headscribe.discovery.clients import client_of
from headscribe.discovery.run import Settings, discover
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.models.inputs import model_inputs
from headscribe.models.loading import load
from headscribe.patterns.registry import registry
from headscribe.results.run import Run
from headscribe.sandbox import Sandbox, status
from headscribe.text.corpora import corpus
from tests.unit.discovery.answers import answer
from tests.unit.discovery.mock import Queued

HEADS = (HeadId(0, 1), HeadId(3, 2))
POOL = ("key.index == 0", "distance == 0", "distance == -1", "log1p(-distance)", "key.is_punct")
SETTINGS = Settings(rounds=2, terms=3, look_ahead=False, evidence_tokens=8000)

PROGRAM = """
import numpy as np

def attention(p):
    \"\"\"Tokens attend to themselves and to what came before, less the farther it is.\"\"\"
    index = np.arange(len(p))
    back = index[:, None] - index[None, :]
    return np.where(back >= 0, 1 / (1 + np.maximum(back, 0)), 0)
"""


@pytest.fixture(scope="module")
def stories():
    model = load("bundled:stories")
    inputs = model_inputs(
        model, corpus("bundled:samples").limit(24), annotator_name="plain", max_tokens=16
    )
    return lambda: attention_items(model, inputs.passages), head_ids(model)


def found(stories, folder, **changes):
    items, ids = stories
    options = {
        "model": "bundled:stories",
        "settings": SETTINGS,
        "pool": POOL,
        "patterns": registry().select(["positional"]),
    }
    return discover(items, ids, HEADS, folder, **options | changes)


def test_the_offline_proposer_end_to_end(stories, tmp_path):
    result = found(stories, tmp_path / "run")
    assert [one.head for one in result.outcomes] == ["0.1", "3.2"]
    assert result.tally.proposals >= 2
    assert all(one.status != "stopped" for one in result.outcomes)
    assert not result.tally.invalid
    assert Run.open(tmp_path / "run").complete


@pytest.mark.skipif(not status().in_force, reason="needs the sandbox's walls: Linux with Landlock")
def test_a_recorded_run_is_replayed_without_a_network(stories, tmp_path):
    ahead = answer('key.next.lower == "the"')
    with Sandbox() as sandbox:
        recorded = found(
            stories,
            tmp_path / "recorded",
            client=Queued(
                f"I think:\n```json\n{answer(program=PROGRAM)}\n```",
                answer("key.lower == query.lower and distance < 0"),
                ahead,
                "I give up.",
            ),
            runner=sandbox,
        )
        exchanges = tmp_path / "recorded" / "exchanges.jsonl"
        repeated = found(
            stories, tmp_path / "replayed", client=client_of(f"replay:{exchanges}"), runner=sandbox
        )
    assert repeated.outcomes == recorded.outcomes
    kinds = [[one.kind for one in outcome.attempts] for outcome in recorded.outcomes]
    assert kinds[-1] == ["relation", "no_json"]  # tokens after the query are out of reach
    assert recorded["0.1"].attempts[0].fit_iou is not None
    prompts = [json.loads(line)["prompt"] for line in exchanges.read_text().splitlines()]
    assert all("sees itself and earlier tokens only" in prompt for prompt in prompts)
