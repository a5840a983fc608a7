"""Refitting layer by layer: later layers learn from the altered model's own attention.

A formula fitted on the untouched model meets other hidden states once earlier layers are replaced.
Here each layer is fitted to what its heads do when all layers before it are replaced already.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.atlas import Item, collect
from headscribe.fitting.formula import Formula
from headscribe.fitting.solver import Objective, fit_weights
from headscribe.fitting.solver import Rows as Layout
from headscribe.models.batching import batches
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.models.tap import tap
from headscribe.replacement.apply import Substituted
from headscribe.replacement.plan import Plan, Program
from headscribe.text.passages import Passage


@runtime_checkable
class Fitter(Protocol):
    """Fits programs to heads of one layer."""

    def __call__(self, heads: Sequence[HeadId], items: Iterator[Item]) -> Mapping[HeadId, Program]:
        """Fit a program to each of `heads`.

        Args:
            heads: the heads, in the order of the attention.
            items: passages, their attention `(H, T, T)` in the altered model, and what the layer
                sees; read once.
        """
        ...


def refit(
    model: Model,
    heads: Sequence[HeadId],
    passages: Sequence[Passage],
    fitter: Fitter,
    token_budget: int = 4096,
) -> dict[HeadId, Program]:
    """Fit programs to heads, layer by layer, each with the layers before it replaced.

    Args:
        model: the model.
        heads: the heads to replace.
        passages: the `fit` texts.
        fitter: fits one layer's heads.
        token_budget: tokens a batch.

    Raises:
        UsageError: there is no text, or the fitter leaves a head without a program.
    """
    if not passages:
        raise UsageError("expected at least one fit text, got none")
    programs: dict[HeadId, Program] = {}
    for layer in sorted({head.layer for head in heads}):
        chosen = sorted(head for head in heads if head.layer == layer)
        found = fitter(chosen, _attention(model, programs, chosen, passages, token_budget))
        missing = [head for head in chosen if head not in found]
        if missing:
            raise UsageError(f"expected a program for head {missing[0]}, the fitter gave none")
        programs |= {head: found[head] for head in chosen}
    return programs


def _attention(
    model: Model,
    programs: Mapping[HeadId, Program],
    heads: Sequence[HeadId],
    passages: Sequence[Passage],
    token_budget: int,
) -> Iterator[Item]:
    """One layer's attention in the altered model, text by text."""
    substitution = Substituted(Plan(programs), model)
    layer, numbers = heads[0].layer, [head.head for head in heads]
    for batch in batches(passages, token_budget):
        texts = tuple(passages[index] for index in batch)
        recorder = _Recorder(layer, numbers)
        lengths = torch.tensor([len(text) for text in texts], device=model.hf.device)
        with (
            torch.inference_mode(),
            tap(model, recorder, substitution, batch=texts, lengths=lengths),
        ):
            model.stack.body(**model.inputs(texts))
        for text, attention in zip(texts, recorder.attention, strict=True):
            yield text, attention, model.visibility(layer)


class _Recorder:
    """An observer that keeps some heads of one layer."""

    def __init__(self, layer: int, heads: Sequence[int]) -> None:
        self._layer, self._heads = layer, list(heads)
        self.attention: list[np.ndarray] = []

    def observe(self, call: AttentionCall) -> None:
        """Keep the attention of the layer's heads, each text at its own length."""
        if call.layer != self._layer:
            return
        found = call.probabilities()[:, self._heads].cpu().numpy()
        for rows, length in zip(found, call.lengths.tolist(), strict=True):
            self.attention.append(rows[:, :length, :length].copy())


def reweighted(
    formulas: Mapping[HeadId, Formula],
    heads: Sequence[HeadId],
    items: Iterator[Item],
    objective: Objective = "cross_entropy",
    rows_per_text: int = 64,
) -> dict[HeadId, Formula]:
    """The same terms with weights fitted anew to the attention of `items`.

    Args:
        formulas: the terms of each head.
        heads: the heads, in the order of the attention.
        items: passages with attention.
        objective: what the weights are fitted to.
        rows_per_text: at most so many rows of every text.
    """
    pool = sorted({term.relation for head in heads for term in formulas[head].terms})
    sample = collect(items, pool=pool, rows_per_text=rows_per_text)
    layout = Layout.of(sample.lengths, torch.device("cpu"))
    cells = len(sample.key_token)
    fitted = {}
    for h, head in enumerate(heads):
        terms = formulas[head].terms
        columns = [sample.features.column(sample.position[t.relation], cells) for t in terms]
        features = np.stack(columns, axis=1) if columns else np.zeros((cells, 0), np.float32)
        fit = fit_weights(
            layout,
            torch.from_numpy(features),
            torch.from_numpy(sample.attention[h]),
            objective,
        )
        fitted[head] = formulas[head].with_weights(fit.weights.tolist())
    return fitted
