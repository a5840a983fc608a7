"""Formulas fitted slowly: loops over rows in float64, straight from the definitions."""

import math

import numpy as np


def softmax_rows(features: list[np.ndarray], weights: np.ndarray) -> list[np.ndarray]:
    """Predicted rows; `features[i]` is `(keys of row i, terms)`."""
    rows = []
    for x in features:
        value = np.exp(x @ weights - max(x @ weights))
        rows.append(value / value.sum())
    return rows


def objective(
    features: list[np.ndarray],
    real: list[np.ndarray],
    weights: np.ndarray,
    kind: str,
    smoothing: float = 1e-3,
) -> float:
    """Mean over rows of the cross-entropy, or of the smooth half sum of absolute differences."""
    total = 0.0
    for p, a in zip(softmax_rows(features, weights), real, strict=True):
        for predicted, attended in zip(p, a, strict=True):
            if kind == "cross_entropy":
                total -= attended * math.log(predicted + 1e-12)
            else:
                total += math.sqrt((predicted - attended) ** 2 + smoothing**2) / 2
    return total / len(real)


def numeric_gradient(
    features: list[np.ndarray],
    real: list[np.ndarray],
    weights: np.ndarray,
    kind: str,
    step: float = 1e-5,
) -> np.ndarray:
    """Central differences of `objective`."""
    gradient = np.zeros(len(weights))
    for k in range(len(weights)):
        up, down = weights.copy(), weights.copy()
        up[k] += step
        down[k] -= step
        difference = objective(features, real, up, kind) - objective(features, real, down, kind)
        gradient[k] = difference / (2 * step)
    return gradient


def hessian(features: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    """The cross-entropy's Hessian, `sum_i X_i' (diag p_i - p_i p_i') X_i / R`."""
    total = np.zeros((len(weights), len(weights)))
    for x, p in zip(features, softmax_rows(features, weights), strict=True):
        total += x.T @ (np.diag(p) - np.outer(p, p)) @ x
    return total / len(features)


def score_statistic(
    features: list[np.ndarray], real: list[np.ndarray], weights: np.ndarray, candidate: int
) -> float:
    """The score test of one feature given the others, all columns of `features` but it."""
    others = [k for k in range(features[0].shape[1]) if k != candidate]
    full = np.zeros(features[0].shape[1])
    full[others] = weights
    curvature = hessian(features, full)
    gradient = 0.0
    for x, p, a in zip(features, softmax_rows(features, full), real, strict=True):
        gradient += float(x[:, candidate] @ (p - a)) / len(features)
    cross = curvature[candidate, others]
    explained = cross @ np.linalg.solve(curvature[np.ix_(others, others)], cross) if others else 0.0
    return gradient**2 / 2 / float(curvature[candidate, candidate] - explained)


def sandwich(
    features: list[np.ndarray], real: list[np.ndarray], weights: np.ndarray, group: np.ndarray
) -> np.ndarray:
    """The covariance of cross-entropy weights, clustered by group."""
    bread = np.linalg.inv(hessian(features, weights))
    sums: dict[int, np.ndarray] = {}
    for x, p, a, g in zip(features, softmax_rows(features, weights), real, group, strict=True):
        sums[int(g)] = sums.get(int(g), np.zeros(len(weights))) + x.T @ (p - a)
    count = len(sums)
    meat = np.zeros((len(weights), len(weights)))
    for one in sums.values():
        meat += np.outer(one, one)
    meat *= count / (count - 1) / len(features) ** 2
    return bread @ meat @ bread


def benjamini_yekutieli(p: list[float], rate: float) -> list[bool]:
    """Reject the `k` smallest p-values, `k` the largest with `p_(k) <= k rate / (m sum 1/i)`."""
    m = len(p)
    factor = sum(1 / i for i in range(1, m + 1))
    ordered = sorted(range(m), key=lambda i: (p[i], i))
    last = 0
    for rank, i in enumerate(ordered, 1):
        if p[i] <= rank * rate / (m * factor):
            last = rank
    rejected = [False] * m
    for i in ordered[:last]:
        rejected[i] = True
    return rejected


def slow_mixture(components: np.ndarray, real: np.ndarray, steps: int = 3000) -> np.ndarray:
    """Weights of the components of one head by plain expectation maximisation, cell by cell."""
    weights = np.full(components.shape[1], 1 / components.shape[1])
    for _ in range(steps):
        share = components * weights
        share /= share.sum(axis=1, keepdims=True)
        weights = real @ share / real.sum()
    return weights
