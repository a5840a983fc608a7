"""The weights of a formula: a multinomial logit fitted to a head's attention.

A formula with features `x_k` predicts the row `p_j = exp(w . x_j) / sum_i exp(w . x_i)` over the
visible keys. Cross-entropy to the head's row `a`,

    - sum_j a_j log p_j + ridge * |w|^2,

is convex in `w` and solved by Newton's method. The overlap of a pattern with a head is one minus
half of `sum_j |p_j - a_j|`, which has another optimum; from the cross-entropy's weights the smooth

    1/2 sum_j sqrt((p_j - a_j)^2 + s^2) + ridge * |w|^2,          s = 0.001

is lowered further by iteratively reweighted Gauss-Newton steps, where each step solves a weighted
least-squares problem in the rows' Jacobian `p_j (x_j - sum_i p_i x_i)`. Steps that do not lower the
objective are damped (Levenberg-Marquardt), so both descend always.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Objective = Literal["cross_entropy", "overlap"]
"""What weights are fitted to."""

SMOOTHING = 1e-3
"""Differences of attention well below this do not count in the smooth overlap."""

_TINY = 1e-12
_ATTEMPTS = 6


@dataclass(frozen=True)
class Rows:
    """The visible cells of a number of rows, laid end to end.

    Attributes:
        lengths: visible keys of each row, shape `(R,)`.
        row: the row of each cell, ascending, shape `(N,)`.
    """

    lengths: Int[Tensor, " R"]
    row: Int[Tensor, " N"]

    @classmethod
    def of(cls, lengths: Int[np.ndarray, " R"], device: torch.device) -> "Rows":
        """Lay out rows of the given lengths."""
        counts = torch.as_tensor(np.asarray(lengths, np.int64), device=device)
        index = torch.arange(len(lengths), device=device)
        return cls(counts, torch.repeat_interleave(index, counts))

    def sums(self, values: Float[Tensor, "N *any"]) -> Float[Tensor, "R *any"]:
        """Add the cells of every row, always in the same order."""
        if not values.numel():
            return values.new_zeros((len(self.lengths), *values.shape[1:]))
        total: Tensor = torch.segment_reduce(values, "sum", lengths=self.lengths, unsafe=True)
        return total

    def softmax(self, logits: Float[Tensor, "N *any"]) -> Float[Tensor, "N *any"]:
        """Normalise `exp(logits)` within each row."""
        top = torch.segment_reduce(logits, "max", lengths=self.lengths, unsafe=True)
        value = torch.exp(logits - top.index_select(0, self.row))
        return value / self.sums(value).index_select(0, self.row)

    def centred(
        self, features: Float[Tensor, "N k"], predicted: Float[Tensor, " N"]
    ) -> Float[Tensor, "N k"]:
        """Subtract from every feature its mean over the row under `predicted`."""
        mean = self.sums(predicted[:, None] * features)
        return features - mean.index_select(0, self.row)


@dataclass(frozen=True)
class Fit:
    """Fitted weights.

    Attributes:
        weights: one a feature, in the features' own units, float64, shape `(k,)`.
        predicted: the rows that they predict, shape `(N,)`.
        objective: the objective at these weights, ridge included, a mean over rows.
    """

    weights: Float[Tensor, " k"]
    predicted: Float[Tensor, " N"]
    objective: float


def variances(features: Float[Tensor, "N k"]) -> Float[Tensor, " k"]:
    """The variance of each feature over the cells, float64, at least 1e-12."""
    ones = features.new_ones(len(features))
    mean = (features.T @ ones).double() / len(features)
    square = ((features * features).T @ ones).double() / len(features)
    return (square - mean**2).clamp_min(1e-12)


def loss(
    rows: Rows, predicted: Float[Tensor, " N"], real: Float[Tensor, " N"], objective: Objective
) -> float:
    """The objective without its ridge, a mean over rows."""
    if objective == "cross_entropy":
        total = -(real * torch.log(predicted + _TINY)).sum()
    else:
        total = torch.sqrt((predicted - real) ** 2 + SMOOTHING**2).sum() / 2
    return float(total) / len(rows.lengths)


def gradient_and_curvature(
    rows: Rows,
    features: Float[Tensor, "N k"],
    predicted: Float[Tensor, " N"],
    real: Float[Tensor, " N"],
    objective: Objective,
) -> tuple[Float[Tensor, " k"], Float[Tensor, "k k"]]:
    """The gradient of `loss` in the weights, and its Hessian or Gauss-Newton matrix, float64."""
    difference = predicted - real
    if objective == "cross_entropy":
        weighted = predicted[:, None] * features
        mean = rows.sums(weighted)
        gradient, curvature = features.T @ difference, weighted.T @ features - mean.T @ mean
    else:
        jacobian = predicted[:, None] * rows.centred(features, predicted)
        inverse = 0.5 / torch.sqrt(difference**2 + SMOOTHING**2)
        gradient = jacobian.T @ (difference * inverse)
        curvature = jacobian.T @ (jacobian * inverse[:, None])
    count = len(rows.lengths)
    return gradient.double() / count, curvature.double() / count


def hessian(
    rows: Rows,
    features: Float[Tensor, "N k"],
    predicted: Float[Tensor, " N"],
    real: Float[Tensor, " N"],
    objective: Objective,
) -> Float[Tensor, "k k"]:
    """The exact Hessian of `loss` in the weights, float64.

    For the overlap, with `f` the smooth half difference, `p'` the rows' Jacobian and
    `u = p (f' - sum p f')`: `p'^T diag(f'') p' + sum_rows X^T (diag u - u p^T - p u^T) X`.
    """
    if objective == "cross_entropy":
        return gradient_and_curvature(rows, features, predicted, real, objective)[1]
    difference = predicted - real
    size = torch.sqrt(difference**2 + SMOOTHING**2)
    jacobian = predicted[:, None] * rows.centred(features, predicted)
    bend = jacobian.T @ (jacobian * (SMOOTHING**2 / size**3 / 2)[:, None])
    pull = difference / size / 2
    moved = predicted * (pull - rows.sums(predicted * pull).index_select(0, rows.row))
    first, mean = rows.sums(moved[:, None] * features), rows.sums(predicted[:, None] * features)
    cross = first.T @ mean
    total = bend + features.T @ (moved[:, None] * features) - cross - cross.T
    return total.double() / len(rows.lengths)


def row_gradients(
    rows: Rows,
    features: Float[Tensor, "N k"],
    predicted: Float[Tensor, " N"],
    real: Float[Tensor, " N"],
    objective: Objective,
) -> Float[Tensor, "R k"]:
    """The gradient of each row's part of the objective; their mean is the gradient of `loss`."""
    difference = predicted - real
    if objective == "cross_entropy":
        return rows.sums(difference[:, None] * features)
    jacobian = predicted[:, None] * rows.centred(features, predicted)
    pull = difference / torch.sqrt(difference**2 + SMOOTHING**2) / 2
    return rows.sums(jacobian * pull[:, None])


