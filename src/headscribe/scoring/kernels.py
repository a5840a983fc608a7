"""Metrics of every (pattern, text, row) for all heads of a layer at once, from the support alone.

The formulas stand in `headscribe.core.metrics`. Rows are computed in float32: the mass outside the
support, `P - s`, cancels where a pattern is nearly right, which costs at most 1e-6 on the square of
the Jensen-Shannon distance; sums over rows and texts are taken in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.scoring.plan import ViewPlan

_TINY = torch.finfo(torch.float32).tiny


@dataclass(frozen=True)
class RealRows:
    """What the metrics need of the real rows as wholes, in one view.

    Attributes:
        mass: sum of each row over the keys that count, shape `(H, B, T)`: the `P` of the raw view,
            the content mass of the content view.
        peak: the largest probability among those keys, `(H, B, T)`.
        weight: what the row counts for, `(H, B, T)`, float64: 1 in the raw view, its content mass
            in the content view; 0 for rows that do not count.
    """

    mass: Float[Tensor, "H B T"]
    peak: Float[Tensor, "H B T"]
    weight: Float[Tensor, "H B T"]


@dataclass(frozen=True)
class RowScores:
    """Row metrics, each of shape `(H, P, B, T)`; 0 where the pattern does not cover the row.

    `row_sum` has shape `(H, B, T)`: what the real row sums to, 1 after renormalisation.
    """

    overlap: Float[Tensor, "H P B T"]
    jsd: Float[Tensor, "H P B T"]
    mass: Float[Tensor, "H P B T"]
    hit: Float[Tensor, "H P B T"]
    row_sum: Float[Tensor, "H B T"]


def real_rows(heads: Float[Tensor, "H B T T"], plan: ViewPlan) -> RealRows:
    """Sum, peak and weight of every real row.

    Args:
        heads: the attention, head by head.
        plan: says which keys count.
    """
    counts = plan.key_counts
    if plan.view == "content":
        heads = heads.masked_fill(~counts[None, :, None, :], 0.0)
    mass = heads.sum(-1)
    weight = (mass if plan.view == "content" else torch.ones_like(mass)) * counts
    return RealRows(mass, heads.amax(-1), weight.to(torch.float64))


def plogp(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """`x log2 x`, 0 at 0."""
    return values * values.clamp_min(_TINY).log2()


def score_rows(heads: Float[Tensor, "H B T T"], plan: ViewPlan, real: RealRows) -> RowScores:
    """Overlap, Jensen-Shannon distance, mass and hit of every row that a pattern covers.

    With `x log2 x` written as `h(x)`, the distance is
    `JSD^2 = 1/2 [P - s + sum_S (h(p) + h(q) - h(p + q) + p + q)]`.
    """
    number = len(heads)
    shape = (number, *plan.covered.shape)
    p = heads.reshape(number, -1).index_select(1, plan.cell)
    hits = (p >= real.peak.reshape(number, -1).index_select(1, plan.query)).to(p.dtype)
    row_sum = real.mass
    if plan.view == "content":
        # Rows without any content mass weigh nothing; dividing by 1 keeps them finite.
        scale = torch.where(real.mass > 0, real.mass, 1.0)
        p = p / scale.reshape(number, -1).index_select(1, plan.query)
        row_sum = real.mass / scale
    q = plan.weight
    both = p + q
    spread = plogp(p) + plan.weight_plogp - plogp(both) + both

    def by_row(values: Tensor) -> Tensor:
        sums = values.new_zeros((number, plan.covered.numel()))
        return sums.index_add_(1, plan.row, values).reshape(shape)

    mass = by_row(p)
    outside = (row_sum[:, None] - mass) * plan.covered
    jsd = (0.5 * (outside + by_row(spread))).clamp_(0.0, 1.0).sqrt_()
    return RowScores(by_row(torch.minimum(p, q)), jsd, mass, by_row(hits).clamp_(max=1.0), row_sum)


def score_dense_rows(
    real: Float[Tensor, "H R T"], predicted: Float[Tensor, "H R T"]
) -> tuple[Float[Tensor, "H R"], Float[Tensor, "H R"]]:
    """Overlap and Jensen-Shannon distance of whole rows."""
    both = real + predicted
    square = (plogp(real) + plogp(predicted) - plogp(both) + both).sum(-1)
    distance = (0.5 * square).clamp_(0.0, 1.0).sqrt_()
    return torch.minimum(real, predicted).sum(-1), distance
