"""What a survey does while a layer's probabilities exist: score all patterns for all its heads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.core.errors import RunError
from headscribe.core.metrics import VIEWS, View
from headscribe.scoring.accumulators import (
    FOLDS,
    GATE_CHANNELS,
    GATE_STATES,
    SCORE_CHANNELS,
    Accumulators,
)
from headscribe.scoring.baselines import Calibration
from headscribe.scoring.kernels import (
    RealRows,
    RowScores,
    real_rows,
    score_dense_rows,
    score_rows,
)
from headscribe.scoring.plan import BatchPlan
from headscribe.scoring.profile import (
    ProfileCells,
    class_sums,
    predicted_rows,
    profile_cells,
)
from headscribe.scoring.texts import RowSums, gain, own_sums, paired_sums


class LayerAttention(Protocol):
    """One layer's attention on one batch."""

    @property
    def layer(self) -> int:
        """The layer, counted from 0."""
        ...

    def probabilities(self) -> Float[Tensor, "B H T T"]:
        """The attention, float32; rows and keys beyond a text's length do not count."""
        ...


class LayerObserver(Protocol):
    """Reads the attention of each layer while it exists."""

    def observe(self, call: LayerAttention) -> None:
        """Read one layer's attention on one batch."""
        ...


@dataclass(frozen=True)
class Observers:
    """Several observers as one."""

    members: Sequence[LayerObserver]

    def observe(self, call: LayerAttention) -> None:
        """Show the layer to each of them."""
        for member in self.members:
            member.observe(call)


