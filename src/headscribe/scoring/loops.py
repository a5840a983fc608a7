"""A batch scored layer by layer with compiled loops: on the CPU, wherever the model computes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscribe.models.calls import AttentionCall
from headscribe.scoring.compiled.reading import read_rows
from headscribe.scoring.compiled.texts import add_texts
from headscribe.scoring.layer import Batch, Compared, HeadValues, LayerSums, Places, score_layer
from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.plan import LONG_TEXT, BatchPlan
from headscribe.scoring.profile import CELL_CLASSES, profile_cells
from headscribe.scoring.sparse import BlockValues, CellPlaces, CellValues
from headscribe.scoring.task import Task, check_rows
from headscribe.scoring.threads import share

CELLS = CELL_CLASSES + 1

WHOLE_TOKENS = 1024
"""Texts of more tokens are computed a block of rows at a time, if not by cells."""


@dataclass
class BatchScorer:
    """Scores one batch, layer by layer, into the accumulators.

    Attributes:
        plan_of: the batch's plan for a layer (layers may see different keys).
    """

    task: Task
    plan_of: Callable[[int], BatchPlan]

    def __post_init__(self) -> None:
        self._batches: dict[int, Batch] = {}
        self._dense: dict[int, DensePlaces] = {}
        self._cells: dict[int, CellPlaces] = {}

    def observe(self, call: LayerAttention) -> None:
        """Score one layer.

        Raises:
            RunError: a real row holds NaN or infinity; names text, layer and head.
        """
        task, plan = self.task, self.plan_of(call.layer)
        batch = self._batch(plan)
        values = self._values(call, plan, batch)
        first = call.layer * values.heads
        sums = score_layer(
            batch, values, CELLS, calibrate=task.calibrate, score=task.score,
            compared=self._compared(first, values.heads),
        )  # fmt: skip
        check_rows(sums.total, plan, call.layer)
        self._keep(sums, first, batch)

    def _batch(self, plan: BatchPlan) -> Batch:
        if id(plan) not in self._batches:
            self._batches[id(plan)] = batch_of(plan, self.task.folds, score=self.task.score)
        return self._batches[id(plan)]

    def _values(self, call: LayerAttention, plan: BatchPlan, batch: Batch) -> HeadValues:
        """The layer's probabilities: the whole matrix, or where all texts are long, cells of it."""
        if isinstance(call, AttentionCall) and call.closed and batch.is_long.all():
            if id(plan) not in self._cells:
                self._cells[id(plan)] = CellPlaces.of(batch, plan)
            places = self._cells[id(plan)]
            normaliser = call.normalisers if places.pays(plan) else None
            if normaliser is not None:
                return CellValues.of(call, normaliser, batch, places)
            if plan.width > WHOLE_TOKENS:
                return BlockValues.of(call, batch, places, segments_of(plan))
        attention = call.probabilities().contiguous().cpu().numpy()
        if id(plan) not in self._dense:
            self._dense[id(plan)] = DensePlaces.of(batch, plan, attention.shape[1])
        return DenseValues(attention, self._dense[id(plan)])

    def _compared(self, first: int, heads: int) -> Compared | None:
        calibration = self.task.calibration
        if calibration is None or not self.task.score:
            return None
        some = slice(first, first + heads)
        profile = calibration.profile[:, some].astype(np.float32).swapaxes(0, 1)
        padded = np.pad(profile, ((0, 0), (0, 0), (0, 1)))
        by_jsd, by_overlap = (
            np.ascontiguousarray(np.moveaxis(choice[..., some], -1, 0))
            for choice in (calibration.by_jsd, calibration.by_overlap)
        )
        return Compared(padded, by_jsd, by_overlap)

    def _keep(self, found: LayerSums, first: int, batch: Batch) -> None:
        """Add the layer to the sums, at the end."""
        sums = self.task.sums
        for target, values in ((sums.scores, found.scores), (sums.gate, found.gate)):
            if values is not None:
                self.task.add_by(_Addition(target, first, self.task.buckets, values))
        some = slice(first, first + len(found.total))
        every = np.arange(sums.profile_sum.shape[0])
        if found.calibration is not None:
            by_fold = np.moveaxis(found.calibration, 0, -1)
            self.task.add(sums.calibration[..., some], every, by_fold)
        if found.classes is not None:
            total = found.classes[..., :CELL_CLASSES].swapaxes(0, 1)
            count = _cell_counts(batch, len(every))[:, None]
            self.task.add(sums.profile_sum[:, some], every, total)
            self.task.add(sums.profile_count[:, some], every, np.broadcast_to(count, total.shape))


