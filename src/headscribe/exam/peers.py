"""The others on the same sheet: what raw metrics, one pattern or the profile would say of a head.

The raw metrics are of the kind that HeadVis and TransformerLens list, in definitions of our own
(HeadVis' code could not be had): the share of its rows' attention that a head spends on the keys of
one relation; the highest names the head, if it is at least a half. Entropy, the sixth, names none.
An answer counts if it is the truth: if on fresh texts its rows, even over its keys and on the start
where it has none, agree with the truth's.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from headscribe.core.rows import Rows
from headscribe.exam.marking import SAME, iou
from headscribe.exam.material import Known, Truth
from headscribe.fitting.heads import HeadFormula
from headscribe.patterns.contract import Pattern
from headscribe.patterns.relational import shared_evaluator
from headscribe.relations import parse

METRICS = {
    "previous": "distance == -1",
    "first": "key.index == 0",
    "itself": "distance == 0",
    "duplicate": "key.id == query.id and distance < 0",
    "induction": "key.prev.id == query.id and distance < 0",
}
"""Raw metrics that name a head, with their keys."""

PEERS = ("six raw metrics", "best pattern of the catalogue", "profile")

LEAST = 0.5


def recovered_by(
    model: Known, h: int, truth: Truth, fitted: HeadFormula, patterns: Mapping[str, Pattern]
) -> tuple[str, ...]:
    """The peers whose answer on a head is the truth."""
    fresh = model.parts[1]
    answers: dict[str, list[Rows]] = {}
    if (named := _named(model, h)) is not None:
        answers[PEERS[0]] = _of_relation(METRICS[named], model)
    if fitted.pattern is not None:
        best = patterns[fitted.pattern[0]]
        answers[PEERS[1]] = [best.predict(passage, model.seen) for passage in fresh]
    right = tuple(peer for peer, rows in answers.items() if _is_true(rows, truth, model))
    return right + PEERS[2:] * (fitted.scores["profile", "raw", "iou"].mean >= SAME)


DETECTED = {
    "previous_token_head": "distance == -1",
    "duplicate_token_head": "key.id == query.id and distance < 0",
    "induction_head": "key.prev.id == query.id and distance <= 0",
}
"""The named patterns of TransformerLens' `detect_head`, with their keys."""


def detected(model: Known, truth: Truth, scores: Mapping[str, float]) -> bool:
    """Whether the pattern that `detect_head` scores highest, if at least a half, is the truth."""
    best = max(DETECTED, key=lambda name: scores[name])
    if not scores[best] >= LEAST:
        return False
    return _is_true(_of_relation(DETECTED[best], model), truth, model)


def _is_true(rows: Sequence[Rows], truth: Truth, model: Known) -> bool:
    """Whether rows on fresh texts, on the start where they say nothing, are the truth's."""
    real = [truth.rows(passage, model.seen) for passage in model.parts[1]]
    return iou([row.filled("sink", model.seen).to_dense() for row in rows], real) >= SAME


def _of_relation(source: str, model: Known) -> list[Rows]:
    related = [shared_evaluator(part, model.seen).dense(parse(source)) for part in model.parts[1]]
    return [Rows.from_dense(one.astype(np.float32)) for one in related]


def _named(model: Known, h: int) -> str | None:
    """The metric that is highest on the texts that formulas are fitted to."""
    score = {}
    for name, relation in METRICS.items():
        there, rows = 0.0, 0
        for passage in model.parts[0]:
            cells = shared_evaluator(passage, model.seen).cells(parse(relation))
            there += float(model.of(passage)[h][cells.query, cells.key].sum())
            rows += len(set(cells.query.tolist()))
        score[name] = there / max(rows, 1)
    best = max(score, key=lambda name: score[name])
    return best if score[best] >= LEAST else None
