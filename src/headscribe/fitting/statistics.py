"""Statistics of fits: sandwich intervals, paired one-sided tests, false-discovery control."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import stats
from torch import Tensor

from headscribe.fitting.solver import (
    Objective,
    Rows,
    hessian,
    row_gradients,
    variances,
)
from headscribe.scoring.statistics import CONFIDENCE, ratio


def number_groups(groups: Sequence[str]) -> Int[np.ndarray, " texts"]:
    """Number the groups of texts, in order of first appearance."""
    index: dict[str, int] = {}
    return np.array([index.setdefault(group, len(index)) for group in groups])


def mean_interval(
    values: Float[np.ndarray, "texts *any"], group: Int[np.ndarray, " texts"]
) -> tuple[Any, Any, Any]:
    """Mean over texts with its 95 % interval clustered by group; NaN values do not count.

    Each of shape `(*any)`; a number where there is nothing but texts.
    """
    known = ~np.isnan(values)
    groups = int(group.max()) + 1
    shape = (groups, *values.shape[1:])
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, group, np.where(known, values, 0))
    np.add.at(count, group, known)
    return ratio(total, count)


def one_sided(
    gains: Float[np.ndarray, "texts *any"], group: Int[np.ndarray, " texts"], threshold: float
) -> Any:  # noqa: ANN401  (an array, or a number where there is nothing but texts)
    """P-values of "the mean gain is at most `threshold`", by Student's t clustered by group.

    A gain that is the same in every group has the p-value 0 above the threshold, else 1.
    """
    mean, low, _ = mean_interval(gains, group)
    groups = np.zeros((int(group.max()) + 1, *gains.shape[1:]), bool)
    np.logical_or.at(groups, group, ~np.isnan(gains))
    freedom = np.maximum(groups.sum(axis=0) - 1, 1)
    error = (mean - low) / stats.t.ppf(0.5 + CONFIDENCE / 2, freedom)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = stats.t.sf((mean - threshold) / error, freedom)
    degenerate = np.where(mean > threshold, 0.0, 1.0)
    value = np.where(error > 0, value, degenerate)
    return np.where(np.isfinite(mean) & np.isfinite(error), value, 1.0)


def benjamini_yekutieli(
    p: Float[np.ndarray, "*any"], rate: float = 0.05
) -> Bool[np.ndarray, "*any"]:
    """Which hypotheses to reject so that the false-discovery rate is at most `rate`.

    Valid under any dependence: with `c = sum_{i<=m} 1/i` reject the `k` smallest, `k` the largest
    with `p_(k) <= k rate / (m c)` (Benjamini and Yekutieli, Annals of Statistics 29, 2001).
    """
    flat = np.asarray(p, np.float64).ravel()
    passed: Bool[np.ndarray, "*any"] = stats.false_discovery_control(flat, method="by") <= rate
    return passed.reshape(np.shape(p))


def sandwich(
    rows: Rows,
    features: Float[Tensor, "N k"],
    weights: Float[Tensor, " k"],
    real: Float[Tensor, " N"],
    group: Int[np.ndarray, " R"],
    objective: Objective,
    ridge: float = 0.0,
) -> Float[np.ndarray, "k k"] | None:
    """The covariance of fitted weights, clustered by group: `H^-1 (sum_g s_g s_g') H^-1`.

    `s_g` is the gradient of the rows of group `g` at the fitted weights, `H` the Hessian of the
    objective, times `G / (G - 1)` for `G` groups (Liang and Zeger, Biometrika 73, 1986). It says
    how much the weights would vary on other texts of the same kind; it does
    not know that the terms were chosen.

    Returns:
        The covariance, float64; None where the Hessian is not positive definite, or there is no
        weight or only one group.
    """
    if not len(weights):
        return None
    count = len(rows.lengths)
    spread = variances(features)
    penalty = 2 * ridge * torch.diag(spread)

    predicted = rows.softmax(features @ weights.to(features.dtype))
    bread = hessian(rows, features, predicted, real, objective)
    bread = (bread + bread.T) / 2 + penalty
    scores = row_gradients(rows, features, predicted, real, objective).double().cpu().numpy()
    groups = np.unique(group, return_inverse=True)[1]
    size = int(groups.max()) + 1
    total = np.zeros((size, len(weights)))
    np.add.at(total, groups, scores)
    total += (penalty @ weights).cpu().numpy() * count / size
    scale = np.sqrt(np.clip(np.diag(bread.cpu().numpy()), 0, None))
    if size < 2 or (scale <= 0).any():
        return None
    scaled = bread.cpu().numpy() / np.outer(scale, scale)
    values, vectors = np.linalg.eigh(scaled)
    if values[0] < 1e-8:
        return None
    inverse = (vectors / values) @ vectors.T / np.outer(scale, scale)
    middle = total.T @ total * size / (size - 1) / count**2
    covariance: Float[np.ndarray, "k k"] = inverse @ middle @ inverse
    return covariance


def weight_intervals(
    weights: Float[np.ndarray, " k"], covariance: Float[np.ndarray, "k k"] | None, groups: int
) -> Float[np.ndarray, "k 2"]:
    """95 % intervals, Student's t with one degree of freedom less than groups; NaN for none."""
    if covariance is None:
        return np.full((len(weights), 2), np.nan)
    width = stats.t.ppf(0.5 + CONFIDENCE / 2, groups - 1) * np.sqrt(np.diag(covariance))
    return np.stack([weights - width, weights + width], axis=1)
