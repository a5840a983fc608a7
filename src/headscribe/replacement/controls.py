"""Controls: what a replaced head is compared with, estimated on `fit` texts in one pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.fitting.sources import head_ids
from headscribe.models.batching import batches
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.patterns.contract import Family, Pattern
from headscribe.replacement.plan import Program
from headscribe.scoring import profile
from headscribe.scoring.predictions import sinks_of
from headscribe.scoring.profile import CELL_CLASSES, HIDDEN, profile_cells
from headscribe.text.passages import Passage


class _Estimated:
    """What a reader must know of a pattern that is estimated on texts."""

    family: ClassVar[Family] = "positional"
    source: ClassVar[str] = "estimated on the fit texts"
    needs: ClassVar[frozenset[str]] = frozenset()
    looks_ahead: ClassVar[bool] = False
    needs_later_keys: ClassVar[bool] = False
    mirror: ClassVar[str | None] = None


@dataclass(frozen=True, eq=False)
class Profile(_Estimated):
    """A head's mean attention by position, as a program.

    Attributes:
        table: mean attention by cell class of `scoring.profile`, shape `(CELL_CLASSES,)`.
    """

    table: Float[np.ndarray, " C"]
    name: str = "profile"
    sentence: ClassVar[str] = "The head's own mean attention by offset, sinks and ends apart."

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """The profile's rows; uniform over the visible keys where it knows nothing."""
        rows = profile_rows(torch.from_numpy(self.table)[None], passage, visibility)
        return Rows.from_dense(rows[0].numpy())


def profile_rows(
    tables: Float[Tensor, "H C"], passage: Passage, visibility: Visibility
) -> Float[Tensor, "H T T"]:
    """The rows of several heads' profiles; uniform over the visible keys where one is 0."""
    cells = _classes(passage, visibility).to(tables.device)
    rows = torch.nn.functional.pad(tables.float(), (0, 1))[:, cells]
    total = rows.sum(-1, keepdim=True)
    known = total > 0
    rows /= torch.where(known, total, 1.0)
    visible = (cells != HIDDEN).float()
    return torch.where(known, rows, visible / visible.sum(-1, keepdim=True))


def _classes(passage: Passage, visibility: Visibility) -> Int[Tensor, "T T"]:
    """The class of every cell of a text; `HIDDEN` for keys that are not visible."""
    length = len(passage)
    sinks = sinks_of(passage, visibility)[None]
    cells = profile_cells(np.array([length]), np.ones((1, length), bool), sinks, visibility)
    return torch.from_numpy(cells.cell.astype(np.int64))


@dataclass(frozen=True, eq=False)
class MeanAttention(_Estimated):
    """A head's attention averaged over texts, place by place: `A[i, j]` of all texts that long.

    Rows beyond the longest `fit` text stay uncovered.

    Attributes:
        mean: shape `(T, T)`, rows sum to 1; queries that no text had are 0.
    """

    mean: Float[np.ndarray, "T T"]
    name: str = "mean"
    sentence: ClassVar[str] = "The head's attention averaged over texts, place by place."

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """The averaged rows, restricted to the keys that the text has and the layer sees."""
        length = len(passage)
        known = min(length, len(self.mean))
        matrix = np.zeros((length, length))
        matrix[:known, :known] = self.mean[:known, :known]
        return Rows.from_dense(np.where(visibility.dense(length), matrix, 0.0))


@dataclass(frozen=True)
class Controls:
    """The controls of every head.

    Attributes:
        fixed: the fixed pattern that overlaps it best on the `fit` texts.
        mean: its mean attention.
    """

    profile: Mapping[HeadId, Profile]
    fixed: Mapping[HeadId, Pattern]
    mean: Mapping[HeadId, Pattern]


