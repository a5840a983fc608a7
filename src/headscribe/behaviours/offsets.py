"""The places that a head's own profile knows: how far a key lies, and the ends of the content."""

import numpy as np
from jaxtyping import Int

from headscribe.core.arrays import TokenFlags
from headscribe.core.visibility import Visibility
from headscribe.scoring.profile import EXACT_OFFSETS, offset_steps

NEAR = EXACT_OFFSETS
"""Offsets up to this many tokens have a class of their own, farther ones doubling ranges."""

RANGES = 8
"""Doubling ranges to either side: (8, 16], (16, 32], ..., the last one without an end."""

FIRST, SIDE = 0, NEAR + RANGES + 1
LAST = 2 * SIDE
CLASSES = LAST + 1
"""The first content token, keys before, the token itself (`SIDE`), keys after, the last one."""


def classes_of(visibility: Visibility) -> int:
    """How many of the classes a layer can meet: in a causal one those up to the token itself."""
    return SIDE + 1 if visibility.causal else CLASSES


def nearest(visibility: Visibility) -> Int[np.ndarray, " n"]:
    """The classes of the four tokens before and, where they are seen, after."""
    return np.array([SIDE + away for away in range(-4, 1 if visibility.causal else 5) if away])


def place_classes(queries: Int[np.ndarray, " R"], content: TokenFlags) -> Int[np.ndarray, "R T"]:
    """The class of every key as a query sees it, -1 for sinks.

    Args:
        queries: the rows, shape `(R,)`.
        content: keys that are no sinks, shape `(T,)`.

    Returns:
        0 to `CLASSES - 1`: the offset's class; the first and the last content token have one of
        their own unless they are within `NEAR`, where the offset says more.
    """
    keys = np.arange(len(content))
    offset = keys[None, :] - queries[:, None]
    place = offset_steps(offset, RANGES) + SIDE
    inner = np.flatnonzero(content)
    if len(inner):
        distant = np.abs(offset) > NEAR
        for end, name in ((inner[0], FIRST), (inner[-1], LAST)):
            place[distant[:, end], end] = name
    place[:, ~content] = -1
    return place
