"""The others on the same sheet: what raw metrics, one pattern or the profile would say of a head.

The raw metrics are of the kind that HeadVis and TransformerLens list, in definitions of our own
(HeadVis' code could not be had): the share of its rows' attention that a head spends on the keys of
one relation; the highest names the head, if it is at least a half. Entropy, the sixth, names none.
An answer counts if it is the truth: if on fresh texts its rows, even over its keys and on the start
where it has none, agree with the truth's.
"""

from collections.abc import Mapping

import numpy as np

from headscribe.core.rows import Rows
from headscribe.exam.marking import SAME, iou
from headscribe.exam.material import Known, Truth
from headscribe.fitting.heads import HeadFormula
from headscribe.patterns.contract import Pattern
from headscribe.patterns.relational import shared_evaluator
from headscribe.relations import parse
from headscribe.text.passages import Passage

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
    truths = [truth.rows(passage, model.seen) for passage in fresh]
    answers: dict[str, list[Rows]] = {}
    if (named := _named(model, h)) is not None:
        answers[PEERS[0]] = [_of_relation(METRICS[named], model, one) for one in fresh]
    if fitted.pattern is not None:
        best = patterns[fitted.pattern[0]]
        answers[PEERS[1]] = [best.predict(one, model.seen) for one in fresh]
    right = tuple(
        peer
        for peer, rows in answers.items()
        if iou([one.filled("sink", model.seen).to_dense() for one in rows], truths) >= SAME
    )
    return right + PEERS[2:] * (fitted.scores["profile", "raw", "iou"].mean >= SAME)


def _of_relation(source: str, model: Known, passage: Passage) -> Rows:
    related = shared_evaluator(passage, model.seen).dense(parse(source))
    return Rows.from_dense(related.astype(np.float32))


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