@dataclass
class BatchScorer:
    """Scores one batch, layer by layer, into the accumulators.

    Attributes:
        sums: where everything is added.
        plan_of: the batch's plan for a layer (layers may see different keys).
        buckets: the bucket of each text, `(B,)`.
        folds: the fold of each text, `(B,)`.
        fixed: positions of the fixed baselines among the patterns.
        calibrate: add to the statistics from which baselines are estimated and chosen.
        calibration: the baselines to compare with, if they are known already.
        score: add to the scores.
    """

    sums: Accumulators
    plan_of: Callable[[int], BatchPlan]
    buckets: Int[np.ndarray, " B"]
    folds: Int[np.ndarray, " B"]
    fixed: Sequence[int]
    calibrate: bool
    calibration: Calibration | None
    score: bool

    def __post_init__(self) -> None:
        self._cells: dict[int, ProfileCells] = {}
        self._pending: list[tuple[np.ndarray, np.ndarray]] = []

    def observe(self, call: LayerAttention) -> None:
        """Score one layer.

        Raises:
            RunError: a real row holds NaN or infinity; names text, layer and head.
        """
        plan = self.plan_of(call.layer)
        attention = call.probabilities()
        first = call.layer * attention.shape[1]
        self._check(attention, plan, call.layer)
        cells = self._profile_cells(plan, attention.device)
        fold = torch.from_numpy(self.folds).to(attention.device)[cells.text]
        heads = attention.transpose(0, 1).contiguous()
        lines = heads.reshape(len(heads), -1, plan.width).index_select(1, cells.row)
        if self.calibrate:
            self._add_profile(first, lines, cells, fold)
        for view in VIEWS:
            self._observe_view(view, plan, heads, first, lines, cells, fold)
        if self.score:
            self._add_gate(plan, heads, first)

    def commit(self) -> None:
        """Add what was observed to the sums; until then they do not know of the batch."""
        for target, values in self._pending:
            target += values
        self._pending.clear()

    def _observe_view(
        self,
        view: View,
        plan: BatchPlan,
        heads: Float[Tensor, "H B T T"],
        first: int,
        lines: Float[Tensor, "H R T"],
        cells: ProfileCells,
        fold: Int[Tensor, " R"],
    ) -> None:
        entries = plan.views[view]
        device = heads.device
        real = real_rows(heads, entries)
        rows = score_rows(heads, entries, real)
        sampled = torch.from_numpy(plan.sampled).to(device)
        paired = own_sums(rows, real, entries, sampled)
        fixed = list(self.fixed)
        if self.calibrate:
            base = paired_sums(
                rows.overlap[:, fixed], rows.jsd[:, fixed], paired, real, entries, sampled
            )
            self._add_calibration(view, first, base)
        if self.score:
            everything = own_sums(rows, real, entries, torch.ones_like(sampled))
            channels = _text_scores(everything, rows, real, entries.chance, plan.lengths)
            if self.calibration is not None:
                overlap, jsd = self._profile_rows(view, plan, first, lines, cells, fold)
                base = paired_sums(
                    torch.cat([rows.overlap[:, fixed], overlap[:, None]], 1),
                    torch.cat([rows.jsd[:, fixed], jsd[:, None]], 1),
                    paired,
                    real,
                    entries,
                    sampled,
                )
                channels |= self._gains(view, first, paired, base)
            self._add_scores(view, first, channels)

    def _profile_rows(
        self,
        view: View,
        plan: BatchPlan,
        first: int,
        lines: Float[Tensor, "H R T"],
        cells: ProfileCells,
        fold: Int[Tensor, " R"],
    ) -> tuple[Float[Tensor, "H B T"], Float[Tensor, "H B T"]]:
        """Overlap and distance of the profile on the sampled rows, laid out by text and row."""
        assert self.calibration is not None
        table = self.calibration.profile[:, first : first + len(lines)].to(lines.device)
        predicted = predicted_rows(table, cells, fold)
        real = lines
        if view == "content":
            keep = plan.views["content"].key_counts.to(real.dtype)[cells.text]
            predicted, real = _renormalised(predicted * keep), _renormalised(real * keep)
        overlap, jsd = score_dense_rows(real, predicted)
        shape = (len(lines), len(plan.lengths), plan.width)
        out = overlap.new_zeros((2, shape[0], shape[1] * shape[2]))
        out[0, :, cells.row], out[1, :, cells.row] = overlap, jsd
        return out[0].reshape(shape), out[1].reshape(shape)

    def _gains(
        self, view: View, first: int, own: RowSums, baselines: RowSums
    ) -> dict[str, Float[Tensor, "H P B"]]:
        assert self.calibration is not None
        heads = slice(first, first + own.weight.shape[0])
        device = own.weight.device
        v = VIEWS.index(view)
        # (F, P, H) -> (B, H, P)
        by_jsd, by_overlap = (
            torch.from_numpy(choice[self.folds, v, :, heads]).to(device).transpose(1, 2)
            for choice in (self.calibration.by_jsd, self.calibration.by_overlap)
        )
        fixed = gain(own, baselines, by_jsd, by_overlap)
        last = torch.full_like(by_jsd, len(self.fixed))
        profile = gain(own, baselines, last, last)
        channels = {"paired_texts": (own.weight > 0).to(torch.float64)}
        for name, gains in (("fixed", fixed), ("profile", profile)):
            channels |= {
                f"{name}_jsd": gains.jsd,
                f"{name}_overlap": gains.overlap,
                f"{name}_iou": gains.iou,
            }
        return channels

    def _add_scores(
        self, view: View, first: int, channels: dict[str, Float[Tensor, "H P B"]]
    ) -> None:
        index = [SCORE_CHANNELS.index(name) for name in channels]
        stack = torch.stack([channels[name] for name in channels]).permute(3, 0, 2, 1)
        values = stack.cpu().numpy()  # B C P H
        heads = slice(first, first + values.shape[3])
        v = VIEWS.index(view)
        for b, bucket in enumerate(self.buckets):
            for c, line in zip(index, values[b], strict=True):
                self._pending.append((self.sums.scores[bucket, c, v, :, heads], line))

    def _add_calibration(self, view: View, first: int, baselines: RowSums) -> None:
        texts = (baselines.weight > 0).to(torch.float64)
        jsd, overlap = baselines.mean_jsd(), baselines.mean_overlap()  # H K P B
        stack = torch.stack([texts.unsqueeze(1).expand_as(jsd), jsd, overlap])
        values = stack.permute(4, 0, 2, 3, 1).cpu().numpy()  # B S K P H
        heads = slice(first, first + values.shape[4])
        for b, fold in enumerate(self.folds):
            target = self.sums.calibration[fold, :, VIEWS.index(view), :, :, heads]
            self._pending.append((target, values[b]))

    def _add_profile(
        self,
        first: int,
        lines: Float[Tensor, "H R T"],
        cells: ProfileCells,
        fold: Int[Tensor, " R"],
    ) -> None:
        total, count = class_sums(lines, cells, fold, FOLDS)
        heads = slice(first, first + len(lines))
        self._pending.append((self.sums.profile_sum[:, heads], total.cpu().numpy()))
        counted = np.broadcast_to(count.cpu().numpy()[:, None], total.shape)
        self._pending.append((self.sums.profile_count[:, heads], counted))

    def _add_gate(self, plan: BatchPlan, heads: Float[Tensor, "H B T T"], first: int) -> None:
        """Attention on the sinks and on the last token, by what the pattern says of the row."""
        device = heads.device
        sinks = torch.from_numpy(plan.sinks).to(device)
        content = plan.views["content"].key_counts
        covered = plan.views["raw"].covered & content
        spoken = covered.any(-1, keepdim=True)
        states = torch.stack([covered, ~covered & spoken & content, ~spoken & content]).to(
            torch.float64
        )  # S P B T
        on_sinks = torch.einsum("hbtk,bk->hbt", heads, sinks.to(heads.dtype)).double()
        last = torch.from_numpy(plan.lengths - 1).to(device)
        index = last[None, :, None, None].expand(heads.shape[0], -1, plan.width, 1)
        on_last = heads.gather(3, index).squeeze(3).double()
        read = torch.stack([torch.ones_like(on_sinks), on_sinks, on_last])  # G H B T
        values = torch.einsum("spbt,ghbt->bsgph", states, read).cpu().numpy()
        assert values.shape[1:3] == (len(GATE_STATES), len(GATE_CHANNELS))
        for b, bucket in enumerate(self.buckets):
            target = self.sums.gate[bucket, :, :, :, first : first + values.shape[4]]
            self._pending.append((target, values[b]))

    def _profile_cells(self, plan: BatchPlan, device: torch.device) -> ProfileCells:
        key = id(plan)
        if key not in self._cells:
            self._cells[key] = profile_cells(
                plan.lengths, plan.sampled, plan.sinks, plan.visibility, device
            )
        return self._cells[key]

    def _check(self, attention: Float[Tensor, "B H T T"], plan: BatchPlan, layer: int) -> None:
        real = plan.views["raw"].key_counts
        finite = attention.sum(-1).isfinite() | ~real[:, None, :]
        if not bool(finite.all()):
            text, head, row = (int(i) for i in (~finite).nonzero()[0])
            raise RunError(
                f"expected finite attention, got NaN or infinity in head {layer}.{head}, row "
                f"{row} of text {plan.passages[text].text_id!r}"
            )


