"""Formulas made to stand in a head's place: candidate terms by attention, then the best by effect.

The formulas of a `fit` are made to be read and to agree with a head's attention. These are made to
do what the head does, within the same bounds. `candidate_terms` reads the attention of all heads
and takes in more terms than a formula may have, from the wide pool and graded sets;
`replacement/effect.py` keeps the best of them head by head in the untouched model.
"""

from collections.abc import Sequence

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.visibility import Visibility
from headscribe.fitting.atlas import collect
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.pool import WIDE_ATTRIBUTES, relation_pool
from headscribe.fitting.selection import Breadth
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.fitting.stages import candidates
from headscribe.models.model import Model
from headscribe.replacement.agreement import agreements
from headscribe.replacement.effect import counted, fitted_to_effect
from headscribe.text.passages import Passage
from headscribe.text.splits import bucket_of, split_of

EFFECT = "effect"
"""What `replace` is given in place of programs."""

MOST_TEXTS = 420
"""At most so many texts are read."""

ATTENTION_TEXTS, ATTENTION_ROWS = 320, 16
"""Texts, and rows of each, that candidates are chosen on."""

EFFECT_TEXTS, EFFECT_ROWS = 100, 28
"""Texts, and rows of each, that the effect is measured on."""

CANDIDATES = 36


def candidate_terms(
    model: Model,
    passages: Sequence[Passage],
    breadth: Breadth = Breadth(),  # noqa: B008  (frozen)
    *,
    rows_per_text: int = 16,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> dict[HeadId, tuple[Term, ...]]:
    """Candidate terms of every head, chosen by its attention, with the weights of their joint fit.

    Args:
        passages: the `fit` texts.
        breadth: how many terms, and how they are found.
        rows_per_text: at most so many rows of every text.

    Raises:
        UsageError: there is no text.
    """
    if not passages:
        raise UsageError("expected at least one text to choose terms on, got none")
    provides = frozenset.intersection(*(passage.words.provides for passage in passages))
    alike: dict[Visibility, list[int]] = {}
    for layer in range(model.layers):
        alike.setdefault(model.visibility(layer), []).append(layer)
    found: dict[HeadId, tuple[Term, ...]] = {}
    for seen, layers in alike.items():
        sample = collect(
            counted(
                attention_items(model, passages, layers), "reading", len(passages), on_progress
            ),
            pool=relation_pool(provides, seen, look_ahead=not seen.causal, wide=True),
            attributes=WIDE_ATTRIBUTES,
            rows_per_text=rows_per_text,
            seed=seed,
        )
        before, every = len(found), model.layers * model.heads

        def said(done: int, _: int, before: int = before, every: int = every) -> None:
            on_progress("candidate terms", before + done, every)

        heads = head_ids(model, layers)
        found |= dict(zip(heads, candidates(sample, breadth, said), strict=True))
    return dict(sorted(found.items()))


def effect_formulas(
    model: Model,
    passages: Sequence[Passage],
    *,
    terms: int = 12,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> dict[HeadId, Formula]:
    """Fit a formula to every head's effect; best explained first.

    The texts of the split `select` choose the order, by the IoU of formula and head; the formulas
    are fitted on the others, without relations that look ahead where the model is causal.

    Args:
        passages: the `fit` texts.
        terms: at most so many terms a head.
        seed: chooses rows and labels, and deals the texts.

    Raises:
        UsageError: too few texts.
    """
    ordering = [p for p in passages if split_of(bucket_of(p.group, seed)) == "select"]
    fitting = [p for p in passages if split_of(bucket_of(p.group, seed)) != "select"]
    if not ordering or not fitting:
        raise UsageError(
            f"expected fit texts of several groups, got {len(passages)} that fall into one split"
        )
    found = candidate_terms(
        model,
        fitting[:ATTENTION_TEXTS],
        Breadth(terms=max(CANDIDATES, terms)),
        rows_per_text=ATTENTION_ROWS,
        seed=seed,
        on_progress=on_progress,
    )
    formulas = fitted_to_effect(
        model,
        found,
        fitting[:EFFECT_TEXTS],
        terms=terms,
        rows_per_text=EFFECT_ROWS,
        seed=seed,
        on_progress=on_progress,
    )
    (iou,) = agreements(model, [formulas], ordering, on_progress=on_progress)
    return {head: formulas[head] for head in sorted(formulas, key=lambda head: -iou[head])}