@dataclass(frozen=True)
class _Addition:
    """Sums of a layer's texts, to be added to their buckets'."""

    target: Float[np.ndarray, "N ... heads"]
    first: int
    buckets: Int[np.ndarray, " B"]
    values: Float[np.ndarray, "H B ..."]

    def __call__(self) -> None:
        shape = self.target.shape
        flat = self.target.reshape(shape[0], shape[1], -1, shape[-1])
        values = self.values.reshape(*self.values.shape[:3], -1)

        def work(channels: Iterator[int]) -> None:
            for channel in channels:
                add_texts(flat, self.first, self.buckets, values, channel)

        share(values.shape[2], work)


@dataclass(frozen=True)
class DensePlaces(Places):
    """Where things stand in a layer's probabilities as a whole, seen from a head's own plane.

    Attributes:
        segment_of: where each text's segments begin, `(B + 1,)`.
        segments: runs of keys that are sinks or not: first, last + 1, whether they are.
    """

    lengths: Int[np.ndarray, " B"]
    segment_of: Int[np.ndarray, " texts_1"]
    segments: Int[np.ndarray, "n 3"]

    @classmethod
    def of(cls, batch: Batch, plan: BatchPlan, heads: int) -> "DensePlaces":
        """Find them."""
        plane = plan.width**2
        between = (heads - 1) * plane  # the planes of the other heads
        index = batch.layout.place.astype(np.int64)
        index += index // plane * between
        size = heads * len(plan.lengths) * plane
        start = batch.sampled.query * plan.width + batch.sampled.text * between
        return cls(
            index.astype(np.uint32 if size < 2**32 else np.uint64), start, batch.lengths,
            *segments_of(plan),
        )  # fmt: skip


@dataclass(frozen=True)
class DenseValues:
    """A layer's probabilities as a whole."""

    attention: Float[np.ndarray, "B H T T"]
    places: DensePlaces

    @property
    def heads(self) -> int:
        """Heads of the layer."""
        return self.attention.shape[1]

    def read(
        self, head: int, real: Float[np.ndarray, "readings tokens"]
    ) -> Float[np.ndarray, " n"]:
        """A head's values, and what is to be known of its rows."""
        places = self.places
        read_rows(self.attention, head, 0, places.lengths, places.segment_of, places.segments, real)
        return self.attention.reshape(-1)[head * self.attention.shape[2] ** 2 :]


def batch_of(plan: BatchPlan, folds: Int[np.ndarray, " B"], *, score: bool) -> Batch:
    """What the loops need to know of a batch; without `score` only the baselines' rows."""
    layout = plan.layout if score else plan.baseline_layout
    sampled = profile_cells(plan.lengths, plan.sampled, plan.sinks, plan.visibility)
    slots = plan.views["raw"].slots
    query = np.maximum(slots, 0) + np.arange(len(slots))[:, None] * plan.width
    content = plan.views["content"].counts.astype(np.float32)
    return Batch(
        layout, sampled, query.ravel(), plan.slot_lists, plan.lengths,
        plan.lengths > LONG_TEXT, folds, content, len(plan.failed),
    )  # fmt: skip


def segments_of(plan: BatchPlan) -> tuple[Int[np.ndarray, " texts_1"], Int[np.ndarray, "n 3"]]:
    """Where each text's segments begin, and runs of keys of one kind: first, last + 1, sinks?"""
    offset, found = [0], []
    for length, flags in zip(plan.lengths.tolist(), plan.sinks, strict=True):
        edges = np.flatnonzero(np.diff(flags[:length]))
        first = np.concatenate([[0], edges + 1])
        found.append(np.stack([first, np.append(edges + 1, length), flags[first]], axis=1))
        offset.append(offset[-1] + len(first))
    return np.array(offset), np.concatenate(found)


def _cell_counts(batch: Batch, folds: int) -> Float[np.ndarray, "F cells"]:
    """Cells of the sampled rows by fold and class."""
    sampled = batch.sampled
    fold = batch.fold[sampled.text]
    index = sampled.cell.astype(np.int64) + (fold * CELLS)[:, None]
    count = np.bincount(index.ravel(), minlength=folds * CELLS).astype(np.float64)
    return count.reshape(folds, -1)[:, :CELL_CLASSES]
