"""One layer's attention scored head by head with the compiled loops."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from headscribe.core.metrics import VIEWS, TextSums, own_metrics
from headscribe.scoring.accumulators import (
    CALIBRATION_CHANNELS,
    FOLDS,
    GAIN_CHANNELS,
    GATE_CHANNELS,
    GATE_STATES,
    TEXT_CHANNELS,
    score_channels,
)
from headscribe.scoring.compiled import profiles, reading, rows, sums, texts
from headscribe.scoring.layout import Layout, Lists
from headscribe.scoring.profile import ProfileCells
from headscribe.scoring.threads import share


@dataclass(frozen=True)
class Places:
    """Where things stand in a head's values, the same in every layer.

    Attributes:
        index: each entry of the layout, `(E,)`, unsigned.
    """

    index: Integer[np.ndarray, " E"]
    start: Int[np.ndarray, " sampled"]


@runtime_checkable
class HeadValues(Protocol):
    """The probabilities of one layer on one batch, as the loops look them up."""

    @property
    def heads(self) -> int:
        """Heads of the layer."""
        ...

    @property
    def places(self) -> Places:
        """Where what is looked up stands."""
        ...

    def read(
        self, head: int, real: Float[np.ndarray, "readings tokens"]
    ) -> Float[np.ndarray, " n"]:
        """A head's values, and what `compiled.reading` tells of its rows."""
        ...


@dataclass(frozen=True)
class Batch:
    """What the loops need to know of a batch.

    Attributes:
        sampled: the sampled rows, and the classes of their cells.
        slot_query: the flat query of each slot `b * S + s`, 0 for none.
        lists: the slots that each (pattern, text) covers, by view.
        lengths: real tokens of each text; `is_long`: whether hits are counted on its sampled rows.
        content: 1 where a token counts in the content view, else 0, `(B, T)`.
        rooms: memory that cores use again in every layer.
    """

    layout: Layout
    sampled: ProfileCells
    slot_query: Int[np.ndarray, " slots"]
    lists: tuple[Lists, Lists]
    lengths: Int[np.ndarray, " B"]
    is_long: Bool[np.ndarray, " B"]
    fold: Int[np.ndarray, " B"]
    content: Float[np.ndarray, "B T"]
    patterns: int
    rooms: deque["_Room"] = field(default_factory=deque)


@dataclass(frozen=True)
class Compared:
    """The baselines that one layer's heads are compared with.

    Attributes:
        profile: mean attention by cell class, float32, the last one 0, `(H, FOLDS, cells + 1)`.
        by_jsd: the best fixed baseline by distance, `(H, FOLDS, V, P)`; `by_overlap`: by overlap.
    """

    profile: Float[np.ndarray, "H F cells"]
    by_jsd: Int[np.ndarray, "H F V P"]
    by_overlap: Int[np.ndarray, "H F V P"]


@dataclass(frozen=True)
class LayerSums:
    """What one layer adds to the sums; None for what was not asked for.

    Attributes:
        total: the sum of every real row, to be checked, `(H, B * T)`.
        scores: `(H, B, C, V, P)`; `gate`: `(H, B, S, G, P)`; of single texts, float32: those of all
            layers wait for the end of the batch.
        calibration: `(H, FOLDS, means, V, K, P)`; `classes`: `(H, FOLDS, cells + 1)`.
    """

    total: Float[np.ndarray, "H tokens"]
    scores: Float[np.ndarray, "H B C V P"] | None
    gate: Float[np.ndarray, "H B S G P"] | None
    calibration: Float[np.ndarray, "H F means V K P"] | None
    classes: Float[np.ndarray, "H F cells"] | None


def score_layer(
    batch: Batch,
    values: HeadValues,
    cells: int,
    *,
    calibrate: bool,
    score: bool,
    compared: Compared | None,
) -> LayerSums:
    """Score all heads of a layer, on all cores.

    Args:
        cells: number of classes of cells, that of hidden keys included.
        calibrate: sum up what baselines are estimated and chosen from.
        score: sum up scores.
        compared: the baselines to compare with, if they are known.
    """
    heads, number, views = values.heads, len(batch.lengths), len(VIEWS)
    fixed = len(batch.layout.baselines[0])
    channels = len(score_channels()) - (len(GAIN_CHANNELS) if compared is None else 0)
    shape = (heads, number, channels, views, batch.patterns)
    gate = (heads, number, len(GATE_STATES), len(GATE_CHANNELS), batch.patterns)
    calibration = (heads, FOLDS, len(CALIBRATION_CHANNELS), views, fixed, batch.patterns)
    found = LayerSums(
        np.zeros((heads, batch.content.size), np.float32),
        np.empty(shape, np.float32) if score else None,
        np.empty(gate, np.float32) if score else None,
        np.zeros(calibration) if calibrate else None,
        np.zeros((heads, FOLDS, cells)) if calibrate else None,
    )

    def work(mine: Iterator[int]) -> None:
        try:
            room = batch.rooms.pop()
        except IndexError:
            room = _Room.of(batch)
        for head in mine:
            _score_head(batch, values, head, compared, found, room)
        batch.rooms.append(room)

    share(heads, work)
    return found


