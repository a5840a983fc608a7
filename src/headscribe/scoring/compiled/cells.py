"""Probabilities of single cells and of a few whole rows, from queries, keys and log-sum-exps.

The matrix of all cells never exists: `p_ij = exp(z_ij - l_i)`, with `z` the scaled score and `l`
the logarithm of the row's sum of exponentials, which the fused kernel returns.
"""

import numpy as np
from jaxtyping import Float, Int

from headscribe.scoring.compiled.arithmetic import exp2, reducing
from headscribe.scoring.compiled.reading import (
    CONTENT,
    CONTENT_PEAK,
    LAST,
    PEAK,
    SCALE,
    SINK,
    TOTAL,
)

_BASE = np.float32(1.4426950408889634)  # log2 e
_ZERO, _ONE = np.float32(0), np.float32(1)


@reducing
def find_cells(
    query: Float[np.ndarray, "B T H D"],
    key: Float[np.ndarray, "B T K D"],
    normaliser: Float[np.ndarray, "B H T"],
    mask: Float[np.ndarray, "b h t T"],
    causal: bool,
    scaling: np.float32,
    head: int,
    lengths: Int[np.ndarray, " B"],
    whole: Int[np.ndarray, " R"],
    offset: Int[np.ndarray, " B*T+1"],
    column: Int[np.ndarray, " N"],
    values: Float[np.ndarray, " R*T+N"],
) -> None:
    """Fill in one head's values: some rows as wholes, each by its own sum, then the cells.

    Args:
        query: shape as the layer makes them; `key`: not repeated for heads that share them.
        normaliser: the log-sum-exp of each row.
        mask: what is added to the scores, of size 0 or 1 where it does not depend on something;
            of no text: nothing is added.
        causal: later keys are hidden without a mask that says so.
        scaling: what the scores are multiplied with.
        head: the head.
        lengths: real tokens of each text.
        whole: the rows that are wanted as wholes, `b * T + query`.
        offset: where the cells of each query begin; `column`: the key of each cell.
        values: where the probabilities go.
    """
    width = query.shape[1]
    shared = head // (query.shape[2] // key.shape[2])
    for r in range(len(whole)):
        b, q = whole[r] // width, whole[r] % width
        last = q + 1 if causal else lengths[b]
        line = r * width
        for j in range(last):
            z = _ZERO
            for d in range(query.shape[3]):
                z += query[b, q, head, d] * key[b, j, shared, d]
            values[line + j] = z
        for j in range(last, width):
            values[line + j] = _ZERO
        if len(mask):
            mb, mh, mq = b % mask.shape[0], head % mask.shape[1], q % mask.shape[2]
            for j in range(last):
                values[line + j] += mask[mb, mh, mq, j] / scaling
        normal = normaliser[b, head, q]
        total = _ZERO
        for j in range(last):
            values[line + j] = exp2((values[line + j] * scaling - normal) * _BASE)
            total += values[line + j]
        over = _ONE / total
        for j in range(last):
            values[line + j] *= over
    begin = len(whole) * width
    for b in range(len(lengths)):
        for q in range(lengths[b]):
            f = b * width + q
            first, last = offset[f], offset[f + 1]
            for c in range(first, last):
                z = _ZERO
                for d in range(query.shape[3]):
                    z += query[b, q, head, d] * key[b, column[c], shared, d]
                values[begin + c] = z
            if len(mask):
                mb, mh, mq = b % mask.shape[0], head % mask.shape[1], q % mask.shape[2]
                for c in range(first, last):
                    values[begin + c] += mask[mb, mh, mq, column[c]] / scaling
            normal = normaliser[b, head, q]
            for c in range(first, last):
                hidden = causal and column[c] > q
                p = exp2((values[begin + c] * scaling - normal) * _BASE)
                values[begin + c] = _ZERO if hidden else p


@reducing
def take_cells(
    attention: Float[np.ndarray, "B H rows T"],
    head: int,
    begin: int,
    lengths: Int[np.ndarray, " B"],
    row_of: Int[np.ndarray, " B*T"],
    rows: int,
    offset: Int[np.ndarray, " B*T+1"],
    column: Int[np.ndarray, " N"],
    values: Float[np.ndarray, " R*T+N"],
) -> None:
    """The same from a block of rows of the matrix, those of the queries from `begin` on.

    `row_of` is the whole row that each query is, -1 for none; `rows` is their number.
    """
    width = attention.shape[3]
    for b in range(len(lengths)):
        for i in range(min(attention.shape[2], lengths[b] - begin)):
            f = b * width + begin + i
            if row_of[f] >= 0:
                for j in range(width):
                    values[row_of[f] * width + j] = attention[b, head, i, j]
            for c in range(offset[f], offset[f + 1]):
                values[rows * width + c] = attention[b, head, i, column[c]]


@reducing
def read_cells(
    values: Float[np.ndarray, " R*T+N"],
    total: Float[np.ndarray, "B T"],
    lengths: Int[np.ndarray, " B"],
    whole: Int[np.ndarray, " R"],
    sink_of: Int[np.ndarray, " B+1"],
    special: Int[np.ndarray, "B*T most"],
    content: Float[np.ndarray, "B T"],
    real: Float[np.ndarray, "readings B*T"],
) -> None:
    """What the metrics need of whole rows, from cells.

    Peaks are known of whole rows only and stay 0 elsewhere.

    Args:
        values: what `find_cells` gives.
        total: the sum of each row; NaN or infinity where it is not finite.
        lengths: real tokens of each text.
        whole: the rows that are wanted as wholes, `b * T + query`.
        sink_of: where each text's sinks begin in a list of all.
        special: where in `values` each query's cells stand: on the last key, then on each sink.
        content: 1 for keys that count in the content view, else 0.
        real: where the readings go.
    """
    width = content.shape[1]
    for b in range(len(lengths)):
        number = sink_of[b + 1] - sink_of[b]
        for q in range(lengths[b]):
            f = b * width + q
            mass = _ZERO
            for s in range(number):
                mass += values[special[f, 1 + s]]
            real[TOTAL, f] = total[b, q]
            real[SINK, f] = mass
            real[LAST, f] = values[special[f, 0]]
            real[CONTENT, f] = max(total[b, q] - mass, _ZERO)
            real[PEAK, f] = real[CONTENT_PEAK, f] = _ZERO
    for r in range(len(whole)):
        f = whole[r]
        b, line = f // width, r * width
        most = _ZERO
        mass, peak = _ZERO, _ZERO
        for j in range(lengths[b]):
            p = values[line + j]
            most = max(most, p)
            counted = p * content[b, j]
            mass += counted
            peak = max(peak, counted)
        real[CONTENT, f], real[PEAK, f], real[CONTENT_PEAK, f] = mass, most, peak
    for f in range(real.shape[1]):
        mass = real[CONTENT, f]
        real[SCALE, f] = _ONE / mass if mass > _ZERO else _ONE
