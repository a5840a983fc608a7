"""How well programs agree with the untouched heads: the IoU that tuning must not hide."""

from collections.abc import Mapping, Sequence

import numpy as np

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.models.batching import batches
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.replacement.plan import Program
from headscribe.replacement.rows import dense_rows
from headscribe.text.passages import Passage

_BATCH = 4096
"""Tokens of a batch."""


def agreements(
    model: Model,
    several: Sequence[Mapping[HeadId, Program]],
    passages: Sequence[Passage],
    *,
    on_progress: OnProgress = silent,
) -> list[dict[HeadId, float]]:
    """The IoU of programs with their heads in the untouched model, mean over texts, all rows.

    Of several sets of programs, in one pass over the texts. Rows that a program does not cover
    share nothing with the head's.

    Raises:
        UsageError: there is no text, or a program fails on one.
    """
    if not passages:
        raise UsageError("expected at least one text to compare on, got none")
    sums = _Sums(model, several)
    done = 0
    for batch in batches(passages, _BATCH):
        model.run([passages[index] for index in batch], sums)
        done += len(batch)
        on_progress("comparing with the heads", done, len(passages))
    return [{head: float(np.mean(values)) for head, values in iou.items()} for iou in sums.iou]


class _Sums:
    """An observer that compares."""

    def __init__(self, model: Model, several: Sequence[Mapping[HeadId, Program]]) -> None:
        self._several = several
        self._visibility = [model.visibility(layer) for layer in range(model.layers)]
        self.iou: list[dict[HeadId, list[float]]] = [
            {head: [] for head in sorted(programs)} for programs in several
        ]

    def observe(self, call: AttentionCall) -> None:
        seen = self._visibility[call.layer]
        attention = call.probabilities().cpu()
        for b, passage in enumerate(call.batch):
            assert isinstance(passage, Passage)
            length = len(passage)
            for programs, iou in zip(self._several, self.iou, strict=True):
                for head in (head for head in iou if head.layer == call.layer):
                    rows = dense_rows(programs[head], "exclude", head, passage, seen)
                    real = attention[b, head.head, :length, :length]
                    shared = float(real.minimum(rows.weight).sum())
                    covered = length if rows.covered is None else int(rows.covered.sum())
                    iou[head].append(shared / (float(real.sum()) + covered - shared))
