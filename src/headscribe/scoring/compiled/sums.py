"""From the scores of rows to sums over the rows of each (pattern, text), for one head."""

import numpy as np
from jaxtyping import Float, Int

from headscribe.scoring.compiled.arithmetic import compiled

BASELINES = 8
"""Room for so many baselines, the profile included; `scoring.predictions` refuses more."""


@compiled
def sum_rows(
    offset: Int[np.ndarray, " G+1"],
    sampled: Int[np.ndarray, " G"],
    row: Int[np.ndarray, " n"],
    scores: Float[np.ndarray, "U 16"],
    every: Float[np.ndarray, "G 16"],
    some: Float[np.ndarray, "G 16"],
) -> None:
    """Sum the rows of each (pattern, text), and those among them that are sampled.

    Args:
        offset: where the rows of each pair begin in `row`; the first `sampled` are sampled ones.
        row: rows of the table, of either view.
        scores: what `score_rows` gives.
        every: sums over all rows, float64; `some`: over the sampled ones.
    """
    for g in range(len(sampled)):
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = 0.0
        b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = 0.0
        middle = offset[g] + sampled[g]
        for part in range(2):
            first = offset[g] if part == 0 else middle
            for i in range(first, middle if part == 0 else offset[g + 1]):
                u = row[i]
                a0 += scores[u, 0]
                a1 += scores[u, 1]
                a2 += scores[u, 2]
                a3 += scores[u, 3]
                a4 += scores[u, 4]
                a5 += scores[u, 5]
                a6 += scores[u, 6]
                a7 += scores[u, 7]
                b0 += scores[u, 8]
                b1 += scores[u, 9]
                b2 += scores[u, 10]
                b3 += scores[u, 11]
                b4 += scores[u, 12]
                b5 += scores[u, 13]
                b6 += scores[u, 14]
                b7 += scores[u, 15]
            out = some[g] if part == 0 else every[g]
            out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = (
                a0, a1, a2, a3, a4, a5, a6, a7,
            )  # fmt: skip
            out[8], out[9], out[10], out[11], out[12], out[13], out[14], out[15] = (
                b0, b1, b2, b3, b4, b5, b6, b7,
            )  # fmt: skip


@compiled
def sum_baselines(
    view: int,
    rows: Int[np.ndarray, "K slots"],
    scores: Float[np.ndarray, "U 16"],
    profile: Float[np.ndarray, "slots 4"],
    offset: Int[np.ndarray, " G+1"],
    slot: Int[np.ndarray, " n"],
    query: Int[np.ndarray, " slots"],
    mass: Float[np.ndarray, " B*T"],
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
        mass: content mass of each query's row.
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
        zero = np.float32(0)
        a0 = a1 = a2 = a3 = a4 = a5 = a6 = a7 = zero
        b0 = b1 = b2 = b3 = b4 = b5 = b6 = b7 = zero
        for i in range(offset[g], offset[g + 1]):
            s = slot[i]
            total += 1.0 if view == 0 else mass[query[s]]
            a0 += at_slots[s, 0]
            a1 += at_slots[s, 1]
            a2 += at_slots[s, 2]
            a3 += at_slots[s, 3]
            a4 += at_slots[s, 4]
            a5 += at_slots[s, 5]
            a6 += at_slots[s, 6]
            a7 += at_slots[s, 7]
            b0 += at_slots[s, 8]
            b1 += at_slots[s, 9]
            b2 += at_slots[s, 10]
            b3 += at_slots[s, 11]
            b4 += at_slots[s, 12]
            b5 += at_slots[s, 13]
            b6 += at_slots[s, 14]
            b7 += at_slots[s, 15]
        weight[g] = total
        out = sums[g]
        out[0], out[1], out[2], out[3], out[4], out[5], out[6], out[7] = (
            a0, a1, a2, a3, a4, a5, a6, a7,
        )  # fmt: skip
        out[8], out[9], out[10], out[11], out[12], out[13], out[14], out[15] = (
            b0, b1, b2, b3, b4, b5, b6, b7,
        )  # fmt: skip
