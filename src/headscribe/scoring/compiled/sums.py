"""From the scores of rows to sums over the rows of each (pattern, text), for one head."""

import numpy as np
from jaxtyping import Float, Int

from headscribe.scoring.compiled.arithmetic import compiled
from headscribe.scoring.compiled.reading import CONTENT, LAST, SCALE, SINK, TOTAL

OVERLAP, JSD, MASS, HIT, WEIGHT, ROW_SUM, CHANCE = range(7)
"""Columns of the sums over rows."""
COLUMNS = 7

BASELINES = 8
"""Room for so many baselines, the profile included."""


@compiled
def read_queries(
    real: Float[np.ndarray, "readings B*T"],
    counts: Float[np.ndarray, " B*T"],
    queries: Float[np.ndarray, "B*T 8"],
) -> None:
    """What each query adds to the sums of the patterns that cover it.

    Weight and weighted sum in the raw view; the same in the content view; for the gate a count,
    attention on sinks and on the last token, all 0 where `counts` (a content row) is.
    """
    for f in range(len(queries)):
        weight = real[CONTENT, f]
        queries[f, 0] = 1
        queries[f, 1] = real[TOTAL, f]
        queries[f, 2] = weight
        queries[f, 3] = weight * weight * real[SCALE, f]
        queries[f, 4] = counts[f]
        queries[f, 5] = counts[f] * real[SINK, f]
        queries[f, 6] = counts[f] * real[LAST, f]


@compiled
def sum_rows(
    view: int,
    offset: Int[np.ndarray, " G+1"],
    sampled: Int[np.ndarray, " G"],
    row: Int[np.ndarray, " n"],
    query: Int[np.ndarray, " U"],
    chance: Float[np.ndarray, " U"],
    scores: Float[np.ndarray, "U 8"],
    queries: Float[np.ndarray, "B*T 8"],
    every: Float[np.ndarray, "G columns"],
    some: Float[np.ndarray, "G columns"],
    gate: Float[np.ndarray, "G 3"],
) -> None:
    """Sum the rows of each (pattern, text), and those among them that are sampled.

    Args:
        view: 0 raw, 1 content.
        offset: where the rows of each pair begin in `row`; the first `sampled` are sampled ones.
        row: rows of the table.
        query: the query of each row; `chance`: its support over the admissible keys.
        scores: what `score_rows` gives.
        queries: what `read_queries` gives.
        every: sums over all rows, float64; `some`: over the sampled ones.
        gate: of the raw view only: rows, attention on sinks and on the last token.
    """
    first = 4 * view
    for g in range(len(sampled)):
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = 0.0
        g0 = g1 = g2 = 0.0
        begin, middle, end = offset[g], offset[g] + sampled[g], offset[g + 1]
        for part in range(2):
            for i in range(begin if part == 0 else middle, middle if part == 0 else end):
                u = row[i]
                f = query[u]
                a0 += scores[u, first]
                a1 += scores[u, first + 1]
                a2 += scores[u, first + 2]
                a3 += scores[u, first + 3]
                weight = queries[f, 2 * view]
                a4 += weight
                a5 += queries[f, 2 * view + 1]
                a6 += chance[u] * weight
                g0 += queries[f, 4]
                g1 += queries[f, 5]
                g2 += queries[f, 6]
            target = some if part == 0 else every
            target[g, OVERLAP], target[g, JSD], target[g, MASS] = a0, a1, a2
            target[g, HIT], target[g, WEIGHT], target[g, ROW_SUM] = a3, a4, a5
            target[g, CHANCE] = a6
        if view == 0:
            gate[g, 0], gate[g, 1], gate[g, 2] = g0, g1, g2


@compiled
def sum_baselines(
    view: int,
    rows: Int[np.ndarray, "K slots"],
    scores: Float[np.ndarray, "U 8"],
    profile: Float[np.ndarray, "slots 4"],
    offset: Int[np.ndarray, " G+1"],
    slot: Int[np.ndarray, " n"],
    query: Int[np.ndarray, " slots"],
    queries: Float[np.ndarray, "B*T 8"],
    at_slots: Float[np.ndarray, "slots 2*baselines"],
    weight: Float[np.ndarray, " G"],
    sums: Float[np.ndarray, "G 2*baselines"],
) -> None:
    """Sum the baselines' overlap and distance over the sampled rows that each pattern covers.

    Args:
        view: 0 raw, 1 content.
        rows: the row of each fixed baseline at each sampled slot; -1 for none.
        scores: what `score_rows` gives; `profile`: what `score_profile` gives, the last baseline.
        offset: where the slots of each (pattern, text) begin in `slot`.
        query: the query of each slot.
        queries: what `read_queries` gives.
        at_slots: room.
        weight: what the covered rows weigh; `sums`: all overlaps, then all distances.
    """
    fixed = len(rows)
    at_slots[:] = 0
    for k in range(fixed):
        for s in range(rows.shape[1]):
            if rows[k, s] >= 0:
                at_slots[s, k] = scores[rows[k, s], 4 * view]
                at_slots[s, BASELINES + k] = scores[rows[k, s], 4 * view + 1]
    for s in range(len(profile)):
        at_slots[s, fixed] = profile[s, 2 * view]
        at_slots[s, BASELINES + fixed] = profile[s, 2 * view + 1]
    for g in range(len(weight)):
        total = 0.0
        sums[g, :] = 0
        for i in range(offset[g], offset[g + 1]):
            s = slot[i]
            total += queries[query[s], 2 * view]
            for k in range(2 * BASELINES):
                sums[g, k] += at_slots[s, k]
        weight[g] = total
