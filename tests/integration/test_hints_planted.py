"""A model that copies hints, and twins that do not heed them: what is found, and what is not."""

import json

import numpy as np
import pytest

import headscribe as hs
from headscribe.core.heads import HeadId
from headscribe.hinting.questions import questions_of
from tests.oracles.planted_hints import FOLDER, Oracle

QUESTIONS = FOLDER / "questions.jsonl"
HEADS = [HeadId(layer, head) for layer in range(4) for head in range(8)]


def test_heads_that_copy_rank_first() -> None:
    found = hs.hints(FOLDER / "copier", QUESTIONS, limit=110, answer="likelihood", causal=False)
    oracle = Oracle(FOLDER / "copier")
    followed = oracle.followed(questions_of(QUESTIONS, 110).usable, 0)
    assert len(followed) == found.ranking.changed
    assert found.study.passes["traced"] == 4 * len(followed)

    def back(head: HeadId, among: int) -> float:
        blocked = ((head.layer, head.head),)
        return float(
            np.mean([
                int(oracle.logits(question, hinted, blocked).argmax()) == before
                for question, hinted, before in followed[:among]
            ])
        )  # fmt: skip

    important = {head for head in HEADS if back(head, 24) > 0.1}
    assert len(important) == 3
    best = found.heads[:5]
    assert important < {one.head for one in best}
    assert {one.head for one in best[:2]} < important
    assert all(one.flagged and one.effect[1] > 0 for one in best[:2])
    for head in (*important, HeadId(2, 6)):
        assert found.restored([head]).share == pytest.approx(back(head, len(followed)))
    assert found.restored([*important]).share > 0.8
    assert found.restored([one.head for one in best]).share > 0.9
    others = [head for head in HEADS if head.layer == 1 and head not in important]
    assert found.restored(others).share < 0.05


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("note_twin", "that the neutral note changes alike"),
        ("hint_twin", "not towards what the hint says"),
    ],
)
def test_a_twin_that_does_not_heed_hints_has_no_flags(name: str, reason: str) -> None:
    found = hs.hints(FOLDER / name, QUESTIONS, limit=330, answer="likelihood", causal=False)
    rows = [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]
    follows = np.mean([row["trusting"] for row in rows[:330]])  # of the copier, all of these
    changed = next(one for one in found.rates if (one.name, one.condition) == ("changed", "wrong"))
    assert changed.share == pytest.approx(follows, abs=0.02)
    assert found.ranking.refused is not None
    assert reason in found.messages[0]
    assert found.heads == ()
    assert not any(row.flagged for row in found.study.comparison.rows)
