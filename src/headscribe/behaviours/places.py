"""Places: heads that are named by where they look, whatever stands there.

A share of all attention of the content rows, `c` among them: the previous token and the next (where
they have content), itself, each kind of sink, all sinks, the four tokens around, and evenly over
the content. Each is named where the lower end of its interval is above its bound on the first half
of the groups, and again on the second, and that of its excess over even rows above `EXCESS`: in
texts of a few tokens even rows have half of their attention nearby.
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
        relation: the same, as a relation.
    """

    name: str
    bound: float
    sentence: str
    relation: str


RESTING = "opening and special tokens"
"""What `sinks_of` calls sinks, in words that are true of every model."""

MOSTLY = {
    "rests on the opening token": "the token that opens the text",
    "rests on closing tokens": "the special tokens that end a text",
}
"""What a head rests on whose attention on sinks is on one kind of them, by the place's name."""

PLACES = (
    Place("the previous token", 0.3, "looks at the previous token", "distance == -1"),
    Place("the next token", 0.3, "looks at the next token", "distance == 1"),
    Place("itself", 0.3, "looks at the token itself", "distance == 0"),
    Place(
        "rests on the opening token", 0.3, "rests on the token that opens the text",
        "key.index == 0",
    ),
    Place(
        "rests on closing tokens", 0.3, "rests on the special tokens that end a text",
        "key.is_special and key.index > 0",
    ),
    Place(
        "rests on special tokens", 0.4, f"rests on {RESTING}", "key.is_special or key.index == 0"
    ),
    Place("looks nearby", 0.5, "looks at the four tokens around", "abs(distance) <= 2"),
    Place(
        "spreads evenly", 0.5, "spreads over the text as an even row would", "key.index >= 0"
    ),
)  # fmt: skip
"""Narrowest first: of two that hold, the earlier one is the name."""

EXCESS = 0.1
"""The least share beyond what even rows have there."""

MOST = 2 / 3
"""What one kind of sink must have of the attention on all, to be named alone."""

OPENING, CLOSING, SINKS, EVENLY = 3, 4, 5, 7


@dataclass(frozen=True)
class Placed:
    """Shares of attention by place and head, on both halves, with their ends, `(2, P, H)`.

    Attributes:
        beyond: the lower end of the share minus that of even rows.
    """

    share: Float[np.ndarray, "2 P H"]
    low: Float[np.ndarray, "2 P H"]
    high: Float[np.ndarray, "2 P H"]
    beyond: Float[np.ndarray, "2 P H"]

    @property
    def holds(self) -> Bool[np.ndarray, "P H"]:
        """Places that pass both bounds on both halves; a kind of sink only where others are few."""
        bound = np.array([place.bound for place in PLACES])[:, None]
        passed = (self.low > bound) & (self.beyond > EXCESS)
        kinds = slice(OPENING, CLOSING + 1)
        passed[:, kinds] &= self.share[:, kinds] > MOST * self.share[:, SINKS : SINKS + 1]
        return np.asarray(passed.all(0))


def placed(
    total: Float[np.ndarray, "G P H"],
    even: Float[np.ndarray, "G P"],
    count: Float[np.ndarray, " G"],
    half: Int[np.ndarray, " G"],
) -> Placed:
    """Means over rows with 95 % intervals clustered by group."""
    parts = []
    for which in (0, 1):
        chosen = half == which
        counts = np.broadcast_to(count[chosen][:, None, None], total[chosen].shape)
        beyond = ratio(total[chosen] - even[chosen][:, :, None], counts)
        parts.append((*ratio(total[chosen], counts), beyond[1]))
    return Placed(*(np.stack(part) for part in zip(*parts, strict=True)))