def estimate(
    model: Model,
    passages: Sequence[Passage],
    fixed: Sequence[Pattern],
    token_budget: int = 4096,
    on_progress: OnProgress = silent,
) -> Controls:
    """Estimate the controls of every head.

    Args:
        passages: the `fit` texts.
        fixed: the fixed patterns to choose from; each must cover every row, and those that a
            causal layer cannot have are left out there.
        token_budget: tokens a batch.

    Raises:
        UsageError: there is no text, or no fixed pattern for a layer.
    """
    if not passages:
        raise UsageError("expected at least one fit text to estimate controls on, got none")
    sums = _Sums(model, fixed, max(map(len, passages)))
    done = 0
    for batch in batches(passages, token_budget):
        model.run([passages[index] for index in batch], sums)
        done += len(batch)
        on_progress("estimating controls", done, len(passages))
    heads = head_ids(model)
    return Controls(
        {head: Profile(sums.profile(head)) for head in heads},
        {head: sums.best_fixed(head) for head in heads},
        {head: MeanAttention(sums.mean(head)) for head in heads},
    )


class _Sums:
    """An observer that adds up what the controls are made of."""

    def __init__(self, model: Model, fixed: Sequence[Pattern], longest: int) -> None:
        layers, heads = model.layers, model.heads
        self._visibility = [model.visibility(layer) for layer in range(layers)]
        self._fixed = [
            [
                pattern
                for pattern in fixed
                if not (seen.causal and (pattern.looks_ahead or pattern.needs_later_keys))
            ]
            for seen in self._visibility
        ]
        if not all(self._fixed):
            raise UsageError("expected at least one fixed pattern for every layer, got none")
        self._attention = torch.zeros((layers, heads, CELL_CLASSES), dtype=torch.float64)
        self._cells = torch.zeros((layers, CELL_CLASSES), dtype=torch.float64)
        self._sum = torch.zeros((layers, heads, longest, longest))
        self._overlap = torch.zeros((layers, heads, len(fixed)), dtype=torch.float64)

    def observe(self, call: AttentionCall) -> None:
        layer = call.layer
        seen = self._visibility[layer]
        attention = call.probabilities().cpu()
        for b, passage in enumerate(call.batch):
            assert isinstance(passage, Passage)
            length = len(passage)
            real = attention[b, :, :length, :length]
            self._sum[layer, :, :length, :length] += real
            cells = _classes(passage, seen).reshape(-1)
            total = torch.zeros((len(real), CELL_CLASSES + 1), dtype=torch.float64)
            total.index_add_(1, cells, real.reshape(len(real), -1).double())
            count = torch.bincount(cells, minlength=CELL_CLASSES + 1).double()
            self._attention[layer] += total[:, :CELL_CLASSES]
            self._cells[layer] += count[:CELL_CLASSES]
            for k, pattern in enumerate(self._fixed[layer]):
                rows = pattern.predict(passage, seen)
                found = real[:, torch.from_numpy(rows.query), torch.from_numpy(rows.key)]
                shared = torch.minimum(found, torch.from_numpy(rows.weight)).sum(-1)
                self._overlap[layer, :, k] += shared / length

    def profile(self, head: HeadId) -> Float[np.ndarray, " C"]:
        total, count = self._attention[head.layer, head.head], self._cells[head.layer]
        return profile.Profile(total.numpy()[None, None], count.numpy()[None, None]).table()[0]

    def mean(self, head: HeadId) -> Float[np.ndarray, "T T"]:
        """Mean attention by place; rows are normalised."""
        total: Tensor = self._sum[head.layer, head.head].double()
        row = total.sum(-1, keepdim=True)
        return torch.where(row > 0, total / torch.where(row > 0, row, 1.0), 0.0).numpy()

    def best_fixed(self, head: HeadId) -> Pattern:
        """The fixed pattern of the greatest mean overlap; of equals the first."""
        return self._fixed[head.layer][int(self._overlap[head.layer, head.head].argmax())]


def shuffled(programs: Mapping[HeadId, Program], seed: int) -> dict[HeadId, Program]:
    """Give every head the program of another, none its own.

    Raises:
        UsageError: there are fewer than two heads.
    """
    heads = sorted(programs)
    if len(heads) < 2:
        raise UsageError("expected programs of at least two heads to shuffle, got fewer")
    order = np.random.default_rng(seed).permutation(len(heads))
    following = dict(zip(order.tolist(), np.roll(order, -1).tolist(), strict=True))
    return {head: programs[heads[following[index]]] for index, head in enumerate(heads)}