@dataclass(frozen=True)
class _Room:
    """Memory that one core uses again for every head."""

    real: Float[np.ndarray, "readings tokens"]
    rows: Float[np.ndarray, "U 16"]
    profile: Float[np.ndarray, "slots 4"]
    line: Float[np.ndarray, " T"]
    buffers: Sequence[Float[np.ndarray, " _"]]
    at_slots: Float[np.ndarray, "slots doubled"]
    every: Float[np.ndarray, "G 16"]
    some: Float[np.ndarray, "G 16"]
    weight: Float[np.ndarray, " G"]
    baselines: Float[np.ndarray, "G doubled"]

    @classmethod
    def of(cls, batch: Batch) -> "_Room":
        pairs, tokens = batch.patterns * len(batch.lengths), batch.content.size
        slots = len(batch.slot_query)
        return cls(
            np.zeros((reading.READINGS, tokens), np.float32),
            np.zeros((len(batch.layout.query), rows.COLUMNS), np.float32),
            np.zeros((slots, 4), np.float32),
            np.zeros(batch.content.shape[1], np.float32),
            [np.zeros(size, np.float32) for size in (rows.BUFFER, profiles.BUFFER)],
            np.zeros((slots, 2 * sums.BASELINES), np.float32),
            np.zeros((pairs, rows.COLUMNS)),
            np.zeros((pairs, rows.COLUMNS)),
            np.zeros(pairs),
            np.zeros((pairs, 2 * sums.BASELINES), np.float32),
        )


def _score_head(
    batch: Batch,
    values: HeadValues,
    head: int,
    compared: Compared | None,
    found: LayerSums,
    room: _Room,
) -> None:
    layout, sampled, real = batch.layout, batch.sampled, room.real
    line = values.read(head, real)
    found.total[head] = real[reading.TOTAL]
    rows.score_rows(
        line, layout.groups, layout.query, layout.qlogq, layout.size, layout.entry,
        values.places.index, layout.weight, layout.chance, real, batch.content.reshape(-1),
        room.buffers[0], room.rows,
    )  # fmt: skip
    placed = (line, values.places.start, sampled.text, sampled.cell, batch.lengths, batch.fold)
    if found.classes is not None:
        profiles.add_classes(*placed, found.classes[head])
    if compared is not None:
        profiles.score_profile(
            *placed, batch.content, sampled.query, sampled.slot, compared.profile[head], real,
            room.line, room.buffers[1], room.profile,
        )  # fmt: skip
    if found.scores is not None:
        lists = layout.lists
        sums.sum_rows(lists.offset, lists.sampled, lists.item, room.rows, room.every, room.some)
    for view in range(len(VIEWS)):
        _sum_view(batch, view, head, compared, found, room)
    if found.gate is not None:
        texts.gate_sums(
            batch.lengths, real, batch.content, room.every, layout.counts, found.gate[head]
        )


def _sum_view(
    batch: Batch, view: int, head: int, compared: Compared | None, found: LayerSums, room: _Room
) -> None:
    layout = batch.layout
    if compared is not None or found.calibration is not None:
        slots = batch.lists[view]
        nothing = room.profile[:0]
        sums.sum_baselines(
            view, layout.baselines[view], room.rows, nothing if compared is None else room.profile,
            slots.offset, slots.item, batch.slot_query, room.real[reading.CONTENT],
            room.at_slots, room.weight, room.baselines,
        )  # fmt: skip
    if found.calibration is not None:
        texts.calibration_sums(
            view, room.weight, room.baselines, batch.fold, found.calibration[head]
        )
    if found.scores is None:
        return
    scores = found.scores[head]
    texts.text_scores(
        view, room.every, room.some, layout.counts, batch.lengths, batch.is_long, scores
    )
    own = own_metrics()
    if own:
        reduced = _text_sums(batch, view, room)
        for place, metric in enumerate(own, start=len(TEXT_CHANNELS)):
            scores[:, place, view] = metric.formula(reduced)
    if compared is not None:
        texts.text_gains(
            view, len(TEXT_CHANNELS) + len(own), room.some, layout.counts, room.baselines,
            len(layout.baselines[view]), compared.by_jsd[head], compared.by_overlap[head],
            batch.fold, scores,
        )  # fmt: skip


def _text_sums(batch: Batch, view: int, room: _Room) -> TextSums:
    """The sums that the compiled formulas read, `(B, P)`, for those of registered metrics."""
    shape = batch.patterns, len(batch.lengths)
    sampled, every = batch.layout.counts.reshape(2, *shape, -1).swapaxes(1, 2)
    row, some = (sums.reshape(*shape, -1).swapaxes(0, 1) for sums in (room.every, room.some))
    first = rows.RAW_OVERLAP if view == 0 else rows.CONTENT_OVERLAP

    def weighed(sums: np.ndarray, counts: np.ndarray) -> list[np.ndarray]:
        if view == 0:
            return [counts[..., texts.ROWS], sums[..., rows.RAW_SUM], counts[..., texts.CHANCE]]
        columns = (rows.CONTENT_WEIGHT, rows.CONTENT_SUM, rows.CONTENT_CHANCE)
        return [sums[..., column] for column in columns]

    weight, row_sum, chance = weighed(row, every)
    some_weight, _, some_chance = weighed(some, sampled)
    is_long = batch.is_long[:, None]
    overlap, jsd, mass, hit = (row[..., first + i] for i in range(4))
    return TextSums(
        weight, row_sum, overlap, jsd, mass, chance,
        np.where(is_long, some[..., first + 3], hit),
        np.where(is_long, some_weight, weight),
        np.where(is_long, some_chance, chance),
        batch.lengths[:, None],
    )  # fmt: skip
