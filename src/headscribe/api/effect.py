"""Formulas that are made to stand in a head's place, fitted on the spot.

The formulas of a `fit` are made to be read and to agree with a head's attention. These are made to
do what the head does: many candidate terms are chosen by its attention, and of these the ones stay
that its effect on the untouched model needs, see `headscribe.replacement.effect`. They keep within
the bounds of every formula.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.text.splits import bucket_of, split_of

if TYPE_CHECKING:
    from headscribe.fitting.formula import Formula
    from headscribe.models.model import Model
    from headscribe.text.passages import Passage

EFFECT = "effect"
"""What `replace` is given in place of programs."""

TEXTS = 420
"""At most so many texts are read."""

ATTENTION_TEXTS, ATTENTION_ROWS = 320, 16
"""Texts, and rows of each, that candidates are chosen on."""

EFFECT_TEXTS, EFFECT_ROWS = 100, 28
"""Texts, and rows of each, that the effect is measured on."""

CANDIDATES = 36


def effect_formulas(
    model: "Model",
    passages: "Sequence[Passage]",
    *,
    terms: int = 12,
    seed: int = 0,
    report: OnProgress = silent,
) -> "dict[HeadId, Formula]":
    """Fit a formula to every head's effect; best explained first.

    The texts of the split `select` choose the order, by the IoU of formula and head; the formulas
    are fitted on the others, without relations that look ahead where the model is causal.

    Args:
        model: the untouched model.
        passages: the `fit` texts.
        terms: at most so many terms a head.
        seed: chooses rows and labels, and deals the texts.
        report: hears of the progress.

    Raises:
        UsageError: too few texts.
    """
    from headscribe.fitting.candidates import Breadth
    from headscribe.replacement.agreement import agreement
    from headscribe.replacement.effect import fitted_to_effect
    from headscribe.replacement.standins import candidate_terms

    ordering = [p for p in passages if split_of(bucket_of(p.group, seed)) == "select"]
    fitting = [p for p in passages if split_of(bucket_of(p.group, seed)) != "select"]
    if not ordering or not fitting:
        raise UsageError(
            f"expected fit texts of several groups, got {len(passages)} that fall into one split"
        )

    def told(task: str) -> Callable[[int, int], None]:
        return lambda done, total: report(task, done, total)

    found = candidate_terms(
        model,
        fitting[:ATTENTION_TEXTS],
        Breadth(terms=max(CANDIDATES, terms)),
        rows_per_text=ATTENTION_ROWS,
        seed=seed,
        told=told("candidate terms"),
    )
    formulas = fitted_to_effect(
        model,
        found,
        fitting[:EFFECT_TEXTS],
        terms=terms,
        rows_per_text=EFFECT_ROWS,
        seed=seed,
        told=told("fitting to the effect"),
    )
    iou = agreement(model, formulas, ordering)
    return {head: formulas[head] for head in sorted(formulas, key=lambda one: -iou[one])}