def _renormalised(rows: Float[Tensor, "H R T"]) -> Float[Tensor, "H R T"]:
    total = rows.sum(-1, keepdim=True)
    return rows / torch.where(total > 0, total, 1.0)


def _text_scores(
    own: RowSums,
    rows: RowScores,
    real: RealRows,
    chance: Float[Tensor, "P B T"],
    lengths: Int[np.ndarray, " B"],
) -> dict[str, Float[Tensor, "H P B"]]:
    weight = torch.where(own.weight > 0, own.weight, 1.0)
    sae_sum = own.weight + own.row_sum - 2 * own.overlap
    spread = real.weight[:, None]
    size = torch.from_numpy(lengths).to(weight.device).to(torch.float64)
    return {
        "texts": (own.weight > 0).to(torch.float64),
        "rows": own.weight,
        "jsd": own.mean_jsd(),
        "sae": sae_sum / weight,
        "sae_sum": sae_sum,
        "mae": sae_sum / weight / size,
        "iou": own.iou(),
        "overlap": own.mean_overlap(),
        "mass": (rows.mass * spread).sum(-1) / weight,
        "chance": torch.einsum("hbt,pbt->hpb", real.weight, chance) / weight,
        "hit": (rows.hit * spread).sum(-1) / weight,
    }
