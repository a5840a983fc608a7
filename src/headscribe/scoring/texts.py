"""From row metrics to one number a text: means over rows, baselines on the same rows, gains."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.scoring.kernels import RealRows, RowScores
from headscribe.scoring.plan import ViewPlan


@dataclass(frozen=True)
class RowSums:
    """Sums over chosen rows of every text; `(H, P, B)`, or `(H, K, P, B)` for baselines."""

    weight: Float[Tensor, "H P B"]
    row_sum: Float[Tensor, "H P B"]
    overlap: Float[Tensor, "*any P B"]
    jsd: Float[Tensor, "*any P B"]

    def mean_jsd(self) -> Float[Tensor, "*any P B"]:
        """Mean distance a row; 0 where there is no row."""
        return self.jsd / self._safe(self.weight)

    def mean_overlap(self) -> Float[Tensor, "*any P B"]:
        """Mean overlap a row; 0 where there is no row."""
        return self.overlap / self._safe(self.weight)

    def iou(self) -> Float[Tensor, "*any P B"]:
        """Intersection over union of the chosen rows; 0 where there is no row."""
        either = self._like(self.weight + self.row_sum) - self.overlap
        return self.overlap / torch.where(either > 0, either, 1.0)

    def _like(self, values: Tensor) -> Tensor:
        return values.unsqueeze(1) if self.overlap.ndim > values.ndim else values

    def _safe(self, values: Tensor) -> Tensor:
        values = self._like(values)
        return torch.where(values > 0, values, 1.0)


def own_sums(
    rows: RowScores, real: RealRows, plan: ViewPlan, chosen: Bool[Tensor, "B T"]
) -> RowSums:
    """Sum every pattern's rows among the chosen ones, each row by its weight."""
    weight = real.weight * chosen
    covered = plan.covered.to(torch.float64)
    spread = weight[:, None]
    return RowSums(
        torch.einsum("hbt,pbt->hpb", weight, covered),
        torch.einsum("hbt,pbt->hpb", weight * rows.row_sum, covered),
        (rows.overlap * spread).sum(-1),
        (rows.jsd * spread).sum(-1),
    )


def paired_sums(
    overlap: Float[Tensor, "H K B T"],
    jsd: Float[Tensor, "H K B T"],
    own: RowSums,
    real: RealRows,
    plan: ViewPlan,
    chosen: Bool[Tensor, "B T"],
) -> RowSums:
    """Sum baselines' rows over exactly the chosen rows that each pattern covers."""
    weight = (real.weight * chosen)[:, None]
    covered = plan.covered.to(torch.float64).permute(1, 2, 0)  # B T P
    heads, baselines = overlap.shape[:2]

    def over(values: Tensor) -> Tensor:
        lines = (values * weight).permute(2, 0, 1, 3).flatten(1, 2)  # B HK T
        sums = torch.bmm(lines, covered)
        return sums.reshape(len(lines), heads, baselines, -1).permute(1, 2, 3, 0)

    return RowSums(own.weight, own.row_sum, over(overlap), over(jsd))


@dataclass(frozen=True)
class Gain:
    """Improvement of each pattern over one baseline a (head, pattern), by text, `(H, P, B)`."""

    jsd: Float[Tensor, "H P B"]
    overlap: Float[Tensor, "H P B"]
    iou: Float[Tensor, "H P B"]


def gain(
    own: RowSums,
    baselines: RowSums,
    by_jsd: Int[Tensor, "B H P"],
    by_overlap: Int[Tensor, "B H P"],
) -> Gain:
    """How much better than the chosen baseline, in the metric's good direction, on the same rows.

    Args:
        own: the patterns' sums over the paired rows.
        baselines: the baselines' sums over the same rows.
        by_jsd: which baseline counts for the distance; `by_overlap`: for overlap and IoU.
    """

    def pick(values: Tensor, choice: Tensor) -> Tensor:
        return values.gather(1, choice.permute(1, 2, 0).unsqueeze(1)).squeeze(1)

    return Gain(
        pick(baselines.mean_jsd(), by_jsd) - own.mean_jsd(),
        own.mean_overlap() - pick(baselines.mean_overlap(), by_overlap),
        own.iou() - pick(baselines.iou(), by_overlap),
    )
