"""From a proposal's code to predictions: checked, run, normalised, refitted."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.arrays import Attention
from headscribe.core.errors import RunError, UsageError
from headscribe.core.rows import Rows as PredictedRows
from headscribe.discovery.neutral import neutral
from headscribe.discovery.proposals import Code
from headscribe.discovery.study import DEVICE, Study
from headscribe.fitting.formula import MAX_FORMULA_ATOMS, MAX_TERM_ATOMS, Formula, Term
from headscribe.fitting.solver import Rows, drop_costs, fit_weights
from headscribe.fitting.stages import features_of
from headscribe.relations import Evaluator, Relation, parse
from headscribe.sandbox import Failure, Runner, check, prefix_test
from headscribe.sandbox.static import needed_fields
from headscribe.text.splits import Split

RIDGE = 1e-4
LARGEST = 1e6
STEPS = 12
PREFIX_TEXTS = 4

InvalidKind = Literal["relation", "needs", "looks_ahead", "no_sandbox"]


class InvalidError(RunError):
    """Code that cannot be tried: `kind` says why, the message what would work."""

    def __init__(self, kind: InvalidKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class FailedError(RunError):
    """A program that gave no matrix for a text; `failure` says why."""

    def __init__(self, text_id: str, failure: Failure) -> None:
        super().__init__(f"on text {neutral(text_id)}: {failure}")
        self.failure = failure


class Candidate(Protocol):
    """Code of a proposal, ready to be scored.

    Attributes:
        notes: what was left out of the proposal and why.
        looks_ahead: a row may depend on later tokens.
    """

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def looks_ahead(self) -> bool: ...  # noqa: D102

    def iou(self, split: Split) -> Float[np.ndarray, " n"]:
        """IoU with the head on every text of a split, in order.

        Raises:
            FailedError: the program gave no matrix for one of them.
        """
        ...

    def matrix(self, text: int) -> Attention:
        """The prediction for a text of a split that was scored."""
        ...

    def sketch(self, text: int) -> Attention:
        """What the code by itself says about a text, rows summing to 1 or 0."""
        ...

    def to_json(self) -> dict[str, object]:
        """The code as it is kept."""
        ...


def candidate(study: Study, code: Code, runner: Runner | None) -> Candidate:
    """Check a proposal's code and make it ready.

    Raises:
        InvalidError: it cannot be tried.
        FailedError: the static check refuses the program.
    """
    if code.kind == "relations":
        return refitted(study, code.relations)
    return _program(study, code.program, runner)


@dataclass
class RefittedFormula:
    """The head's formula with new relations; weights from `fit`, no more terms than before.

    Attributes:
        study: the head.
        formula: the whole formula.
        proposed: the relations that were tried.
        new: those of them that the formula kept.
        predicted: its rows on the sample's cells.
    """

    study: Study
    formula: Formula
    proposed: tuple[Relation, ...]
    new: tuple[Relation, ...]
    predicted: Float[np.ndarray, " N"]
    notes: tuple[str, ...] = ()

    @property
    def looks_ahead(self) -> bool:
        """Whether a term does."""
        return self.formula.looks_ahead

    def iou(self, split: Split) -> Float[np.ndarray, " n"]:
        """IoU on every text of a split."""
        return self.study.iou(self.predicted)[list(self.study.material.texts(split))]

    def matrix(self, text: int) -> Attention:
        """The prediction for a text."""
        passage, seen = self.study.material.passages[text], self.study.material.visibility
        return self.formula.attention(Evaluator(passage, seen), len(passage), seen)

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
            "relations": [one.source for one in self.new],
        }


def refitted(study: Study, sources: Sequence[str]) -> RefittedFormula:
    """Refit the head's formula with new relations; the least useful terms make room.

    Relations that cannot be used are left out and noted.

    Raises:
        InvalidError: none is left.
    """
    new, notes = _usable(study, sources)
    material = study.material
    columns = material.columns([one.source for one in new])
    varying = []
    for k, one in enumerate(new):
        if not (np.abs(columns[:, k]) <= LARGEST).all():
            notes.append(f"`{neutral(one.source, 200)}` has values beyond {LARGEST:g}; scale it")
        elif not _varies(material.sample.row, columns[:, k]):
            notes.append(f"`{neutral(one.source, 200)}` has the same value for all keys of a row")
        else:
            varying.append(k)
    if not varying:
        raise InvalidError("relation", "; ".join(notes))
    new, columns = [new[k] for k in varying], columns[:, varying]
    rows = material.rows("fit")[material.sample.row]
    old = features_of(study.fitted.terms, material.sample, DEVICE).numpy()
    features = np.concatenate([old, columns], axis=1)
    relations = [parse(term.source) for term in study.fitted.terms] + new
    kept, weights = _fitted(study, features[rows], relations)
    layout = Rows.of(material.sample.lengths, DEVICE)
    logits = torch.from_numpy(features[:, kept]) @ torch.from_numpy(weights).float()
    predicted = layout.softmax(logits).numpy()
    terms = tuple(
        Term(relations[k].source, float(weight)) for k, weight in zip(kept, weights, strict=True)
    )
    stayed = tuple(relations[k] for k in kept if k >= old.shape[1])
    formula = Formula(study.head.prose, terms, source="proposed relations, fitted weights")
    return RefittedFormula(study, formula, tuple(new), stayed, predicted, tuple(notes))


def _usable(study: Study, sources: Sequence[str]) -> tuple[list[Relation], list[str]]:
    """The relations that can join the formula, and why others cannot.

    Raises:
        InvalidError: none can.
    """
    material = study.material
    known = {term.relation for term in study.formula.terms}
    new: list[Relation] = []
    notes: list[str] = []
    for source in sources:
        shown = f"`{neutral(source, 200)}`"
        try:
            one = parse(source)
        except UsageError as error:
            notes.append(f"{shown}: {neutral(str(error), 300)}")
            continue
        missing = sorted(one.needs - material.provides)
        if one.atoms > MAX_TERM_ATOMS:
            notes.append(f"{shown}: expected at most {MAX_TERM_ATOMS} comparisons, got {one.atoms}")
        elif missing:
            notes.append(f"{shown}: the texts have no {', '.join(missing)}")
        elif material.visibility.causal and (
            one.needs_later_keys or (one.looks_ahead and not material.look_ahead)
        ):
            notes.append(f"{shown}: it reads tokens after the query, which this head cannot see")
        elif one.source in known or one in new:
            notes.append(f"{shown}: the formula has it already")
        else:
            new.append(one)
    if not new:
        raise InvalidError("relation", "; ".join(notes))
    return new, notes


def _varies(row: np.ndarray, column: Float[np.ndarray, " N"]) -> bool:
    """Whether a column differs between the keys of any row."""
    return bool(((column[1:] != column[:-1]) & (row[1:] == row[:-1])).any())


def _fitted(
    study: Study, features: Float[np.ndarray, "n k"], relations: Sequence[Relation]
) -> tuple[list[int], Float[np.ndarray, " k"]]:
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
        costs = drop_costs(layout, used, found, real, "overlap", RIDGE)
        worst = int(torch.argmin(costs))
        weights = torch.cat([found.weights[:worst], found.weights[worst + 1 :]])
        del kept[worst]


@dataclass
class ProposedProgram:
    """A whole Python program, run in the sandbox; rows that it says nothing about are uniform.

    Attributes:
        study: the head.
        code: its text.
        runner: what runs it.
        looks_ahead: a row may depend on later tokens; True where that was not tested.
        forgiving: texts on which it fails count as uniform from here on, instead of ending it.
        failed: on how many texts it failed while that was so.
    """

    study: Study
    code: str
    runner: Runner
    looks_ahead: bool
    notes: tuple[str, ...] = ()
    forgiving: bool = False
    failed: int = 0
    _own: dict[int, Attention] = field(default_factory=dict)

    def iou(self, split: Split) -> Float[np.ndarray, " n"]:
        """IoU on every text of a split; runs the program on those that it has not seen."""
        material = self.study.material
        texts = material.texts(split)
        self._run([text for text in texts if text not in self._own])
        predicted = np.zeros(len(self.study.real), np.float32)
        bounds = np.searchsorted(
            material.sample.row_text[material.sample.row], np.arange(len(material.passages) + 1)
        )
        for text in texts:
            predicted[bounds[text] : bounds[text + 1]] = material.cells(text, self.matrix(text))
        return self.study.iou(predicted)[list(texts)]

    def matrix(self, text: int) -> Attention:
        """The prediction for a text that was run."""
        seen = self.study.material.visibility
        return PredictedRows.from_dense(self._own[text]).filled("uniform", seen).to_dense()

    def sketch(self, text: int) -> Attention:
        """What the program returned for a text that was run, visible keys only, normalised."""
        return self._own[text]

    def to_json(self) -> dict[str, object]:
        """The program."""
        return {"kind": "python", "program": self.code}

    def _run(self, texts: Sequence[int]) -> None:
        material = self.study.material
        passages = [material.passages[text] for text in texts]
        results = self.runner.run(self.code, passages).results if passages else ()
        for text, result in zip(texts, results, strict=True):
            if isinstance(result, Failure):
                if not self.forgiving:
                    raise FailedError(material.passages[text].text_id, result)
                self.failed += 1
                length = len(material.passages[text])
                self._own[text] = np.zeros((length, length), np.float32)
                continue
            rows = PredictedRows.from_dense(result).visible(material.visibility)
            self._own[text] = rows.to_dense()


def _program(study: Study, code: str, runner: Runner | None) -> ProposedProgram:
    refused = check(code)
    if refused is not None:
        raise FailedError("(none was run)", refused)
    if runner is None:
        raise InvalidError("no_sandbox", "programs cannot be run here; write relations")
    material = study.material
    missing = sorted(needed_fields(code) - material.provides)
    if missing:
        raise InvalidError("needs", f"the words of the texts have no {', '.join(missing)}")
    ahead = True
    if material.visibility.causal:
        some = [material.passages[text] for text in material.texts("fit")[:PREFIX_TEXTS]]
        tested = prefix_test(code, runner, some)
        ahead = tested.looks_ahead
        if ahead and not material.look_ahead:
            raise InvalidError("looks_ahead", f"the program looks ahead: {tested.reason}")
    return ProposedProgram(study, code, runner, ahead)
