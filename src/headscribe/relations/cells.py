"""The related pairs of a passage."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Cells:
    """The related visible pairs of a passage, sorted by query, then by key; shape `(n,)` each.

    Attributes:
        value: the value of the relation, 1 for a condition; never 0, always finite.
    """

    query: Int[np.ndarray, " n"]
    key: Int[np.ndarray, " n"]
    value: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.query)
