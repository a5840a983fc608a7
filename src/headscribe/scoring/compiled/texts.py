"""From sums over rows to what is kept of each text, for one head."""

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.scoring.compiled.arithmetic import compiled, inlined
from headscribe.scoring.compiled.reading import LAST as READ_LAST
from headscribe.scoring.compiled.reading import SINK as READ_SINK
from headscribe.scoring.compiled.rows import (
    CONTENT_CHANCE,
    CONTENT_OVERLAP,
    CONTENT_SUM,
    CONTENT_WEIGHT,
    LAST,
    RAW_OVERLAP,
    RAW_SUM,
    SINK,
)
from headscribe.scoring.compiled.sums import BASELINES

ROWS, CHANCE, CONTENT_ROWS = range(3)
"""What does not depend on the head: rows of a (pattern, text), what chance gives on them, and how
many of them count in the content view."""


@inlined
def _over(value: float, by: float) -> float:
    return value / by if by > 0 else value


@inlined
def _weights(
    view: int, sums: Float[np.ndarray, " 16"], counts: Float[np.ndarray, " 3"]
) -> tuple[float, float, float]:
    """Weight, weighted sum of the real rows, and chance."""
    if view == 0:
        return counts[ROWS], sums[RAW_SUM], counts[CHANCE]
    return sums[CONTENT_WEIGHT], sums[CONTENT_SUM], sums[CONTENT_CHANCE]


@compiled
def text_scores(
    view: int,
    every: Float[np.ndarray, "P*B 16"],
    some: Float[np.ndarray, "P*B 16"],
    counts: Float[np.ndarray, "2 P*B 3"],
    lengths: Int[np.ndarray, " B"],
    is_long: Bool[np.ndarray, " B"],
    out: Float[np.ndarray, "B C V P"],
) -> None:
    """Counts, and means over rows, of each text, in the order of `SCORE_CHANNELS`.

    `counts` are those of the sampled rows and those of all rows.
    """
    texts = len(lengths)
    first = RAW_OVERLAP if view == 0 else CONTENT_OVERLAP
    for b in range(texts):
        for p in range(out.shape[3]):
            g = p * texts + b
            weight, row_sum, chance = _weights(view, every[g], counts[1, g])
            hits, hit_weight, hit_chance = every[g, first + 3], weight, chance
            if is_long[b]:
                hits = some[g, first + 3]
                hit_weight, _, hit_chance = _weights(view, some[g], counts[0, g])
            overlap = every[g, first]
            sae = weight + row_sum - 2 * overlap
            out[b, 0, view, p] = 1.0 if weight > 0 else 0.0
            out[b, 1, view, p] = weight
            out[b, 2, view, p] = _over(every[g, first + 1], weight)
            out[b, 3, view, p] = _over(sae, weight)
            out[b, 4, view, p] = sae
            out[b, 5, view, p] = _over(sae, weight) / lengths[b]
            out[b, 6, view, p] = _over(overlap, weight + row_sum - overlap)
            out[b, 7, view, p] = _over(overlap, weight)
            out[b, 8, view, p] = _over(every[g, first + 2], weight)
            out[b, 9, view, p] = _over(chance, weight)
            out[b, 10, view, p] = 1.0 if hit_weight > 0 else 0.0
            out[b, 11, view, p] = _over(hits, hit_weight)
            out[b, 12, view, p] = _over(hit_chance, hit_weight)


