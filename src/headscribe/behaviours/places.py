"""Places: heads that are named by where they look, whatever stands there.

A share of all attention of the content rows, `c` among them: the previous token, the next, itself,
each kind of sink, all sinks, the four tokens around, and evenly over the content. Each is named
where the lower end of its interval is above its bound on the first half of the groups, and again on
the second.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.scoring.statistics import ratio


@dataclass(frozen=True)
class Place:
    """A place that a head may be named by.

    Attributes:
        name: of at most five words; `bound`: the least share of attention.
        sentence: what the head does, to stand after "it".
    """

    name: str
    bound: float
    sentence: str


PLACES = (
    Place("the previous token", 0.3, "looks at the previous token"),
    Place("the next token", 0.3, "looks at the next token"),
    Place("itself", 0.3, "looks at the token itself"),
    Place("rests on the opening token", 0.3, "rests on the token that opens the text"),
    Place("rests on closing tokens", 0.3, "rests on the special tokens that end a text"),
    Place("rests on special tokens", 0.4, "rests on tokens without content"),
    Place("looks nearby", 0.5, "looks at the four tokens around"),
    Place("spreads evenly", 0.5, "spreads its attention evenly over the text"),
)
"""Narrowest first: of two that hold, the earlier one is the name."""

OPENING, CLOSING, SINKS = 3, 4, 5


@dataclass(frozen=True)
class Placed:
    """Shares of attention by place and head, on both halves, with their lower ends, `(2, P, H)`."""

    share: Float[np.ndarray, "2 P H"]
    low: Float[np.ndarray, "2 P H"]
    high: Float[np.ndarray, "2 P H"]

    @property
    def holds(self) -> Bool[np.ndarray, "P H"]:
        """Places whose lower end is above the bound on both halves."""
        bound = np.array([place.bound for place in PLACES])
        return np.asarray((self.low > bound[:, None]).all(0))


def placed(
    total: Float[np.ndarray, "G P H"], count: Float[np.ndarray, " G"], half: Int[np.ndarray, " G"]
) -> Placed:
    """Means over rows with 95 % intervals clustered by group."""
    parts = []
    for which in (0, 1):
        chosen = half == which
        counts = np.broadcast_to(count[chosen][:, None, None], total[chosen].shape)
        parts.append(ratio(total[chosen], counts))
    share, low, high = (np.stack([part[i] for part in parts]) for i in range(3))
    return Placed(share, low, high)
