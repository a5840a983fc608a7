"""Attention, slow and obvious: one query, one key at a time, float64."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Admits = Callable[[int, int], bool]
"""Whether query `i` may see key `j`."""


def attention(
    query: Array,
    key: Array,
    scaling: float,
    admits: Admits,
    softcap: float | None = None,
    bias: Array | None = None,
    sink: float | None = None,
) -> Array:
    """One head's probabilities, shape `(T, T)`, of its queries and keys, each `(T, D)`.

    Score = scaling * q.k, squashed to softcap * tanh(score / softcap), plus the bias of the pair;
    then the softmax over admitted keys, of which the sink is one more that gets no column.
    """
    length = len(query)
    result = np.zeros((length, length))
    for i in range(length):
        scores: dict[int, float] = {}
        for j in range(length):
            if not admits(i, j):
                continue
            score = scaling * sum(
                float(a) * float(b) for a, b in zip(query[i], key[j], strict=True)
            )
            if softcap is not None:
                score = softcap * math.tanh(score / softcap)
            if bias is not None:
                score += float(bias[i, j])
            scores[j] = score
        highest = max([*scores.values(), *([] if sink is None else [sink])])
        total = sum(math.exp(score - highest) for score in scores.values())
        if sink is not None:
            total += math.exp(sink - highest)
        for j, score in scores.items():
            result[i, j] = math.exp(score - highest) / total
    return result


def causal(window: int | None = None) -> Admits:
    """Itself and what came before, at most `window` keys."""
    return lambda i, j: j <= i and (window is None or i - j < window)


def both_ways(window: int | None = None) -> Admits:
    """All keys, or those at a distance below `window`."""
    return lambda i, j: window is None or abs(i - j) < window


def relative_bucket(distance: int, buckets: int, furthest: int, both: bool) -> int:
    """T5's bucket of `key - query`: exact when near, logarithmic when far (Raffel et al. 2020)."""
    bucket = 0
    if both:
        buckets //= 2
        if distance > 0:
            bucket += buckets
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    exact = buckets // 2
    if distance < exact:
        return bucket + distance
    far = exact + int(math.log(distance / exact) / math.log(furthest / exact) * (buckets - exact))
    return bucket + min(far, buckets - 1)
