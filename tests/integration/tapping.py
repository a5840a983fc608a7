"""What the tap's tests share: small batches and observers that remember."""

from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from headscribe.models.calls import AttentionCall
from headscribe.models.forward import forward_arguments
from headscribe.models.stack import Stack
from headscribe.models.support import examine
from tests.integration.families import VOCABULARY, build

LENGTHS = torch.tensor([11, 5, 8])


@dataclass
class Tapped:
    """The least that `tap` needs."""

    stack: Stack


@cache
def tapped(family: str, stack: str | None) -> Tapped:
    """A family's random model after the support check; what changes it has to put it back."""
    found = examine(build(family), stack)[1]
    assert found is not None
    return Tapped(found)


def tokens(lengths: Tensor = LENGTHS) -> tuple[Tensor, Tensor]:
    """Random ids `(B, T)`, padded with 0 on the right, and which are real."""
    random = torch.Generator().manual_seed(3)
    width = int(lengths.max())
    ids = torch.randint(3, VOCABULARY, (len(lengths), width), generator=random)
    real = torch.arange(width)[None, :] < lengths[:, None]
    return ids.masked_fill(~real, 0), real


def arguments(model: Tapped, ids: Tensor, real: Tensor) -> dict[str, object]:
    """The arguments of the stack's forward pass, mask included."""
    return forward_arguments(model.stack, ids, real.long())


@dataclass
class Memory:
    """Keeps every layer's probabilities, and the calls themselves."""

    probabilities: list[Tensor] = field(default_factory=list)
    calls: list[AttentionCall] = field(default_factory=list)

    def observe(self, call: AttentionCall) -> None:
        assert call.layer == len(self.calls)
        self.calls.append(call)
        self.probabilities.append(call.probabilities())
