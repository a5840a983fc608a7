"""One head under study: its formula fitted on `fit`, and what a program of it has to beat."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.arrays import Attention
from headscribe.core.heads import HeadId
from headscribe.discovery.material import Material
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.scores import pattern_iou
from headscribe.fitting.selection import Budget
from headscribe.fitting.solver import Rows, fit_weights
from headscribe.fitting.stages import Fitted, choose_all, features_of, predicted_rows
from headscribe.relations import Evaluator
from headscribe.text.passages import Passage
from headscribe.text.splits import Split

DEVICE = torch.device("cpu")

RIDGE = 1e-4
STEPS = 40
"""Steps of the solver, the same for formulas and for what is proposed: else the longer fit wins."""


@dataclass(frozen=True)
class HeadTask:
    """One head with its formula and its rivals.

    Attributes:
        place: the head's place among the examined ones.
        fitted: its formula, chosen and fitted on `fit` alone.
        rivals: IoU by text of what a program has to beat, by name: `formula`, the best pattern of
            the catalogue and of the library (the best on `fit`).
        chosen: the names of the best pattern of the catalogue and of the library.
    """

    material: Material
    place: int
    fitted: Fitted
    rivals: Mapping[str, Float[np.ndarray, " texts"]]
    chosen: Mapping[str, str] = field(default_factory=dict)

    @property
    def head(self) -> HeadId:
        """The head."""
        return self.material.heads[self.place]

    @cached_property
    def formula(self) -> Formula:
        """Its formula."""
        return formula_of(self.head.prose, self.fitted)

    @cached_property
    def real(self) -> Float[np.ndarray, " N"]:
        """Its attention on the sample's cells."""
        return self.material.sample.attention[self.place]

    @cached_property
    def predicted(self) -> Float[np.ndarray, " N"]:
        """What its formula predicts there."""
        sample = self.material.sample
        return predicted_rows(self.fitted, sample, Rows.of(sample.lengths, DEVICE), DEVICE)

    def matrix(self, text: int) -> Attention:
        """What its formula predicts for one text."""
        return self.matrix_of(self.material.passages[text])

    def matrix_of(self, passage: Passage) -> Attention:
        """What its formula predicts for any text."""
        seen = self.material.visibility
        return self.formula.attention(Evaluator(passage, seen), len(passage), seen)

    @cached_property
    def content_mass(self) -> float:
        """The mean attention of the content rows of `fit` to content keys."""
        fit = self.material.fit
        rows = fit.sinks[fit.row_token] == 0
        kept = np.where(fit.sinks[fit.key_token] > 0, 0, fit.attention[self.place])
        mass = np.add.reduceat(kept, fit.start)[rows]
        return float(mass.mean()) if len(mass) else 0.0

    def iou(self, predicted: Float[np.ndarray, " N"]) -> Float[np.ndarray, " texts"]:
        """IoU by text of a prediction laid out as the sample's cells."""
        return self.material.scorer.iou(predicted, self.real)

    def mean(self, iou: Float[np.ndarray, " texts"], split: Split) -> float:
        """The mean over a split's texts."""
        return float(iou[list(self.material.texts(split))].mean())


def formula_of(name: str, fitted: Fitted) -> Formula:
    """A fitted formula as one that prints and predicts."""
    terms = zip(fitted.terms, fitted.weights, strict=True)
    return Formula(name, tuple(Term(term.source, float(weight)) for term, weight in terms))


def study_heads(
    material: Material,
    budget: Budget,
    library: Mapping[str, Float[np.ndarray, "H texts"]] | None = None,
) -> tuple[HeadTask, ...]:
    """Fit every examined head's formula on `fit` and find its rivals there.

    Args:
        library: IoU of the library's programs with every examined head, by name.
    """
    chosen_terms = choose_all(material.fit, budget, material.seed, DEVICE)
    fitted = [_settled(material, place, term) for place, term in enumerate(chosen_terms)]
    catalogue = pattern_iou(material.sample)
    names = material.sample.patterns
    fit = list(material.texts("fit"))
    studies = []
    for place, one in enumerate(fitted):
        bare = HeadTask(material, place, one, {})
        rivals, chosen = {"formula": bare.iou(bare.predicted)}, {}
        if names:
            best = int(np.argmax(catalogue[:, place, fit].mean(axis=1)))
            rivals["catalogue"], chosen["catalogue"] = catalogue[best, place], names[best]
        if library:
            name = max(library, key=lambda name: float(library[name][place, fit].mean()))
            rivals["library"], chosen["library"] = library[name][place], name
        studies.append(HeadTask(material, place, one, rivals, chosen))
    return tuple(studies)


def _settled(material: Material, place: int, fitted: Fitted) -> Fitted:
    """The formula with its weights fitted until they settle, so that no refit gains by that.

    Weights that stand for infinity become finite, so that others can be weighed against them.
    """
    fit = material.fit
    found = fit_weights(
        Rows.of(fit.lengths, DEVICE),
        features_of(fitted.terms, fit, DEVICE),
        torch.from_numpy(fit.attention[place]),
        "overlap",
        start=torch.from_numpy(fitted.weights / 4 if fitted.whole else fitted.weights),
        ridge=RIDGE,
        steps=STEPS,
    )
    return Fitted(fitted.terms, found.weights.numpy())
