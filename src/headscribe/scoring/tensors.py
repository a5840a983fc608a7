"""A layer's attention scored with operations on whole tensors, on whatever device it is.

From the scores of rows to one number a text: means over rows, baselines on the same rows, gains.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from headscribe.core.metrics import METRICS, VIEWS, TextSums, View, over, own_metrics
from headscribe.scoring.accumulators import (
    FOLDS,
    GATE_CHANNELS,
    GATE_STATES,
    TEXT_CHANNELS,
    score_channels,
)
from headscribe.scoring.kernels import (
    Readings,
    RealRows,
    RowScores,
    read_attention,
    score_rows,
)
from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.plan import LONG_TEXT, BatchPlan, ViewPlan
from headscribe.scoring.profile import (
    ProfileCells,
    ProfileScores,
    class_sums,
    profile_cells,
    score_profile,
    whole_rows,
)
from headscribe.scoring.tables import Bags, RowTable
from headscribe.scoring.task import Task, check_rows


@dataclass(frozen=True)
class RowSums:
    """Sums over rows of every text, each `(B, P, H)`."""

    weight: Float[Tensor, "B P H"]
    row_sum: Float[Tensor, "B P H"]
    overlap: Float[Tensor, "B P H"]
    jsd: Float[Tensor, "B P H"]

    def mean_jsd(self) -> Float[Tensor, "B P H"]:
        """Mean distance a row; 0 where there is no row."""
        return self.jsd / safe(self.weight)

    def mean_overlap(self) -> Float[Tensor, "B P H"]:
        """Mean overlap a row; 0 where there is no row."""
        return self.overlap / safe(self.weight)

    def iou(self) -> Float[Tensor, "B P H"]:
        """Intersection over union of the rows; 0 where there is no row."""
        return self.overlap / safe(self.weight + self.row_sum - self.overlap)


def safe(values: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """Something to divide by: 1 where there is nothing."""
    return torch.where(values > 0, values, 1.0)


@dataclass(frozen=True)
class RowTotals:
    """All sums over the rows of each text: those of `own`, and of mass, hit and chance."""

    own: RowSums
    mass: Float[Tensor, "B P H"]
    hit: Float[Tensor, "B P H"]
    chance: Float[Tensor, "B P H"]


def _sums(rows: RowScores, bags: Bags, channels: int, batch: int) -> list[Float[Tensor, "B P H"]]:
    heads = rows.values.shape[2]
    sums = bags.sum(rows.values[:, :channels].reshape(-1, channels * heads))
    return list(sums.reshape(-1, batch, channels, heads).transpose(0, 1).unbind(2))


def text_sums(rows: RowScores, real: RealRows, table: RowTable, view: ViewPlan) -> RowTotals:
    """Sum all rows of every pattern, each by its weight."""
    batch, heads = len(view.slots), len(real.weight)
    overlap, jsd, mass, hit = _sums(rows, table.every, 4, batch)
    both = torch.cat([real.weight, real.weight * real.row_sum])
    lines = both.reshape(2 * heads, batch, -1).permute(1, 2, 0)  # B T 2H
    counted = torch.bmm(view.covered_rows, lines).to(torch.float64)
    chance = torch.bmm(view.chance, lines[..., :heads]).to(torch.float64)
    own = RowSums(counted[..., :heads], counted[..., heads:], overlap, jsd)
    return RowTotals(own, mass, hit, chance)


def sampled_sums(
    rows: RowScores,
    weight: Float[Tensor, "slots H"],
    row_sum: Float[Tensor, "slots H"],
    table: RowTable,
    view: ViewPlan,
) -> RowSums:
    """Sum the sampled rows of every pattern, each by its weight."""
    overlap, jsd = _sums(rows, table.sampled, 2, len(view.slots))
    total = covered_sums(weight * row_sum, view)
    return RowSums(covered_sums(weight, view), total, overlap, jsd)


def at_slots(values: Float[Tensor, "U H"], table: RowTable) -> Float[Tensor, "K slots H"]:
    """What the fixed baselines score at the sampled rows; 0 where they say nothing."""
    index = table.baseline
    found = values.index_select(0, index.clamp(max=len(values) - 1).reshape(-1))
    known = (index < len(values)).unsqueeze(-1)
    return found.reshape(*index.shape, -1) * known


def rows_at_slots(
    real: RealRows, view: ViewPlan
) -> tuple[Float[Tensor, "slots H"], Float[Tensor, "slots H"]]:
    """What the sampled rows count for, 0 for those that do not, and what they sum to."""
    batch, width = view.counts.shape
    flat = np.maximum(view.slots, 0) + np.arange(batch)[:, None] * width
    index = torch.from_numpy(flat.ravel()).to(real.weight.device)
    weight = real.weight.index_select(1, index) * view.slot_counts
    return weight.t(), real.row_sum.index_select(1, index).t()


def covered_sums(weight: Float[Tensor, "slots H"], view: ViewPlan) -> Float[Tensor, "B P H"]:
    """Weight of the sampled rows that each pattern covers."""
    batch, _, slots = view.covered_slots.shape
    lines = weight.reshape(batch, slots, -1)
    return torch.bmm(view.covered_slots, lines).to(torch.float64)


def paired_sums(
    overlap: Float[Tensor, "K slots H"],
    jsd: Float[Tensor, "K slots H"],
    view: ViewPlan,
) -> tuple[Float[Tensor, "B P K H"], Float[Tensor, "B P K H"]]:
    """Sum baselines' overlap and distance over the sampled rows that each pattern covers.

    Both are by weight already.
    """
    covered = view.covered_slots  # B P S
    batch, patterns, slots = covered.shape
    values = torch.stack([overlap, jsd])  # 2 K slots H
    _, baselines, _, heads = values.shape
    lines = values.reshape(2, baselines, batch, slots, heads).permute(2, 3, 0, 1, 4)
    sums = torch.bmm(covered, lines.reshape(batch, slots, -1)).to(torch.float64)
    sums = sums.reshape(batch, patterns, 2, baselines, heads)
    return sums[:, :, 0], sums[:, :, 1]


def sampled_hits(
    rows: RowScores,
    real: RealRows,
    table: RowTable,
    view: ViewPlan,
    every: RowTotals,
    is_long: Bool[np.ndarray, " B"],
) -> RowTotals:
    """The same sums, of long texts over their sampled rows only: what hits are counted on."""
    if not is_long.any():
        return every
    batch = len(view.slots)
    weight, row_sum = rows_at_slots(real, view)
    overlap, jsd, mass, hit = _sums(rows, table.sampled, 4, batch)
    own = RowSums(covered_sums(weight, view), covered_sums(weight * row_sum, view), overlap, jsd)
    flat = torch.from_numpy(np.maximum(view.slots, 0)).to(weight.device)
    chance = view.chance.gather(2, flat[:, None].expand(-1, view.chance.shape[1], -1))
    lines = weight.reshape(batch, flat.shape[1], -1)
    some = RowTotals(own, mass, hit, torch.bmm(chance, lines).to(torch.float64))
    long = torch.from_numpy(is_long).to(weight.device)[:, None, None]

    def pick(name: str) -> Tensor:
        return torch.where(long, getattr(some, name), getattr(every, name))

    chosen = RowSums(torch.where(long, own.weight, every.own.weight), own.row_sum, overlap, jsd)
    return RowTotals(chosen, pick("mass"), pick("hit"), pick("chance"))


def text_scores(
    sums: RowTotals, hits: RowTotals, lengths: Int[np.ndarray, " B"]
) -> dict[str, Float[Tensor, "B P H"]]:
    """What a text is scored: counts, and means over its rows; `hits`: what hits are counted on."""
    own = sums.own
    size = torch.from_numpy(lengths).to(own.weight.device).to(torch.float64)[:, None, None]
    reduced = TextSums(
        own.weight, own.row_sum, own.overlap, own.jsd, sums.mass, sums.chance,
        hits.hit, hits.own.weight, hits.chance, size,
    )  # fmt: skip
    counts = {
        "texts": (own.weight > 0).to(torch.float64),
        "rows": own.weight,
        "chance": over(sums.chance, own.weight),
        "hit_texts": (hits.own.weight > 0).to(torch.float64),
        "hit_chance": over(hits.chance, hits.own.weight),
    }
    names = (*TEXT_CHANNELS, *(metric.name for metric in own_metrics()))
    return {n: counts[n] if n in counts else METRICS[n].formula(reduced) for n in names}


@dataclass(frozen=True)
class Gain:
    """Improvement of each pattern over one baseline a (head, pattern), by text, `(B, P, H)`."""

    jsd: Float[Tensor, "B P H"]
    overlap: Float[Tensor, "B P H"]
    iou: Float[Tensor, "B P H"]


def gain(
    own: RowSums,
    overlap: Float[Tensor, "B P K H"],
    jsd: Float[Tensor, "B P K H"],
    by_jsd: Int[Tensor, "B P H"],
    by_overlap: Int[Tensor, "B P H"],
) -> Gain:
    """How much better than the chosen baseline, in the metric's good direction, on the same rows.

    Args:
        own: the patterns' sums over the paired rows.
        overlap: the baselines' overlap summed over the same rows.
        jsd: their distance summed over the same rows.
        by_jsd: which baseline counts for the distance; `by_overlap`: for overlap and IoU.
    """

    def pick(values: Tensor, choice: Tensor) -> Tensor:
        return values.gather(2, choice.unsqueeze(2)).squeeze(2)

    base = RowSums(own.weight, own.row_sum, pick(overlap, by_overlap), pick(jsd, by_jsd))
    return Gain(
        base.mean_jsd() - own.mean_jsd(),
        own.mean_overlap() - base.mean_overlap(),
        own.iou() - base.iou(),
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