def damped_newton(
    weights: Float[Tensor, " k"],
    at: Callable[[Tensor], tuple[Tensor, float]],
    slope: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    steps: int,
    tolerance: float,
    *,
    damping: float,
) -> tuple[Float[Tensor, " k"], Tensor, float]:
    """Lower an objective by Newton steps, each damped until it does.

    Args:
        weights: where to begin.
        at: what the weights predict, and the objective there.
        slope: gradient and curvature, of the weights and what they predict.
        steps: at most so many.
        tolerance: stop when a step lowers the objective by less.
        damping: the share of the curvature's diagonal that is added at first.

    Returns:
        The weights, what they predict, and the objective.
    """
    predicted, value = at(weights)
    for _ in range(steps):
        gradient, curvature = slope(weights, predicted)
        gained = 0.0
        for _ in range(_ATTEMPTS):
            damped = curvature + damping * torch.diag(torch.diagonal(curvature))
            trial = weights - torch.linalg.solve(damped, gradient)
            tried, tried_value = at(trial)
            if tried_value < value:
                gained = value - tried_value
                weights, predicted, value = trial, tried, tried_value
                damping = max(damping / 10, 1e-8)
                break
            damping = max(damping * 100, 1e-3)
        if gained < tolerance:
            break
    return weights, predicted, value


