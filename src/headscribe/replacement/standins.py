"""Formulas made to stand in a head's place: candidate terms by attention, then the best by effect.

`candidate_terms` reads the attention of all heads and takes in more terms than a formula may have,
from the wide pool and graded sets; `replacement/effect.py` keeps the best of them head by head in
the untouched model, `replacement/narrowing.py` all at once in the altered one.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import Visibility
from headscribe.fitting.atlas import Item, collect
from headscribe.fitting.candidates import Breadth, candidates
from headscribe.fitting.formula import Term
from headscribe.fitting.wide import ATTRIBUTES, wide_pool
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.text.passages import Passage


class _Recorder:
    """Keeps the attention of some layers' heads on one text."""

    def __init__(self, layers: Sequence[int]) -> None:
        self._layers = layers
        self.kept: list[Float[np.ndarray, "H T T"]] = []

    def observe(self, call: AttentionCall) -> None:
        """Keep one layer."""
        if call.layer in self._layers:
            self.kept.append(call.probabilities()[0].float().cpu().numpy())


def candidate_terms(
    model: Model,
    passages: Sequence[Passage],
    breadth: Breadth = Breadth(),  # noqa: B008  (frozen)
    *,
    rows_per_text: int = 16,
    seed: int = 0,
) -> dict[HeadId, tuple[Term, ...]]:
    """Candidate terms of every head, chosen by its attention, with the weights of their joint fit.

    Args:
        model: the model.
        passages: the `fit` texts.
        breadth: how many terms, and how they are found.
        rows_per_text: at most so many rows of every text.
        seed: chooses the rows.

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

        def items(seen: Visibility = seen, layers: Sequence[int] = layers) -> Iterator[Item]:
            for passage in passages:
                recorder = _Recorder(layers)
                model.run([passage], recorder)
                yield passage, np.concatenate(recorder.kept), seen

        pool = wide_pool(provides, seen, look_ahead=not seen.causal)
        sample = collect(
            items(), pool=pool, attributes=ATTRIBUTES, rows_per_text=rows_per_text, seed=seed
        )
        heads = [HeadId(layer, head) for layer in layers for head in range(model.heads)]
        found |= dict(zip(heads, candidates(sample, breadth), strict=True))
    return dict(sorted(found.items()))
