"""One observed forward pass a condition and question: all heads, all measures, nothing stored.

The conditions of a question lie side by side in one batch, so that each layer's attention is
compared while it exists.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.visibility import Visibility
from headscribe.hinting.conditions import CONDITIONS, Condition
from headscribe.hinting.letters import Letters, encoding_of
from headscribe.hinting.measures import MEASURES, PairIndex, compare
from headscribe.hinting.prompts import Asked
from headscribe.models.batching import in_halves
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.text.passages import Encoding

ALTERED: tuple[Condition, ...] = ("wrong", "right", "note")
"""The conditions that are compared with the one without insertion."""

CELLS = {"cpu": 1 << 18}
"""Cells of attention that are compared at a time: on a CPU as many as its cache holds."""

MANY_CELLS = 1 << 25
"""The same elsewhere."""


@dataclass(frozen=True, eq=False)
class Unit:
    """A question with what is read behind each of its prompts.

    Attributes:
        forced: the ids behind them, the same under every condition: the unhinted reasoning.
    """

    asked: Asked
    forced: tuple[int, ...]

    def __len__(self) -> int:
        return self.asked.longest + len(self.forced)

    def text(self, condition: Condition) -> Encoding:
        """What the model reads under a condition."""
        ids = self.asked.prompts[condition].tokens.ids
        return encoding_of(np.concatenate([ids, np.array(self.forced, np.int64)]))

    def shared(
        self, condition: Condition, behind: int | None = None
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], int]:
        """Positions of shared tokens in either text; the last so many stand after the insertion.

        So many tokens stand `behind` the prompts: by default those that are `forced`.
        """
        plain, altered = (len(self.asked.prompts[one]) for one in ("none", condition))
        more = len(self.forced) if behind is None else behind
        alignment = self.asked.shared[condition].extended(plain, altered, more)
        return alignment.first, alignment.second, alignment.after


@dataclass(frozen=True, eq=False)
class QuestionReading:
    """What was read of one question.

    Attributes:
        values: each measure of each head, of `ALTERED` against no insertion, `(3, M, L, H)`,
            float32; NaN where nothing could be compared.
        rows: the rows compared, mean over heads, shape `(3,)`.
        scores: log-likelihood of each choice by condition, `(4, k)`; None if not asked for.
    """

    values: Float[np.ndarray, "3 M L H"]
    rows: Float[np.ndarray, "3"]
    scores: Float[np.ndarray, "4 k"] | None


def read(model: Model, units: Sequence[Unit], letters: Letters | None) -> list[QuestionReading]:
    """Read the questions of a batch under every condition, in one pass; halved if it must be.

    Raises:
        RunError: a single question does not fit into memory, or attention is NaN.
    """
    return in_halves(units, lambda some: _read(model, some, letters))


def _read(model: Model, units: Sequence[Unit], letters: Letters | None) -> list[QuestionReading]:
    texts = [unit.text(condition) for unit in units for condition in CONDITIONS]
    observer = PairObserver(model, pair_index(units, model.device))
    logits = model.logits(texts, observer=observer, last=True)
    values, rows = observer.result()
    values = values.reshape(len(units), len(ALTERED), *values.shape[1:])
    scores = None
    if letters is not None:
        found = letters.scores(texts, logits, lambda longer: model.logits(longer, last=True))
        scores = found.reshape(len(units), len(CONDITIONS), -1)
    return [
        QuestionReading(
            values[at],
            rows.reshape(len(units), -1)[at],
            None if scores is None else scores[at][:, : len(unit.asked.question.choices)],
        )
        for at, unit in enumerate(units)
    ]


def pair_index(units: Sequence[Unit], device: torch.device) -> PairIndex:
    """What is compared in a batch that holds the conditions of each unit side by side."""
    first, second, last = [], [], []
    rows: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    keys: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
    inserted = []
    for number, unit in enumerate(units):
        for condition in ALTERED:
            one, other, after = unit.shared(condition)
            first.append(number * len(CONDITIONS))
            second.append(number * len(CONDITIONS) + CONDITIONS.index(condition))
            for side, positions in enumerate((one, other)):
                keys[side].append(positions)
                rows[side].append(positions[len(positions) - after :])
            last.append(after - 1)
            begin, end = unit.asked.prompts[condition].tokens.inserted
            inserted.append(np.arange(begin, end))
    row_pairs, row_real = zip(*(_padded(side) for side in rows), strict=True)
    key_pairs, key_real = zip(*(_padded(side) for side in keys), strict=True)
    added, added_real = _padded(inserted)
    arrays = (
        np.array(first), np.array(second), np.stack(row_pairs), np.stack(key_pairs), row_real[0],
        key_real[0], np.array(last), added, added_real,
    )  # fmt: skip
    return PairIndex(*(torch.from_numpy(array).to(device) for array in arrays))


def _padded(lists: Sequence[np.ndarray]) -> tuple[Int[np.ndarray, "n m"], Bool[np.ndarray, "n m"]]:
    width = max(1, *map(len, lists))
    table = np.zeros((len(lists), width), np.int64)
    real = np.zeros((len(lists), width), bool)
    for row, one in enumerate(lists):
        table[row, : len(one)] = one
        real[row, : len(one)] = True
    return table, real


class PairObserver:
    """Compares the passes of a batch, layer by layer."""

    def __init__(self, model: Model, pairs: PairIndex) -> None:
        self._model = model
        self._pairs = pairs
        self._values: list[Tensor] = []
        self._rows: list[Tensor] = []
        self._visible: dict[Visibility, Tensor] = {}

    def observe(self, call: AttentionCall) -> None:
        """Compare one layer's attention under the conditions."""
        attention = call.probabilities()
        visible = self._mask(self._model.visibility(call.layer), attention.shape[-1])
        pairs = self._pairs
        cells = attention.shape[1] * attention.shape[2] * attention.shape[3]
        step = max(1, CELLS.get(attention.device.type, MANY_CELLS) // cells)
        parts = [
            compare(attention, pairs.part(at, at + step), visible[at : at + step])
            for at in range(0, len(pairs.first), step)
        ]
        self._values.append(torch.cat([values for values, _ in parts]))
        self._rows.append(torch.cat([rows for _, rows in parts]).float().mean(1))

    def result(self) -> tuple[Float[np.ndarray, "n M L H"], Float[np.ndarray, " n"]]:
        """Everything that was measured, and the rows that were compared."""
        values = torch.stack(self._values, dim=2).cpu().numpy()
        assert values.shape[1] == len(MEASURES)
        return values, torch.stack(self._rows).mean(0).cpu().numpy()

    def _mask(self, visibility: Visibility, length: int) -> Bool[Tensor, "n R K"]:
        """The cells that the layer admits in both passes."""
        if visibility not in self._visible:
            admitted = torch.from_numpy(visibility.dense(length)).to(self._pairs.first.device)
            rows, keys = self._pairs.rows[..., None], self._pairs.keys[:, :, None, :]
            self._visible[visibility] = admitted[rows, keys].all(0)
        return self._visible[visibility]
