"""A layer's attention scored with operations on whole tensors, on whatever device it is."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.core.metrics import VIEWS, View
from headscribe.scoring.accumulators import (
    FOLDS,
    GATE_CHANNELS,
    GATE_STATES,
    score_channels,
)
from headscribe.scoring.kernels import Readings, RealRows, read_attention, score_rows
from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.plan import LONG_TEXT, BatchPlan
from headscribe.scoring.profile import (
    ProfileCells,
    ProfileScores,
    class_sums,
    profile_cells,
    score_profile,
    whole_rows,
)
from headscribe.scoring.task import Task, check_rows
from headscribe.scoring.texts import (
    RowSums,
    at_slots,
    covered_sums,
    gain,
    paired_sums,
    rows_at_slots,
    safe,
    sampled_hits,
    sampled_sums,
    text_scores,
    text_sums,
)


class TensorScorer:
    """Scores one batch, layer by layer."""

    def __init__(self, task: Task) -> None:
        self.sums = task.sums
        self.buckets, self.folds, self.fixed = task.buckets, task.folds, task.fixed
        self.calibrate, self.calibration, self.score = task.calibrate, task.calibration, task.score
        self._task = task
        self._cells: dict[int, ProfileCells] = {}
        self._room: dict[tuple[View, torch.device], Tensor] = {}

    def observe(self, call: LayerAttention, plan: BatchPlan) -> None:
        """Score one layer.

        Raises:
            RunError: a real row holds NaN or infinity; names text, layer and head.
        """
        attention = call.probabilities().contiguous()
        first = call.layer * attention.shape[1]
        readings = read_attention(attention, plan.lengths, plan.sinks)
        check_rows(readings.raw.mass, plan, call.layer)
        cells = self._profile_cells(plan, attention.device)
        fold = torch.from_numpy(self.folds).to(attention.device)
        if self.calibrate:
            self._add_profile(attention, first, cells, fold)
        profile = None
        if self.score and self.calibration is not None:
            table = self.calibration.profile[:, first : first + attention.shape[1]]
            profile = score_profile(
                attention, table.to(attention.device), cells, fold, plan, readings
            )
        for view in VIEWS:
            self._observe_view(view, plan, attention, first, readings.of(view), profile)
        if self.score:
            self._add_gate(plan, readings, first)

    def _observe_view(
        self,
        view: View,
        plan: BatchPlan,
        attention: Float[Tensor, "B H T T"],
        first: int,
        real: RealRows,
        profile: ProfileScores | None,
    ) -> None:
        entries = plan.views[view]
        table = entries.table if self.score else entries.baseline_table
        room = view, attention.device
        rows = score_rows(attention, table, real, self._room.get(room))
        self._room[room] = rows.values
        overlap, jsd = at_slots(rows.overlap, table), at_slots(rows.jsd, table)
        weight, row_sum = rows_at_slots(real, entries)
        if self.calibrate:
            rows_covered = covered_sums(weight, entries)
            pairs = paired_sums(overlap, jsd, entries)
            self._add_calibration(view, first, rows_covered, *pairs)
        if not self.score:
            return
        everything = text_sums(rows, real, table, entries)
        is_long = plan.lengths > LONG_TEXT
        hits = sampled_hits(rows, real, table, entries, everything, is_long)
        channels = text_scores(everything, hits, plan.lengths)
        if profile is not None:
            same = table.sampled is table.every
            own = everything.own if same else sampled_sums(rows, weight, row_sum, table, entries)
            overlap = torch.cat([overlap, (profile.overlap[view].t() * weight)[None]])
            jsd = torch.cat([jsd, (profile.jsd[view].t() * weight)[None]])
            pairs = paired_sums(overlap, jsd, entries)
            channels |= self._gains(view, first, own, *pairs)
        self._add_scores(view, first, channels)

    def _gains(
        self,
        view: View,
        first: int,
        own: RowSums,
        overlap: Float[Tensor, "B P K H"],
        jsd: Float[Tensor, "B P K H"],
    ) -> dict[str, Float[Tensor, "B P H"]]:
        assert self.calibration is not None
        heads = slice(first, first + own.weight.shape[2])
        device = own.weight.device
        v = VIEWS.index(view)
        by_jsd, by_overlap = (
            torch.from_numpy(choice[self.folds, v, :, heads]).to(device)
            for choice in (self.calibration.by_jsd, self.calibration.by_overlap)
        )
        known = ((by_jsd >= 0) & (own.weight > 0)).to(torch.float64)
        fixed = gain(own, overlap, jsd, by_jsd.clamp(min=0), by_overlap.clamp(min=0))
        last = torch.full_like(by_jsd, len(self.fixed))
        profile = gain(own, overlap, jsd, last, last)
        channels = {"paired_texts": known}
        for name, gains in (("fixed", fixed), ("profile", profile)):
            channels |= {
                f"{name}_jsd": gains.jsd * known,
                f"{name}_overlap": gains.overlap * known,
                f"{name}_iou": gains.iou * known,
            }
        return channels

    def _add_scores(
        self, view: View, first: int, channels: dict[str, Float[Tensor, "B P H"]]
    ) -> None:
        number = len(channels)
        expected = score_channels()[:number]
        if tuple(channels) != expected:
            raise AssertionError(f"expected {expected}, got {tuple(channels)}")
        values = torch.stack(list(channels.values()), 1)  # B C P H
        heads = slice(first, first + values.shape[3])
        target = self.sums.scores[:, :number, VIEWS.index(view), :, heads]
        self._task.add(target, self.buckets, values)

    def _add_calibration(
        self,
        view: View,
        first: int,
        weight: Float[Tensor, "B P H"],
        overlap: Float[Tensor, "B P K H"],
        jsd: Float[Tensor, "B P K H"],
    ) -> None:
        over = safe(weight).unsqueeze(2)
        texts = (weight > 0).to(torch.float64).unsqueeze(2).expand_as(jsd)
        values = torch.stack([texts, jsd / over, overlap / over], 1).transpose(2, 3)
        heads = slice(first, first + values.shape[4])
        target = self.sums.calibration[:, :, VIEWS.index(view), :, :, heads]
        self._task.add(target, self.folds, values)

    def _add_profile(
        self,
        attention: Float[Tensor, "B H T T"],
        first: int,
        cells: ProfileCells,
        fold: Int[Tensor, " B"],
    ) -> None:
        heads = slice(first, first + attention.shape[1])
        sums = [
            class_sums(whole_rows(attention, piece), piece, fold[piece.text], FOLDS)
            for piece in cells.pieces()
        ]
        total = torch.stack([total for total, _ in sums]).sum(0)
        count = torch.stack([count for _, count in sums]).sum(0)
        counted = count[:, None].expand_as(total)
        every = np.arange(FOLDS)
        self._task.add(self.sums.profile_sum[:, heads], every, total)
        self._task.add(self.sums.profile_count[:, heads], every, counted)

    def _add_gate(self, plan: BatchPlan, readings: Readings, first: int) -> None:
        """Attention on the sinks and on the last token, by what the pattern says of the row."""
        content = plan.views["content"].key_counts.to(torch.float32)
        covered = plan.covered_content  # B P T
        heads = readings.sink.shape[1]
        read = torch.cat([content[:, None], readings.sink, readings.last], 1).transpose(1, 2)
        on = torch.bmm(covered, read).to(torch.float64)  # B P 1+2H
        total = torch.bmm(content[:, None], read).to(torch.float64)
        spoken = on[:, :, :1] > 0
        off, absent = torch.where(spoken, total - on, 0.0), torch.where(spoken, 0.0, total)
        states = torch.stack([on, off, absent], 1)  # B S P 1+2H
        rows = states[..., :1].expand(*states.shape[:3], heads)
        sink, last = states[..., 1 : heads + 1], states[..., heads + 1 :]
        values = torch.stack([rows, sink, last], 2)  # B S G P H
        assert values.shape[1:3] == (len(GATE_STATES), len(GATE_CHANNELS))
        target = self.sums.gate[:, :, :, :, first : first + heads]
        self._task.add(target, self.buckets, values)

    def _profile_cells(self, plan: BatchPlan, device: torch.device) -> ProfileCells:
        key = id(plan)
        if key not in self._cells:
            self._cells[key] = profile_cells(
                plan.lengths, plan.sampled, plan.sinks, plan.visibility, device
            )
        return self._cells[key]