def fit_weights(
    rows: Rows,
    features: Float[Tensor, "N k"],
    real: Float[Tensor, " N"],
    objective: Objective,
    *,
    start: Float[Tensor, " k"] | None = None,
    ridge: float = 1e-4,
    steps: int = 30,
    tolerance: float = 1e-6,
) -> Fit:
    """Fit the weights of a formula to one head.

    Args:
        features: the value of every relation at every cell.
        start: weights to begin with; 0 by default.
        ridge: penalty on the squared weights, measured in standard deviations of the features.
        steps, tolerance: as in `damped_newton`.
    """
    scale = torch.sqrt(variances(features)).to(features.dtype)
    scaled = features / scale
    size = features.shape[1]
    zero = torch.zeros(size, dtype=torch.float64, device=features.device)
    weights = zero if start is None else start.double() * scale.double()
    penalty = 2 * ridge * torch.eye(size, dtype=torch.float64, device=features.device)

    def at(w: Float[Tensor, " k"]) -> tuple[Tensor, float]:
        predicted = rows.softmax(scaled @ w.to(scaled.dtype))
        return predicted, loss(rows, predicted, real, objective) + ridge * float(w @ w)

    def slope(w: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        gradient, curvature = gradient_and_curvature(rows, scaled, predicted, real, objective)
        return gradient + 2 * ridge * w, curvature + penalty

    weights, predicted, value = damped_newton(weights, at, slope, steps, tolerance, damping=1e-8)
    return Fit(weights / scale.double(), predicted, value)


@dataclass(frozen=True)
class Removal:
    """What it does to drop each of some terms, the others adapted.

    Attributes:
        costs: what the objective loses, `w_k^2 / (2 [H^-1]_kk)`, shape `(k,)`.
        weights: the weights without each term, `w - w_k [H^-1]_k / [H^-1]_kk`, a column each.
    """

    costs: Float[Tensor, " k"]
    weights: Float[Tensor, "k k"]


def removal(
    curvature: Float[Tensor, "k k"], weights: Float[Tensor, " k"], ridge: float = 0.0
) -> Removal:
    """The optimal-brain-surgeon criterion (Hassibi and Stork, NeurIPS 1992), for every term.

    >>> found = removal(torch.tensor([[2.0, 0.0], [0.0, 8.0]]), torch.tensor([3.0, 1.0]))
    >>> found.costs.round().tolist()
    [9.0, 4.0]

    Args:
        curvature: `H`, of the objective at its optimum.
        ridge: a share of the diagonal that is added, where `H` may be nearly singular.
    """
    # Scaled to a unit diagonal: terms of very different size would spoil the inverse.
    scale = torch.sqrt(torch.diagonal(curvature).clamp_min(1e-30))
    scaled = curvature / scale[:, None] / scale[None, :]
    if ridge:
        scaled = scaled + ridge * torch.eye(len(scale), dtype=scaled.dtype, device=scaled.device)
    inverse = torch.linalg.inv(scaled)
    own = torch.diagonal(inverse)
    moved = inverse / own * (weights * scale)
    without = weights[:, None] - moved / scale[:, None]
    return Removal((weights * scale) ** 2 / own / 2, without.fill_diagonal_(0.0))


def removals(
    rows: Rows,
    features: Float[Tensor, "N k"],
    fit: Fit,
    real: Float[Tensor, " N"],
    objective: Objective,
    ridge: float = 1e-4,
) -> Removal:
    """What it does to drop each term of a fitted formula, see `removal`."""
    _, curvature = gradient_and_curvature(rows, features, fit.predicted, real, objective)
    return removal(curvature + 2 * ridge * torch.diag(variances(features)), fit.weights)
