"""Metrics of every (pattern, text, row) for all heads of a layer at once, from the support alone.

The formulas stand in `headscribe.core.metrics`; sums are taken in float64, because the mass
outside the support, `P - s`, cancels where a pattern is nearly right.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.scoring.plan import ViewPlan


@dataclass(frozen=True)
class RealRows:
    """What the metrics need of the real rows as wholes, in one view.

    Attributes:
        mass: sum of each row over the keys that count, shape `(H, B, T)`, float64: the `P` of the
            raw view, the content mass of the content view.
        peak: the largest probability among those keys, `(H, B, T)`.
        weight: what the row counts for, `(H, B, T)`: 1 in the raw view, its content mass in the
            content view; 0 for rows that do not count.
    """

    mass: Float[Tensor, "H B T"]
    peak: Float[Tensor, "H B T"]
    weight: Float[Tensor, "H B T"]


@dataclass(frozen=True)
class RowScores:
    """Row metrics, each of shape `(H, P, B, T)`; 0 where the pattern does not cover the row.

    `row_sum` has shape `(H, 1, B, T)`: what the real row sums to, 1 after renormalisation.
    """

    overlap: Float[Tensor, "H P B T"]
    jsd: Float[Tensor, "H P B T"]
    mass: Float[Tensor, "H P B T"]
    hit: Float[Tensor, "H P B T"]
    row_sum: Float[Tensor, "H 1 B T"]


def real_rows(attention: Float[Tensor, "B H T T"], plan: ViewPlan) -> RealRows:
    """Sum, peak and weight of every real row."""
    counts = plan.key_counts
    heads = attention.transpose(0, 1)
    if plan.view == "raw":
        mass = heads.sum(-1, dtype=torch.float64)
        peak = heads.amax(-1)
        weight = counts.to(torch.float64).expand_as(mass)
    else:
        content = heads * counts[None, :, None, :]
        mass = content.sum(-1, dtype=torch.float64)
        peak = content.amax(-1)
        weight = mass * counts
    return RealRows(mass, peak, weight)


def segment_sum(values: Float[Tensor, "H N"], pointer: Tensor) -> Float[Tensor, "H R"]:
    """Sum contiguous segments: `out[:, r] = values[:, pointer[r]:pointer[r + 1]].sum(1)`."""
    running = torch.nn.functional.pad(values.cumsum(1), (1, 0))
    return running[:, pointer[1:]] - running[:, pointer[:-1]]


def score_rows(attention: Float[Tensor, "B H T T"], plan: ViewPlan, real: RealRows) -> RowScores:
    """Overlap, Jensen-Shannon distance, mass and hit of every row that a pattern covers."""
    batch, heads, width, _ = attention.shape
    patterns = plan.covered.shape[0]
    flat = attention.transpose(0, 1).reshape(heads, batch * width * width)
    p = flat[:, plan.cell]
    query = torch.div(plan.cell, width, rounding_mode="floor")
    peak = p >= real.peak.reshape(heads, -1)[:, query]
    p = p.to(torch.float64)
    row_sum = real.mass
    if plan.view == "content":
        # Rows without any content mass weigh nothing; dividing by 1 keeps them finite.
        mass = torch.where(real.mass > 0, real.mass, 1.0)
        p = p / mass.reshape(heads, -1)[:, query]
        row_sum = real.mass / mass
    q = plan.weight
    total = p + q
    divergence = (torch.xlogy(p, p) + torch.xlogy(q, q) - torch.xlogy(total, total / 2)) * (
        1 / torch.log(torch.tensor(2.0, dtype=torch.float64))
    )

    def by_row(values: Tensor) -> Tensor:
        return segment_sum(values, plan.pointer)

    overlap, mass_on, spread = by_row(torch.minimum(p, q)), by_row(p), by_row(divergence)
    row_of = plan.row % (batch * width)
    outside = row_sum.reshape(heads, -1)[:, row_of] - mass_on
    jsd = (0.5 * (outside + spread)).clamp(0.0, 1.0).sqrt()
    hit = (by_row(peak.to(torch.float64)) > 0.5).to(torch.float64)

    def dense(values: Tensor) -> Tensor:
        out = values.new_zeros((heads, patterns * batch * width))
        out[:, plan.row] = values
        return out.reshape(heads, patterns, batch, width)

    return RowScores(dense(overlap), dense(jsd), dense(mass_on), dense(hit), row_sum.unsqueeze(1))
