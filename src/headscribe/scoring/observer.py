"""What shows attention layer by layer, what reads it while it exists, and of which layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.visibility import Visibility
from headscribe.text.passages import Passage


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


@runtime_checkable
class BatchReading(LayerObserver, Protocol):
    """Reads one batch for a companion, which does not know of it before `commit`."""

    def commit(self) -> None:
        """Add what was read to the companion's sums."""
        ...


@runtime_checkable
class Companion(Protocol):
    """Asks questions of its own in the passes of a survey; its sums are kept and added as theirs.

    It reads its texts twice: what the second reading asks follows from the first.
    """

    @property
    def texts(self) -> frozenset[str]:
        """The texts that it reads."""
        ...

    def blank(self) -> "Companion":
        """The same questions, as far as they are known, with nothing read."""
        ...

    def turn(self) -> None:
        """Begin with the second reading, unless it has begun."""
        ...

    def reading(self, batch: Sequence[Passage]) -> BatchReading:
        """What reads a batch."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was read, by name, for storage."""
        ...

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Add what `arrays` gave of another part, or of an interrupted run."""
        ...


@runtime_checkable
class Source(Protocol):
    """A model or a recording: what shows the attention of texts, layer by layer."""

    @property
    def layers(self) -> int:
        """Number of layers."""
        ...

    @property
    def heads(self) -> int:
        """Heads of every layer."""
        ...

    def visibility(self, layer: int) -> Visibility:
        """The keys that a query of the layer sees."""
        ...

    def run(self, batch: Sequence[Passage], observer: LayerObserver) -> None:
        """Show the attention of every layer on a batch, layer by layer."""
        ...


def chosen_layers(asked: Sequence[int] | None, count: int) -> tuple[int, ...]:
    """The layers that are asked for, in order; all `count` of them for None.

    Raises:
        UsageError: none, or one that does not exist.
    """
    if asked is None:
        return tuple(range(count))
    found = tuple(sorted(set(asked)))
    if not found or found[0] < 0 or found[-1] >= count:
        raise UsageError(
            f"expected layers within 0 to {count - 1}, got {', '.join(map(str, found)) or 'none'}"
        )
    return found


class Enough(Exception):  # noqa: N818  # no error: what follows is not needed
    """Ends a forward pass after the last layer that is looked at."""


@dataclass(frozen=True)
class SomeLayers:
    """Shows an observer some layers, and ends the pass once the last of them was seen.

    Of the last layer of a model nothing but its attention is computed, then: a survey of all
    layers can cost less than a whole forward pass.
    """

    observer: LayerObserver
    layers: tuple[int, ...]

    def observe(self, call: LayerAttention) -> None:
        """Show the layer if it is one of them.

        Raises:
            Enough: no later layer is one of them.
        """
        if call.layer in self.layers:
            self.observer.observe(call)
        if call.layer == self.layers[-1]:
            raise Enough
