"""Heads kept from reading the hint, or given the attention that they have without it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.hinting.measures import TINY
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.models.tap import tap

How = Literal["block", "unhinted"]
"""`block`: rows after the insertion lose the insertion's keys and are renormalised. `unhinted`:
they get the attention that the head has without the insertion, on the keys that both prompts share;
for what the model goes on to write, of which there is no unhinted row, the hint's keys are blocked.
"""

HOWS: tuple[How, ...] = get_args(How)


@dataclass(frozen=True, eq=False)
class Target:
    """One text of a batch whose heads are altered.

    Attributes:
        text: its place in the batch.
        inserted: the tokens of the insertion, `[first, last)`.
        source: the text without insertion in the batch; None: the insertion is blocked.
        rows: shared rows after the insertion, in the source and here, shape `(2, R)`.
        keys: shared keys, in the source and here, shape `(2, K)`.
    """

    text: int
    inserted: tuple[int, int]
    source: int | None = None
    rows: Int[np.ndarray, "2 R"] | None = None
    keys: Int[np.ndarray, "2 K"] | None = None


class Intervention:
    """A substitution that alters chosen heads on chosen texts, and on others not at all.

    Args:
        padding: tokens that each text is padded with on the left.
    """

    def __init__(
        self, heads: Sequence[HeadId], targets: Sequence[Target], padding: Sequence[int]
    ) -> None:
        self._heads: dict[int, list[int]] = {}
        for head in sorted({*heads}):
            self._heads.setdefault(head.layer, []).append(head.head)
        self._targets = targets
        self._padding = padding
        self._total: dict[int, int] = {}

    def heads(self, layer: int) -> Sequence[int]:
        """The altered heads of a layer."""
        return self._heads.get(layer, ())

    def rows(self, call: AttentionCall) -> Float[Tensor, "B n Tq Tk"]:
        """Their rows; with a cache of keys those of the newest queries."""
        own = call.probabilities()[:, list(self.heads(call.layer))]
        queries, keys = own.shape[-2:]
        total = queries if queries > 1 else self._total.get(call.layer, 0) + 1
        self._total[call.layer] = total
        result = own.clone()
        for target in self._targets:
            shift = self._padding[target.text]
            row = torch.arange(total - queries, total, device=own.device) - shift
            key = torch.arange(total - keys, total, device=own.device) - shift
            result[target.text] = blocked(own[target.text], row, key, target.inserted)
            if target.source is not None and queries == total == keys:
                self._restore(result, own, target)
        return result

    def _restore(self, result: Tensor, own: Tensor, target: Target) -> None:
        assert target.source is not None
        assert target.rows is not None
        assert target.keys is not None
        here, there = self._padding[target.text], self._padding[target.source]
        shift = torch.tensor([[there], [here]], device=own.device)
        rows = torch.from_numpy(target.rows).to(own.device) + shift
        keys = torch.from_numpy(target.keys).to(own.device) + shift
        read = own[target.source][:, rows[0]][:, :, keys[0]]
        mass = read.sum(-1, keepdim=True)
        fresh = own.new_zeros((own.shape[1], rows.shape[1], own.shape[-1]))
        fresh[:, :, keys[1]] = read / mass.clamp_min(TINY)
        altered_rows = result[target.text]
        altered_rows[:, rows[1]] = torch.where(mass > TINY, fresh, altered_rows[:, rows[1]])


def blocked(
    own: Float[Tensor, "n Tq Tk"],
    row: Int[Tensor, " Tq"],
    key: Int[Tensor, " Tk"],
    inserted: tuple[int, int],
) -> Float[Tensor, "n Tq Tk"]:
    """Rows after the insertion without its keys, renormalised.

    A row that reads nothing else becomes uniform over the keys that it could have read.
    """
    first, last = inserted
    hidden = (key >= first) & (key < last)
    left = own.masked_fill(hidden, 0)
    mass = left.sum(-1, keepdim=True)
    open_keys = (~hidden & (key >= 0))[None, :] & (key[None, :] <= row[:, None])
    even = open_keys / open_keys.sum(-1, keepdim=True).clamp_min(1)
    made = torch.where(mass > TINY, left / mass.clamp_min(TINY), even.to(own.dtype))
    return torch.where((row >= last)[None, :, None], made, own)


def checked(model: Model, heads: Sequence[HeadId]) -> tuple[HeadId, ...]:
    """The heads, each once, in order.

    Raises:
        UsageError: none, or one that the model has not.
    """
    if not heads:
        raise UsageError("expected heads to alter, got none")
    for head in heads:
        if not (0 <= head.layer < model.layers and 0 <= head.head < model.heads):
            raise UsageError(
                f"expected heads 0.0 to {model.layers - 1}.{model.heads - 1}, got {head}"
            )
    return tuple(sorted({*heads}))


@contextmanager
def altered(
    model: Model, heads: Sequence[HeadId], targets: Sequence[Target], mask: Tensor
) -> Iterator[None]:
    """Alter heads while the model writes behind prompts that are padded on the left."""
    padding = (mask == 0).sum(1).tolist()
    with tap(model, None, Intervention(heads, targets, padding)):
        yield
