"""What is said of a head, marked against what is known of it.

Not the likeness of two matrices decides: a formula has to be the truth. On fresh texts its rows and
the truth's agree, it takes no more terms than the truth needs, none of them says what others say or
nothing, and the name on the head's card says the same; no label beside it says something else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from headscribe.core.arrays import Attention, Matrix
from headscribe.exam.material import Known, Truth
from headscribe.fitting.atlas import collect
from headscribe.fitting.formula import Formula
from headscribe.fitting.growth import Compound
from headscribe.fitting.headline import Headline
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

APART = 0.05
"""The most that the share of one of several behaviours may differ from the truth's."""

VOID = 1e-3
"""A term is void if without it the rows stay as they were, up to this IoU."""

Outcome = Literal["recovered", "misnamed", "clumsy", "close", "missed"]


@dataclass(frozen=True)
class Mark:
    """One head on the score sheet.

    Attributes:
        model: its model, `head`: where it stands there.
        truth: what it does.
        formula: what was fitted, as it prints.
        iou: of the formula's rows with the truth's, on fresh texts.
        idle: terms that say what others say, or nothing.
        name: what its card calls it; empty: nothing.
        same: whether the name says what the truth does, no more and no less.
        labels: what it is called beside.
        wrong: names and labels that the truth does not bear out.
        partial: those that say a part of it: their keys are among those that it reads.
        shares: of a head that does one of several things, each with its share of the attention on
            fresh texts: in truth, and by the formula.
        outcome: what comes of it.
        reason: why it is not recovered, empty if it is.
        peers: the others whose answer is the truth.
        kind: of the model.
    """

    model: str
    head: str
    truth: str
    formula: str
    iou: float
    terms: int
    idle: tuple[str, ...]
    name: str
    same: bool
    labels: tuple[str, ...]
    wrong: tuple[str, ...]
    partial: tuple[str, ...]
    outcome: Outcome
    reason: str
    peers: tuple[str, ...] = ()
    shares: tuple[tuple[str, float, float], ...] = ()
    kind: str = "compiled"

    @property
    def true(self) -> bool:
        """Whether its formula is the truth and nothing beside it wrong, whatever it is called."""
        return self.outcome == "recovered" or self.outcome == "misnamed"


@dataclass(frozen=True)
class Called:
    """What a head is called.

    Attributes:
        name: on its card; empty: nothing.
        means: what that means: a formula in words, a relation, or nothing of single keys.
        labels: patterns that it follows, with their relations; None where one means no keys.
    """

    name: str = ""
    means: Headline | str | None = None
    labels: Mapping[str, str | None] = field(default_factory=dict)


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


def says(means: Headline | str | None, truth: Truth, model: Known) -> bool:
    """Whether a name says what the truth does: no key more, none less; the start aside."""
    if means is None:
        return False
    if isinstance(means, str):
        return min(borne_out(means, truth, model)) >= SAME
    fresh = model.parts[1]
    rows = [means.attention(passage, model.seen)[1:] for passage in fresh]
    return iou(rows, [truth.rows(passage, model.seen)[1:] for passage in fresh]) >= SAME


def shares_of(truth: Truth, formula: Formula, model: Known) -> tuple[tuple[str, float, float], ...]:
    """What a head spends on each of the several things that it does, in truth and by a formula."""
    found, fresh = [], model.parts[1]
    real = np.concatenate([truth.rows(passage, model.seen).ravel() for passage in fresh])
    said = np.concatenate([rows_of(formula, model, passage).ravel() for passage in fresh])
    for part in truth.parts:
        where = [shared_evaluator(passage, model.seen).dense(parse(part)) != 0 for passage in fresh]
        on = np.concatenate([np.ravel(one) for one in where])
        found.append((part, float(real[on].sum() / real.sum()), float(said[on].sum() / real.sum())))
    return tuple(found)


def mark(model: Known, truth: Truth, formula: Formula, called: Called) -> Mark:
    """Mark one head."""
    fresh = model.parts[1]
    likeness = iou(
        [rows_of(formula, model, passage) for passage in fresh],
        [truth.rows(passage, model.seen) for passage in fresh],
    )
    idle = idle_terms(formula, model)
    same = says(called.means, truth, model)
    shares = shares_of(truth, formula, model)
    said = dict(called.labels)
    if called.name and not same and not isinstance(called.means, Headline):
        said[called.name] = called.means
    borne = {name: borne_out(one, truth, model) for name, one in said.items() if one is not None}
    wrong = tuple(name for name, both in borne.items() if max(both) < HOLDS)
    partial = tuple(n for n, (there, _) in borne.items() if there < HOLDS and n not in wrong)
    outcome: Outcome = "clumsy"
    if likeness < SAME:
        outcome = "close" if likeness >= CLOSE else "missed"
        reason = f"IoU {likeness:.2f} with the truth"
    elif any(abs(one - other) > APART for _, one, other in shares):
        reason = "other shares of what it does"
    elif len(formula.terms) > truth.terms:
        reason = f"{len(formula.terms)} terms, where {truth.terms} would do"
    elif idle:
        reason = f"says nothing of its own: {', '.join(idle)}"
    elif wrong:
        reason = f"is also called {', '.join(wrong)}"
    elif not same:
        outcome, reason = "misnamed", f"is called {called.name or 'nothing'}"
    else:
        outcome, reason = "recovered", ""
    return Mark(
        truth.model, truth.head, truth.relation, str(formula), likeness, len(formula.terms), idle,
        called.name, same, tuple(called.labels), wrong, partial, outcome, reason,
        shares=shares, kind=model.kind,
    )  # fmt: skip
