"""What is said of a head, marked against what is known of it.

Not the likeness of two matrices decides: a formula has to be the truth. On fresh texts its rows and
the truth's agree, it takes no more terms than the truth needs, none of them says what others say or
nothing, and no name that the head gets elsewhere says something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch

from headscribe.core.arrays import Attention, Matrix
from headscribe.exam.material import Known, Truth
from headscribe.fitting.atlas import collect
from headscribe.fitting.formula import Formula
from headscribe.fitting.growth import Compound
from headscribe.fitting.pruning import independent
from headscribe.fitting.solver import Rows
from headscribe.fitting.stages import features_of
from headscribe.patterns.relational import shared_evaluator
from headscribe.relations import parse
from headscribe.text.passages import Passage

SAME, CLOSE = 0.98, 0.9
"""IoU with the truth of a formula that is the truth, and of one that comes close."""

HOLDS = 0.5
"""A name is the truth's if so much of what that reads lies on its keys; it is a part of it if so
much of its keys is read, and wrong otherwise."""

VOID = 1e-3
"""A term is void if without it the rows stay as they were, up to this IoU."""

Outcome = Literal["recovered", "clumsy", "close", "missed"]


@dataclass(frozen=True)
class Mark:
    """One head on the score sheet.

    Attributes:
        model: its model, `head`: where it stands there.
        truth: what it does.
        formula: what was fitted, as it prints.
        iou: of the formula's rows with the truth's, on fresh texts.
        terms: of the formula.
        idle: terms that say what others say, or nothing.
        names: what the head is called elsewhere: its labels, the name on its card.
        wrong: those of them that the truth does not bear out.
        partial: those that say a part of it: their keys are among those that it reads.
        outcome: what comes of it.
        reason: why it is not recovered, empty if it is.
        peers: the others whose answer is the truth.
    """

    model: str
    head: str
    truth: str
    formula: str
    iou: float
    terms: int
    idle: tuple[str, ...]
    names: tuple[str, ...]
    wrong: tuple[str, ...]
    partial: tuple[str, ...]
    outcome: Outcome
    reason: str
    peers: tuple[str, ...] = ()


def iou(one: Sequence[Matrix], other: Sequence[Matrix]) -> float:
    """Intersection over union of the rows of several texts together."""
    apart = sum(float(abs(a - b).sum()) for a, b in zip(one, other, strict=True)) / 2
    rows = sum(map(len, one))
    return (rows - apart) / (rows + apart)


def rows_of(formula: Formula, model: Known, passage: Passage) -> Attention:
    """What a formula predicts of one text."""
    return formula.attention(shared_evaluator(passage, model.seen), len(passage), model.seen)


def idle_terms(formula: Formula, model: Known) -> tuple[str, ...]:
    """Terms that say what others say, exactly, and terms without which no row changes."""
    if not formula.terms:
        return ()
    items = ((passage, model.of(passage), model.seen) for passage in model.passages)
    sample = collect(items, pool=[term.relation for term in formula.terms], attributes=())
    terms = [Compound(term.relation) for term in formula.terms]
    cpu = torch.device("cpu")
    own = independent(terms, features_of(terms, sample, cpu).double(), Rows.of(sample.lengths, cpu))
    whole = [rows_of(formula, model, passage) for passage in model.passages]
    idle = []
    for k, term in enumerate(formula.terms):
        without = replace(formula, terms=(*formula.terms[:k], *formula.terms[k + 1 :]))
        rest = [rows_of(without, model, passage) for passage in model.passages]
        if k not in own or iou(rest, whole) > 1 - VOID:
            idle.append(term.relation)
    return tuple(idle)


def borne_out(relation: str, truth: Truth, model: Known) -> tuple[float, float]:
    """How far a name says what the truth does, on the rows where it applies.

    Of what the truth reads the share that lies on the relation's keys, of content keys alone unless
    the relation is about others; and the share of these keys that the truth reads.
    """
    there = total = read = keys = 0.0
    for passage in model.parts[1]:
        on = shared_evaluator(passage, model.seen).dense(parse(relation)) != 0
        on = on & ~passage.is_special[:, None]
        rows = truth.rows(passage, model.seen)[on.any(1)]
        on = on[on.any(1)]
        if not on[:, passage.is_special].any():
            rows = rows * ~passage.is_special
        there, total = there + float(rows[on].sum()), total + float(rows.sum())
        read, keys = read + float((rows[on] > 0).sum()), keys + float(on.sum())
    return (there / total if total else 0.0, read / keys if keys else 0.0)


def mark(model: Known, truth: Truth, formula: Formula, said: Mapping[str, str | None]) -> Mark:
    """Mark one head.

    Args:
        model: its model.
        truth: what it does.
        formula: what was fitted to it.
        said: its names, with the relation that each means; None where it means no keys.
    """
    fresh = model.parts[1]
    likeness = iou(
        [rows_of(formula, model, passage) for passage in fresh],
        [truth.rows(passage, model.seen) for passage in fresh],
    )
    idle = idle_terms(formula, model)
    says = {name: borne_out(one, truth, model) for name, one in said.items() if one is not None}
    wrong = tuple(name for name, shares in says.items() if max(shares) < HOLDS)
    partial = tuple(name for name, (there, _) in says.items() if there < HOLDS)
    outcome: Outcome = "clumsy"
    if likeness < SAME:
        outcome = "close" if likeness >= CLOSE else "missed"
        reason = f"IoU {likeness:.2f} with the truth"
    elif len(formula.terms) > truth.terms:
        reason = f"{len(formula.terms)} terms, where {truth.terms} would do"
    elif idle:
        reason = f"says nothing of its own: {', '.join(idle)}"
    elif wrong:
        reason = f"is also called {', '.join(wrong)}"
    else:
        outcome, reason = "recovered", ""
    return Mark(
        truth.model, truth.head, truth.relation, str(formula), likeness, len(formula.terms), idle,
        tuple(said), wrong, tuple(name for name in partial if name not in wrong), outcome, reason,
    )  # fmt: skip
