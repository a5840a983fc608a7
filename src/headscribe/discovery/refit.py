"""Proposed relations refitted into a head's formula: structure from outside, numbers from `fit`."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.arrays import Attention
from headscribe.core.errors import UsageError
from headscribe.core.rows import Rows as PredictedRows
from headscribe.discovery.code import InvalidError
from headscribe.discovery.material import Material
from headscribe.discovery.neutral import neutral
from headscribe.discovery.study import DEVICE, RIDGE, STEPS, HeadTask, formula_of
from headscribe.fitting.classes import WordClass, by_name, spelled_out, used
from headscribe.fitting.formula import MAX_FORMULA_ATOMS, MAX_TERM_ATOMS, Formula, Term
from headscribe.fitting.growth import MAX_MEMBERS
from headscribe.fitting.solver import Rows, fit_weights, removals
from headscribe.fitting.stages import Fitted, features_of
from headscribe.relations import Evaluator, Relation, parse
from headscribe.text.passages import Passage
from headscribe.text.splits import Split

_NAMELESS = re.compile(rf"\{{(?:[^,}}]*,){{{MAX_MEMBERS}}}")
"""A set with more members than `MAX_MEMBERS`."""

_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"')

LARGEST = 1e6
"""Values beyond this would leave no precision to the others."""


@dataclass
class RefittedFormula:
    """The head's formula with new relations; weights from `fit`, no more terms than before.

    Attributes:
        proposed: the relations that were tried.
        new: those of them that the formula kept.
        predicted: its rows on the sample's cells.
    """

    study: HeadTask
    formula: Formula
    proposed: tuple[Relation, ...]
    new: tuple[Relation, ...]
    predicted: Float[np.ndarray, " N"]
    notes: tuple[str, ...] = ()

    @cached_property
    def without(self) -> "RefittedFormula | None":
        """The formula without what is new in it, refitted; None: nothing is new.

        Terms made room for the proposal. On unseen text that alone can be better, where they were
        fitted to few texts: no merit of what took their place.
        """
        if not self.new:
            return None
        study, sample = self.study, self.study.material.sample
        weight = {term.relation: term.weight for term in self.formula.terms}
        terms = tuple(t for t in study.fitted.terms if parse(t.source).source in weight)
        features = features_of(terms, sample, DEVICE)
        weights = torch.tensor([weight[parse(t.source).source] for t in terms]).double()
        if terms:
            fit = study.material.fit
            rows = torch.from_numpy(study.material.rows("fit")[sample.row])
            real = torch.from_numpy(fit.attention[study.place])
            layout = Rows.of(fit.lengths, DEVICE)
            weights = fit_weights(
                layout, features[rows], real, "overlap", start=weights, ridge=RIDGE, steps=STEPS
            ).weights
        left = formula_of(study.head.prose, Fitted(terms, weights.numpy()))
        predicted = Rows.of(sample.lengths, DEVICE).softmax(features @ weights.float()).numpy()
        return RefittedFormula(study, left, self.proposed, (), predicted)

    @property
    def looks_ahead(self) -> bool:
        """Whether a term does."""
        return self.formula.looks_ahead

    def iou(self, split: Split) -> Float[np.ndarray, " n"]:
        """IoU on every text of a split."""
        return self.study.iou(self.predicted)[list(self.study.material.texts(split))]

    def matrix(self, text: int) -> Attention:
        """The prediction for a text."""
        return self.predicted_of([self.study.material.passages[text]])[0]

    def predicted_of(self, passages: Sequence[Passage]) -> list[Attention]:
        """The predictions for any texts."""
        seen = self.study.material.visibility
        return [self.formula.attention(Evaluator(p, seen), len(p), seen) for p in passages]

    def sketch(self, text: int) -> Attention:
        """The pairs that the proposed relations relate, rows in proportion to their values."""
        passage, seen = self.study.material.passages[text], self.study.material.visibility
        evaluator = Evaluator(passage, seen)
        total = np.zeros((len(passage), len(passage)))
        for relation in self.proposed:
            total += np.maximum(evaluator.dense(relation).astype(np.float64), 0)
        return PredictedRows.from_dense(total).to_dense()

    def to_json(self) -> dict[str, object]:
        """The formula and its new relations."""
        return {
            "kind": "formula",
            "formula": self.formula.to_json(),
            "relations": [by_name(relation.source, self.formula.classes) for relation in self.new],
        }


def refitted(
    study: HeadTask, sources: Sequence[str], classes: Sequence[WordClass] = ()
) -> RefittedFormula:
    """Refit the head's formula with new relations; the least useful terms make room.

    Relations that cannot be used are left out and noted.

    Raises:
        InvalidError: none is left.
    """
    material = study.material
    known = {term.relation for term in study.formula.terms}
    new, notes = usable(material, sources, classes, known)
    columns = material.columns([relation.source for relation in new])
    rows = material.rows("fit")[material.sample.row]
    varying = []
    for k, relation in enumerate(new):
        if not (np.abs(columns[:, k]) <= LARGEST).all():
            notes.append(
                f"`{neutral(relation.source, 200)}` has values beyond {LARGEST:g}; scale it"
            )
        elif not _varies(material.sample.row[rows], columns[rows, k]):
            notes.append(
                f"`{neutral(relation.source, 200)}` has the same value for all keys of a row"
            )
        else:
            varying.append(k)
    if not varying:
        raise InvalidError("relation", "; ".join(notes))
    new, columns = [new[k] for k in varying], columns[:, varying]
    old = features_of(study.fitted.terms, material.sample, DEVICE).numpy()
    features = np.concatenate([old, columns], axis=1)
    relations = [parse(term.source) for term in study.fitted.terms] + new
    kept, weights = _fitted(study, features[rows], relations)
    stayed = tuple(relations[k] for k in kept if k >= old.shape[1])
    if not stayed:  # the formula as it was: nothing of the proposal is in it
        own = study.formula, tuple(new), (), study.predicted
        return RefittedFormula(study, *own, tuple(notes))
    layout = Rows.of(material.sample.lengths, DEVICE)
    logits = torch.from_numpy(features[:, kept]) @ torch.from_numpy(weights).float()
    predicted = layout.softmax(logits).numpy()
    terms = tuple(
        Term(relations[k].source, float(weight)) for k, weight in zip(kept, weights, strict=True)
    )
    formula = Formula(
        study.head.prose,
        terms,
        source="proposed relations, fitted weights",
        classes=used([term.relation for term in terms], classes),
    )
    return RefittedFormula(study, formula, tuple(new), stayed, predicted, tuple(notes))


def usable(
    material: Material,
    sources: Sequence[str],
    classes: Sequence[WordClass],
    known: Collection[str] = (),
) -> tuple[list[Relation], list[str]]:
    """The relations that can be evaluated and are not known yet, and why others cannot.

    Raises:
        InvalidError: none can.
    """
    new: list[Relation] = []
    notes: list[str] = []
    for source in sources:
        shown = f"`{neutral(source, 200)}`"
        try:
            relation = parse(spelled_out(source, classes))
        except UsageError as error:
            notes.append(f"{shown}: {neutral(str(error), 300)}")
            continue
        missing = sorted(relation.needs - material.provides)
        if relation.atoms > MAX_TERM_ATOMS:
            notes.append(
                f"{shown}: expected at most {MAX_TERM_ATOMS} comparisons, got {relation.atoms}"
            )
        elif _NAMELESS.search(_LITERAL.sub("", by_name(relation.source, classes))):
            notes.append(f"{shown}: more than {MAX_MEMBERS} words are a class, which has a name")
        elif missing:
            notes.append(f"{shown}: the texts have no {', '.join(missing)}")
        elif material.visibility.causal and (
            relation.needs_later_keys or (relation.looks_ahead and not material.look_ahead)
        ):
            notes.append(f"{shown}: it reads tokens after the query, which this head cannot see")
        elif relation.source in known or relation in new:
            notes.append(f"{shown}: the formula has it already")
        else:
            new.append(relation)
    if not new:
        raise InvalidError("relation", "; ".join(notes))
    return new, notes


def _varies(row: np.ndarray, column: Float[np.ndarray, " N"]) -> bool:
    """Whether a column differs between the keys of any row."""
    return bool(((column[1:] != column[:-1]) & (row[1:] == row[:-1])).any())


def _fitted(
    study: HeadTask, features: Float[np.ndarray, "n k"], relations: Sequence[Relation]
) -> tuple[list[int], Float[np.ndarray, " kept"]]:
    """Fit the weights on `fit`, dropping the least useful term while there are too many."""
    fit = study.material.fit
    layout = Rows.of(fit.lengths, DEVICE)
    real = torch.from_numpy(fit.attention[study.place])
    limit = len(study.fitted.terms)
    kept = list(range(features.shape[1]))
    weights = torch.cat(
        [
            torch.from_numpy(study.fitted.weights).double(),
            torch.zeros(len(kept) - limit, dtype=torch.float64),
        ]
    )
    while True:
        used = torch.from_numpy(np.ascontiguousarray(features[:, kept]))
        found = fit_weights(layout, used, real, "overlap", start=weights, ridge=RIDGE, steps=STEPS)
        atoms = sum(relations[k].atoms for k in kept)
        if len(kept) <= max(limit, 1) and atoms <= MAX_FORMULA_ATOMS:
            return kept, found.weights.numpy()
        costs = removals(layout, used, found, real, "overlap", RIDGE).costs
        worst = int(torch.argmin(costs))
        weights = torch.cat([found.weights[:worst], found.weights[worst + 1 :]])
        del kept[worst]
