"""Effects against the derivative of the oracle, head by head."""

import numpy as np
import pytest

from headscribe.hinting.effects import pairs, traced
from headscribe.hinting.questions import Question, questions_of
from headscribe.hinting.run import HintStudy, Settings, study
from headscribe.models.loading import load
from headscribe.results.run import NOT_KEPT
from tests.oracles.planted_hints import FOLDER, Oracle

HEADS = [(layer, head) for layer in range(4) for head in range(8)]
ROWS = [
    {"question": "Anna wants key.", "choices": ["key", "nut", "jar", "oar"], "answer": 0},
    {"question": "Rosa needs tent.", "choices": ["ring", "wool", "tent", "shoe"], "answer": 2},
    {"question": "Boris takes fork.", "choices": ["drum", "fork", "vase", "iron"], "answer": 1},
    {"question": "Clara likes rope.", "choices": ["lemon", "medal", "dish", "rope"], "answer": 3},
]


@pytest.fixture(scope="module")
def found() -> HintStudy:
    model = load(FOLDER / "copier", dtype="float64")
    return study(model, questions_of(ROWS), Settings(causal=False), NOT_KEPT, lambda *_: None)


@pytest.mark.parametrize("frozen", [False, True])
def test_effects_are_derivatives_of_partial_blocking(
    found: HintStudy, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the oracle has no rows that read too little but the hint to be renormalised
    monkeypatch.setattr("headscribe.hinting.intervention.TINY", 1e-300)
    found.model.hf.requires_grad_(not frozen)
    oracle = Oracle(FOLDER / "copier")
    named = pairs(found.model.tokenizer, found.units, found.outcomes, found.letters)
    chosen = [(unit, pair) for unit, pair in zip(found.units, named, strict=True) if pair]
    assert [pair is None for pair in named] == [False, True, False, False]  # Rosa follows no hint
    followed = oracle.followed(found.questions.usable, 0)
    effects = traced(found.model, [unit for unit, _ in chosen], [pair for _, pair in chosen])
    assert all(one.grad is None for one in found.model.hf.parameters())
    small = 1e-4
    for (question, hinted, before), row in zip(followed, effects, strict=True):

        def distance(
            strengths: dict[tuple[int, int], float],
            question: Question = question,
            hinted: int = hinted,
            before: int = before,
        ) -> float:
            logits = oracle.logits(question, hinted, strengths)
            return float(logits[hinted] - logits[before])

        for head in HEADS[::3]:
            slopes = []
            for way in (0.125, 0.375, 0.625, 0.875):
                others = dict.fromkeys(HEADS, way)
                low, high = (distance({**others, head: way + by}) for by in (-small, small))
                slopes.append((high - low) / (2 * small))
            assert row[head] == pytest.approx(-np.mean(slopes), rel=1e-4, abs=1e-5)


def test_effects_sum_to_what_blocking_all_heads_does(found: HintStudy) -> None:
    oracle = Oracle(FOLDER / "copier")
    named = pairs(found.model.tokenizer, found.units, found.outcomes, found.letters)
    chosen = [(unit, pair) for unit, pair in zip(found.units, named, strict=True) if pair]
    effects = traced(
        found.model, [unit for unit, _ in chosen], [pair for _, pair in chosen], steps=64
    )
    followed = oracle.followed(found.questions.usable, 0)
    for (question, hinted, before), row in zip(followed, effects, strict=True):
        read, blind = (oracle.logits(question, hinted, heads) for heads in ((), HEADS))
        change = (read - blind)[hinted] - (read - blind)[before]
        assert row.sum() == pytest.approx(change, rel=0.01)
