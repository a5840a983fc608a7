"""Formulas made to stand in a head's place: candidate terms by attention, then the best by effect.

`candidate_terms` reads the attention of all heads and takes in more terms than a formula may have,
from the wide pool and graded sets; `replacement/effect.py` keeps the best of them head by head in
the untouched model, `replacement/narrowing.py` all at once in the altered one.
"""

from collections.abc import Callable, Sequence

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import Visibility
from headscribe.fitting.atlas import collect
from headscribe.fitting.candidates import Breadth, candidates
from headscribe.fitting.formula import Term
from headscribe.fitting.sources import attention_items, head_ids
from headscribe.fitting.wide import ATTRIBUTES, wide_pool
from headscribe.models.model import Model
from headscribe.text.passages import Passage


def candidate_terms(
    model: Model,
    passages: Sequence[Passage],
    breadth: Breadth = Breadth(),  # noqa: B008  (frozen)
    *,
    rows_per_text: int = 16,
    seed: int = 0,
    told: Callable[[int, int], None] | None = None,
) -> dict[HeadId, tuple[Term, ...]]:
    """Candidate terms of every head, chosen by its attention, with the weights of their joint fit.

    Args:
        model: the model.
        passages: the `fit` texts.
        breadth: how many terms, and how they are found.
        rows_per_text: at most so many rows of every text.
        seed: chooses the rows.
        told: hears how many heads are done, and of how many.

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
            attention_items(model, passages, layers),
            pool=wide_pool(provides, seen, look_ahead=not seen.causal),
            attributes=ATTRIBUTES,
            rows_per_text=rows_per_text,
            seed=seed,
        )
        before, every = len(found), model.layers * model.heads

        def said(done: int, _: int, before: int = before, every: int = every) -> None:
            if told is not None:
                told(before + done, every)

        heads = head_ids(model, layers)
        found |= dict(zip(heads, candidates(sample, breadth, told=said), strict=True))
    return dict(sorted(found.items()))
