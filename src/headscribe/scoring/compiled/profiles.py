"""The profile of one head: estimated from, and scored on, the sampled rows of a batch."""

import numpy as np
from jaxtyping import Float, Int

from headscribe.scoring.compiled.arithmetic import compiled, log2
from headscribe.scoring.compiled.reading import CONTENT, SCALE

_LANES = 64
_SUMS = 6
BUFFER = (4 + _SUMS) * _LANES
_P, _Q, _CP, _CQ, _SUM = 0, _LANES, 2 * _LANES, 3 * _LANES, 4 * _LANES
_OVERLAP, _TERMS, _ROWS = _SUM, _SUM + _LANES, _SUM + 2 * _LANES
_C_OVERLAP, _C_TERMS, _C_ROWS = _SUM + 3 * _LANES, _SUM + 4 * _LANES, _SUM + 5 * _LANES
_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@compiled
def add_classes(
    values: Float[np.ndarray, " n"],
    start: Int[np.ndarray, " R"],
    text: Int[np.ndarray, " R"],
    cell: Int[np.ndarray, "R T"],
    lengths: Int[np.ndarray, " B"],
    fold: Int[np.ndarray, " B"],
    total: Float[np.ndarray, "F cells"],
) -> None:
    """Add the attention of the sampled rows by fold and class of cell.

    Args:
        values: one head's probabilities, flat.
        start: where each row begins in them.
        lengths: real tokens of each text; `fold`: its fold.
        total: float64.
    """
    for r in range(len(start)):
        f = fold[text[r]]
        for j in range(lengths[text[r]]):
            total[f, cell[r, j]] += values[start[r] + j]


@compiled
def score_profile(
    values: Float[np.ndarray, " n"],
    start: Int[np.ndarray, " R"],
    text: Int[np.ndarray, " R"],
    cell: Int[np.ndarray, "R T"],
    lengths: Int[np.ndarray, " B"],
    fold: Int[np.ndarray, " B"],
    keep: Float[np.ndarray, "B T"],
    query: Int[np.ndarray, " R"],
    slot: Int[np.ndarray, " R"],
    table: Float[np.ndarray, "F cells"],
    real: Float[np.ndarray, "readings B*T"],
    line: Float[np.ndarray, " T"],
    buffer: Float[np.ndarray, " n"],
    out: Float[np.ndarray, "slots 4"],
) -> None:
    """Overlap and distance of the profile on the sampled rows: raw, and by weight content.

    Args:
        values, start, text, cell, lengths, fold: as in `add_classes`.
        keep: 1 for keys that count in the content view, else 0.
        query: flat index of each row's query among the columns of `real`.
        slot: where each row's scores go.
        table: mean attention by class; the last class is that of hidden keys.
        real: what `read_rows` gives.
        line: room for a row; `buffer`: room for `BUFFER` numbers.
        out: overlap and distance, raw and by weight content.
    """
    hidden = table.shape[1] - 1
    for r in range(len(start)):
        b, f, s = text[r], query[r], slot[r]
        n, known = lengths[b], table[fold[b]]
        for j in range(n):
            line[j] = known[cell[r, j]]
        total, content = _ZERO, _ZERO
        for j in range(n):
            total += line[j]
        if total == _ZERO:
            for j in range(n):
                line[j] = _ZERO if cell[r, j] == hidden else _ONE
                total += line[j]
        for j in range(n):
            content += line[j] * keep[b, j]
        over = _ONE / total
        content_over = _ONE / content if content > _ZERO else _ZERO
        scale, weight = real[SCALE, f], real[CONTENT, f]
        for i in range(_SUM, BUFFER):
            buffer[i] = _ZERO
        for piece in range(0, n, _LANES):
            some = min(_LANES, n - piece)
            if some < _LANES:
                for i in range(_SUM):
                    buffer[i] = _ZERO
            for i in range(some):
                p, q, counts = values[start[r] + piece + i], line[piece + i], keep[b, piece + i]
                buffer[_P + i] = p
                buffer[_Q + i] = q * over
                buffer[_CP + i] = p * counts * scale
                buffer[_CQ + i] = q * counts * content_over
            for i in range(_LANES):
                p, q = buffer[_P + i], buffer[_Q + i]
                both = p + q
                buffer[_OVERLAP + i] += min(p, q)
                buffer[_ROWS + i] += both
                buffer[_TERMS + i] += p * log2(p) + q * log2(q) - both * log2(both)
            for i in range(_LANES):
                p, q = buffer[_CP + i], buffer[_CQ + i]
                both = p + q
                buffer[_C_OVERLAP + i] += min(p, q)
                buffer[_C_ROWS + i] += both
                buffer[_C_TERMS + i] += p * log2(p) + q * log2(q) - both * log2(both)
        for first in range(_SUM, BUFFER, _LANES):
            for i in range(1, _LANES):
                buffer[first] += buffer[first + i]
        square = _HALF * (buffer[_TERMS] + buffer[_ROWS])
        content_square = _HALF * (buffer[_C_TERMS] + buffer[_C_ROWS])
        out[s, 0] = buffer[_OVERLAP]
        out[s, 1] = np.sqrt(min(max(square, _ZERO), _ONE))
        out[s, 2] = buffer[_C_OVERLAP] * weight
        out[s, 3] = np.sqrt(min(max(content_square, _ZERO), _ONE)) * weight
