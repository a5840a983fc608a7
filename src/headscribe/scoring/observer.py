"""What reads a layer's attention while it exists."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class LayerAttention(Protocol):
    """One layer's attention on one batch."""

    @property
    def layer(self) -> int:
        """The layer, counted from 0."""
        ...

    def probabilities(self) -> Float[Tensor, "B H T T"]:
        """The attention, float32; rows and keys beyond a text's length do not count."""
        ...


@runtime_checkable
class LayerObserver(Protocol):
    """Reads the attention of each layer while it exists."""

    def observe(self, call: LayerAttention) -> None:
        """Read one layer's attention on one batch."""
        ...


@dataclass(frozen=True)
class Observers:
    """Several observers as one."""

    members: Sequence[LayerObserver]

    def observe(self, call: LayerAttention) -> None:
        """Show the layer to each of them."""
        for member in self.members:
            member.observe(call)
