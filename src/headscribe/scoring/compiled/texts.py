"""From sums over rows to what is kept of each text, for one head."""

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.scoring.compiled.arithmetic import compiled, inlined
from headscribe.scoring.compiled.sums import (
    BASELINES,
    CHANCE,
    HIT,
    JSD,
    MASS,
    OVERLAP,
    ROW_SUM,
    WEIGHT,
)


@inlined
def _over(value: float, by: float) -> float:
    return value / by if by > 0 else value


@compiled
def text_scores(
    view: int,
    every: Float[np.ndarray, "P*B columns"],
    some: Float[np.ndarray, "P*B columns"],
    lengths: Int[np.ndarray, " B"],
    is_long: Bool[np.ndarray, " B"],
    out: Float[np.ndarray, "B C V P"],
) -> None:
    """Counts, and means over rows, of each text, in the order of `SCORE_CHANNELS`."""
    texts = len(lengths)
    for b in range(texts):
        for p in range(out.shape[3]):
            own, hits = every[p * texts + b], every[p * texts + b]
            if is_long[b]:
                hits = some[p * texts + b]
            weight, hit_weight = own[WEIGHT], hits[WEIGHT]
            sae = weight + own[ROW_SUM] - 2 * own[OVERLAP]
            out[b, 0, view, p] = 1.0 if weight > 0 else 0.0
            out[b, 1, view, p] = weight
            out[b, 2, view, p] = _over(own[JSD], weight)
            out[b, 3, view, p] = _over(sae, weight)
            out[b, 4, view, p] = sae
            out[b, 5, view, p] = _over(sae, weight) / lengths[b]
            union = weight + own[ROW_SUM] - own[OVERLAP]
            out[b, 6, view, p] = _over(own[OVERLAP], union)
            out[b, 7, view, p] = _over(own[OVERLAP], weight)
            out[b, 8, view, p] = _over(own[MASS], weight)
            out[b, 9, view, p] = _over(own[CHANCE], weight)
            out[b, 10, view, p] = 1.0 if hit_weight > 0 else 0.0
            out[b, 11, view, p] = _over(hits[HIT], hit_weight)
            out[b, 12, view, p] = _over(hits[CHANCE], hit_weight)


@compiled
def text_gains(
    view: int,
    first: int,
    some: Float[np.ndarray, "P*B columns"],
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
    for b in range(texts):
        for p in range(out.shape[3]):
            g = p * texts + b
            weight, total = some[g, WEIGHT], some[g, WEIGHT] + some[g, ROW_SUM]
            overlap = some[g, OVERLAP]
            iou = _over(overlap, total - overlap)
            out[b, first, view, p] = 1.0 if weight > 0 else 0.0
            for which in range(2):
                far = by_jsd[fold[b], view, p] if which == 0 else profile
                near = by_overlap[fold[b], view, p] if which == 0 else profile
                base = baselines[g, near]
                place = first + 1 + 3 * which
                distance = baselines[g, BASELINES + far] - some[g, JSD]
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
    queries: Float[np.ndarray, "B*T 8"],
    covered: Float[np.ndarray, "P*B 3"],
    out: Float[np.ndarray, "B S G P"],
) -> None:
    """Rows and attention by state: `on`, `off`, `absent`, as `GATE_STATES` and `GATE_CHANNELS`."""
    texts = len(lengths)
    width = len(queries) // texts
    for b in range(texts):
        for c in range(3):
            total = 0.0
            for q in range(lengths[b]):
                total += queries[b * width + q, 4 + c]
            for p in range(out.shape[3]):
                spoken = covered[p * texts + b, 0] > 0
                on = covered[p * texts + b, c]
                out[b, 0, c, p] = on
                out[b, 1, c, p] = total - on if spoken else 0.0
                out[b, 2, c, p] = 0.0 if spoken else total


@compiled
def add_texts(
    target: Float[np.ndarray, "N C M heads"],
    first: int,
    bucket: Int[np.ndarray, " B"],
    values: Float[np.ndarray, "H B C M"],
    start: int,
    stop: int,
) -> None:
    """Add what is kept of each text to its bucket's sums of the heads from `first` on.

    Only the channels from `start` to `stop`.
    """
    for b in range(len(bucket)):
        for c in range(start, stop):
            for m in range(values.shape[3]):
                for h in range(values.shape[0]):
                    target[bucket[b], c, m, first + h] += values[h, b, c, m]
