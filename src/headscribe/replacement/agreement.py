"""How well programs agree with the untouched heads: the IoU that tuning must not hide."""

from collections.abc import Mapping, Sequence

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.models.batching import batches
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.replacement.plan import Program
from headscribe.replacement.rows import dense_rows
from headscribe.text.passages import Passage


def agreement(
    model: Model,
    programs: Mapping[HeadId, Program],
    passages: Sequence[Passage],
    token_budget: int = 4096,
) -> dict[HeadId, float]:
    """The IoU of every program with its head in the untouched model, mean over texts, all rows.

    Rows that a program does not cover share nothing with the head's.

    Raises:
        UsageError: there is no text, or a program fails on one.
    """
    if not passages:
        raise UsageError("expected at least one text to compare on, got none")
    sums = _Sums(model, programs)
    for batch in batches(passages, token_budget):
        model.run([passages[index] for index in batch], sums)
    return {head: float(np.mean(values)) for head, values in sums.iou.items()}


class _Sums:
    """An observer that compares."""

    def __init__(self, model: Model, programs: Mapping[HeadId, Program]) -> None:
        self._programs = programs
        self._visibility = [model.visibility(layer) for layer in range(model.layers)]
        self.iou: dict[HeadId, list[float]] = {head: [] for head in sorted(programs)}

    def observe(self, call: AttentionCall) -> None:
        """Compare one layer's heads."""
        chosen = [head for head in self.iou if head.layer == call.layer]
        if not chosen:
            return
        attention = call.probabilities().cpu()
        for b, passage in enumerate(call.batch):
            assert isinstance(passage, Passage)
            length = len(passage)
            for head in chosen:
                seen = self._visibility[head.layer]
                rows = dense_rows(self._programs[head], "exclude", head, passage, seen)
                real = attention[b, head.head, :length, :length]
                shared = float(real.minimum(rows.weight).sum())
                covered = length if rows.covered is None else int(rows.covered.sum())
                self.iou[head].append(shared / (float(real.sum()) + covered - shared))
