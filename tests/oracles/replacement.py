"""What replacement does, slow and obvious: one text, one head, one token at a time, float64."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def layer_output(
    rows: Sequence[Array], values: Sequence[Array], projection: Array, bias: Array | None = None
) -> Array:
    """`concat_h(rows_h @ values_h) @ W^T + b`: head by head, query by query, key by key.

    Args:
        rows: each head's attention, `(T, T)`.
        values: each head's values, `(T, D)`.
        projection: the weight of the output projection, `(E, H * D)`.
        bias: its bias, `(E,)`.
    """
    length, heads, width = len(rows[0]), len(rows), values[0].shape[1]
    mixed = np.zeros((length, heads * width))
    for h in range(heads):
        for i in range(length):
            for j in range(length):
                for d in range(width):
                    mixed[i, h * width + d] += rows[h][i, j] * values[h][j, d]
    result = np.zeros((length, len(projection)))
    for i in range(length):
        for e in range(len(projection)):
            result[i, e] = sum(mixed[i, c] * projection[e, c] for c in range(heads * width))
            if bias is not None:
                result[i, e] += bias[e]
    return result


def log_probabilities(logits: Array) -> Array:
    """The logarithm of the softmax of one row."""
    highest = max(logits)
    total = math.log(sum(math.exp(x - highest) for x in logits)) + highest
    return np.array([x - total for x in logits])


def loss(logits: Array, ids: Sequence[int]) -> list[float]:
    """How unlikely each token but the first is, given those before it, in nats."""
    return [-log_probabilities(logits[k])[ids[k + 1]] for k in range(len(ids) - 1)]


def divergence(before: Array, after: Array) -> float:
    """`sum_v p_v log(p_v / q_v)` of one row of logits against another."""
    p, q = log_probabilities(before), log_probabilities(after)
    return sum(math.exp(p[v]) * (p[v] - q[v]) for v in range(len(p)))


def cosine(one: Array, other: Array) -> float:
    """The cosine of two vectors."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / math.sqrt(sum(a * a for a in one)) / math.sqrt(sum(b * b for b in other))


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Pearson's correlation of the ranks, equal values sharing the mean rank."""

    def ranks(values: Sequence[float]) -> list[float]:
        return [
            sum(other < value for other in values) + (sum(o == value for o in values) - 1) / 2
            for value in values
        ]

    a, b = ranks(one), ranks(other)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    covariance = sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b, strict=True))
    spread = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    return covariance / spread