@compiled
def text_gains(
    view: int,
    first: int,
    some: Float[np.ndarray, "P*B 16"],
    counts: Float[np.ndarray, "2 P*B 3"],
    baselines: Float[np.ndarray, "P*B 2*baselines"],
    profile: int,
    by_jsd: Int[np.ndarray, "F V P"],
    by_overlap: Int[np.ndarray, "F V P"],
    fold: Int[np.ndarray, " B"],
    out: Float[np.ndarray, "B C V P"],
) -> None:
    """Gains over the chosen fixed baseline and over the profile on the sampled rows.

    They go to `out` from channel `first` on: texts that have any such row, then distance, overlap
    and intersection over union for both. `profile` is the profile's place among the baselines.
    """
    texts = len(fold)
    column = RAW_OVERLAP if view == 0 else CONTENT_OVERLAP
    for b in range(texts):
        for p in range(out.shape[3]):
            g = p * texts + b
            weight, row_sum, _ = _weights(view, some[g], counts[0, g])
            total, overlap = weight + row_sum, some[g, column]
            iou = _over(overlap, total - overlap)
            # A negative baseline: none could be estimated on other texts.
            known = weight > 0 and by_jsd[fold[b], view, p] >= 0
            out[b, first, view, p] = 1.0 if known else 0.0
            for which in range(2):
                far = by_jsd[fold[b], view, p] if which == 0 else profile
                near = by_overlap[fold[b], view, p] if which == 0 else profile
                place = first + 1 + 3 * which
                if not known:
                    out[b, place, view, p] = 0.0
                    out[b, place + 1, view, p] = 0.0
                    out[b, place + 2, view, p] = 0.0
                    continue
                base = baselines[g, near]
                distance = baselines[g, BASELINES + far] - some[g, column + 1]
                out[b, place, view, p] = _over(distance, weight)
                out[b, place + 1, view, p] = _over(overlap - base, weight)
                out[b, place + 2, view, p] = iou - _over(base, total - base)


@compiled
def calibration_sums(
    view: int,
    weight: Float[np.ndarray, " P*B"],
    baselines: Float[np.ndarray, "P*B 2*baselines"],
    fold: Int[np.ndarray, " B"],
    out: Float[np.ndarray, "F C V K P"],
) -> None:
    """Add the baselines' means on the rows of each pattern, in order of `CALIBRATION_CHANNELS`."""
    texts = len(fold)
    for b in range(texts):
        for p in range(out.shape[4]):
            g = p * texts + b
            for k in range(out.shape[3]):
                out[fold[b], 0, view, k, p] += 1.0 if weight[g] > 0 else 0.0
                out[fold[b], 1, view, k, p] += _over(baselines[g, BASELINES + k], weight[g])
                out[fold[b], 2, view, k, p] += _over(baselines[g, k], weight[g])


@compiled
def gate_sums(
    lengths: Int[np.ndarray, " B"],
    real: Float[np.ndarray, "readings B*T"],
    content: Float[np.ndarray, "B T"],
    every: Float[np.ndarray, "P*B 16"],
    counts: Float[np.ndarray, "2 P*B 3"],
    out: Float[np.ndarray, "B S G P"],
) -> None:
    """Rows and attention by state: `on`, `off`, `absent`, as `GATE_STATES` and `GATE_CHANNELS`."""
    texts, width = content.shape
    for b in range(texts):
        rows = sink = last = 0.0
        for q in range(lengths[b]):
            rows += content[b, q]
            sink += content[b, q] * real[READ_SINK, b * width + q]
            last += content[b, q] * real[READ_LAST, b * width + q]
        for p in range(out.shape[3]):
            g = p * texts + b
            spoken = counts[1, g, CONTENT_ROWS] > 0
            for c in range(3):
                on = counts[1, g, CONTENT_ROWS] if c == 0 else every[g, SINK if c == 1 else LAST]
                total = rows if c == 0 else sink if c == 1 else last
                out[b, 0, c, p] = on
                out[b, 1, c, p] = total - on if spoken else 0.0
                out[b, 2, c, p] = 0.0 if spoken else total


@compiled
def add_texts(
    target: Float[np.ndarray, "N C M heads"],
    first: int,
    bucket: Int[np.ndarray, " B"],
    values: Float[np.ndarray, "H B C M"],
    channel: int,
) -> None:
    """Add one channel of each text to its bucket's sums of the heads from `first` on."""
    for b in range(len(bucket)):
        for m in range(values.shape[3]):
            for h in range(values.shape[0]):
                target[bucket[b], channel, m, first + h] += values[h, b, channel, m]
