"""Which keys a query of a layer can see."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from headscribe.core.arrays import PairFlags, TokenIndex


@dataclass(frozen=True, slots=True)
class Visibility:
    """The keys that a layer's mask admits.

    Query `i` sees key `j` iff `first(i) <= j <= last(i)`: all keys in an encoder; `j <= i` if
    `causal`; `|i - j| < window` besides where the layer has a sliding window.

    Attributes:
        causal: keys after the query are hidden.
        window: number of keys that a causal query sees, itself included (in an encoder: the
            largest distance plus one, both ways); `None`: no limit.
    """

    causal: bool = False
    window: int | None = None

    def first(self, length: int) -> TokenIndex:
        """The first key that each of `length` queries sees, shape `(T,)`."""
        index = np.arange(length)
        return (
            np.zeros(length, int) if self.window is None else np.maximum(index - self.window + 1, 0)
        )

    def last(self, length: int) -> TokenIndex:
        """The last key that each of `length` queries sees, shape `(T,)`."""
        index = np.arange(length)
        if self.causal:
            return index
        end = np.full(length, length - 1)
        return end if self.window is None else np.minimum(index + self.window - 1, end)

    def admits(
        self, query: Int[np.ndarray, "..."], key: Int[np.ndarray, "..."], length: int
    ) -> Bool[np.ndarray, "..."]:
        """Whether each pair of `query` and `key` (which broadcast) is visible."""
        visible = (key >= self.first(length)[query]) & (key <= self.last(length)[query])
        return np.asarray(visible)

    def dense(self, length: int) -> PairFlags:
        """The mask as a matrix, shape `(T, T)`; true where the key is visible."""
        index = np.arange(length)
        return self.admits(index[:, None], index[None, :], length)


FULL = Visibility()
"""Every token sees every token: an encoder without windows."""

CAUSAL = Visibility(causal=True)
"""Every token sees itself and what came before."""
