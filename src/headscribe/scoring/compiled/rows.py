"""Overlap, Jensen-Shannon distance, mass and hit of every predicted row, for one head.

Rows are taken `LANES` at a time, so that the arithmetic runs on whole vectors without a remainder;
long rows are cut into pieces of so many entries. With `h(x) = x log2 x`, and because `q` sums to 1,

    JSD^2 = 1/2 [P + 1 + sum_S h(q) + sum_S (h(p) - h(p + q))].

Everything of one row stands in one buffer: the compiler must see that nothing overlaps.
"""

import numpy as np
from jaxtyping import Float, Int

from headscribe.scoring.compiled.arithmetic import compiled, inlined, log2
from headscribe.scoring.compiled.reading import CONTENT as READ_CONTENT
from headscribe.scoring.compiled.reading import CONTENT_PEAK, PEAK, SCALE, TOTAL
from headscribe.scoring.compiled.reading import LAST as READ_LAST
from headscribe.scoring.compiled.reading import SINK as READ_SINK

Buffer = Float[np.ndarray, " n"]

LANES = 64
"""Rows, or entries of one long row, that are computed together."""

BUFFER = 16 * LANES

RAW, BOTH, CONTENT = 0, 1, 2
"""Which view a row of a table is for."""

RAW_OVERLAP, RAW_JSD, RAW_MASS, RAW_HIT = 0, 1, 2, 3
CONTENT_OVERLAP, CONTENT_JSD, CONTENT_MASS, CONTENT_HIT = 4, 5, 6, 7
RAW_SUM, CONTENT_WEIGHT, CONTENT_SUM, CONTENT_CHANCE, SINK, LAST = 8, 9, 10, 11, 12, 13
COLUMNS = 16
"""What a row adds to the sums of its texts: scores of both views, those of the content view by
weight; what the real row sums to; the weight, also by what it sums to and by chance; attention on
sinks and on the last token, if the row counts in the content view. Two are free."""

_P, _Q, _SCALE = 0, LANES, 2 * LANES
_MASS, _PEAK = 3 * LANES, 4 * LANES
_RAW_OVERLAP, _RAW_TERMS = 5 * LANES, 6 * LANES
_CONTENT_OVERLAP, _CONTENT_TERMS = 7 * LANES, 8 * LANES
_SUM, _RAW_PEAK, _WEIGHT, _CONTENT_SUM = 9 * LANES, 10 * LANES, 11 * LANES, 12 * LANES
_CONTENT_PEAK, _QLOGQ = 13 * LANES, 14 * LANES

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)


@inlined
def _clear(buffer: Buffer, first: int, last: int) -> None:
    for i in range(first, last):
        buffer[i] = _ZERO


@inlined
def _add_entries(buffer: Buffer, mode: int) -> None:
    """Add one entry of each lane; where nothing is predicted (padding) nothing is added."""
    for i in range(LANES):
        q = buffer[_Q + i]
        p = buffer[_P + i] if q > _ZERO else _ZERO
        buffer[_MASS + i] += p
        buffer[_PEAK + i] = max(buffer[_PEAK + i], p)
    if mode != CONTENT:
        for i in range(LANES):
            q = buffer[_Q + i]
            p = buffer[_P + i] if q > _ZERO else _ZERO
            both = p + q
            buffer[_RAW_OVERLAP + i] += min(p, q)
            buffer[_RAW_TERMS + i] += p * log2(p) - both * log2(both)
    if mode != RAW:
        for i in range(LANES):
            q = buffer[_Q + i]
            p = buffer[_P + i] * buffer[_SCALE + i] if q > _ZERO else _ZERO
            both = p + q
            buffer[_CONTENT_OVERLAP + i] += min(p, q)
            buffer[_CONTENT_TERMS + i] += p * log2(p) - both * log2(both)


@inlined
def _finish(buffer: Buffer) -> None:
    """Turn the sums of each lane into scores, in place."""
    for i in range(LANES):
        square = _HALF * (buffer[_SUM + i] + _ONE + buffer[_QLOGQ + i] + buffer[_RAW_TERMS + i])
        buffer[_RAW_TERMS + i] = np.sqrt(min(max(square, _ZERO), _ONE))
        rest = buffer[_CONTENT_SUM + i] + _ONE + buffer[_QLOGQ + i] + buffer[_CONTENT_TERMS + i]
        buffer[_CONTENT_TERMS + i] = np.sqrt(min(max(_HALF * rest, _ZERO), _ONE))
        buffer[_SCALE + i] *= buffer[_MASS + i]
        peak = buffer[_PEAK + i]
        buffer[_RAW_PEAK + i] = _ONE if peak >= buffer[_RAW_PEAK + i] else _ZERO
        buffer[_CONTENT_PEAK + i] = _ONE if peak >= buffer[_CONTENT_PEAK + i] else _ZERO


@inlined
def _load_row(
    buffer: Buffer, i: int, f: int, qlogq: np.float32, real: Float[np.ndarray, "readings B*T"]
) -> None:
    buffer[_SCALE + i] = real[SCALE, f]
    buffer[_SUM + i] = real[TOTAL, f]
    buffer[_RAW_PEAK + i] = real[PEAK, f]
    buffer[_WEIGHT + i] = real[READ_CONTENT, f]
    buffer[_CONTENT_SUM + i] = real[READ_CONTENT, f] * real[SCALE, f]
    buffer[_CONTENT_PEAK + i] = real[CONTENT_PEAK, f]
    buffer[_QLOGQ + i] = qlogq


@inlined
def _store(
    buffer: Buffer,
    i: int,
    mode: int,
    chance: np.float32,
    f: int,
    real: Float[np.ndarray, "readings B*T"],
    content: Float[np.ndarray, " B*T"],
    u: int,
    out: Float[np.ndarray, "U 16"],
) -> None:
    """What the row in lane `i` adds to its texts' sums: zeros in a view that it is not for."""
    raw = _ONE if mode != CONTENT else _ZERO
    weight = buffer[_WEIGHT + i] if mode != RAW else _ZERO
    counts = content[f] * raw
    # All is read before anything is written: the two may stand in each other's way.
    a0, a1 = buffer[_RAW_OVERLAP + i] * raw, buffer[_RAW_TERMS + i] * raw
    a2, a3 = buffer[_MASS + i] * raw, buffer[_RAW_PEAK + i] * raw
    b0, b1 = buffer[_CONTENT_OVERLAP + i] * weight, buffer[_CONTENT_TERMS + i] * weight
    b2, b3 = buffer[_SCALE + i] * weight, buffer[_CONTENT_PEAK + i] * weight
    c0, c1 = buffer[_SUM + i] * raw, buffer[_CONTENT_SUM + i] * weight
    c2, c3 = real[READ_SINK, f] * counts, real[READ_LAST, f] * counts
    out[u, RAW_OVERLAP], out[u, RAW_JSD], out[u, RAW_MASS], out[u, RAW_HIT] = a0, a1, a2, a3
    out[u, CONTENT_OVERLAP], out[u, CONTENT_JSD] = b0, b1
    out[u, CONTENT_MASS], out[u, CONTENT_HIT] = b2, b3
    out[u, RAW_SUM], out[u, CONTENT_WEIGHT], out[u, CONTENT_SUM] = c0, weight, c1
    out[u, CONTENT_CHANCE], out[u, SINK], out[u, LAST] = chance * weight, c2, c3


@compiled
def score_rows(
    values: Float[np.ndarray, " n"],
    groups: Int[np.ndarray, "G 5"],
    query: Int[np.ndarray, " U"],
    qlogq: Float[np.ndarray, " U"],
    size: Int[np.ndarray, " U"],
    entry: Int[np.ndarray, " U"],
    index: Int[np.ndarray, " E"],
    weight: Float[np.ndarray, " E"],
    chance: Float[np.ndarray, " U"],
    real: Float[np.ndarray, "readings B*T"],
    content: Float[np.ndarray, " B*T"],
    buffer: Buffer,
    out: Float[np.ndarray, "U 16"],
) -> None:
    """Score every row of a table.

    Args:
        values: one head's probabilities, flat, float32.
        groups: mode, padded size (0: long rows), first row, last row, first entry of each group.
        query: flat index of each row's query among the columns of `real`.
        qlogq: sum of `h(q)` of each row.
        size: entries of each row; `entry`: where a long row's entries begin.
        index: where in `values` each entry stands, uint32; `weight`: what is predicted there.
        chance: a row's support over the keys that count in the content view.
        real: what `read_rows` gives.
        content: 1 for queries that count in the content view, else 0.
        buffer: room for `BUFFER` numbers.
        out: what each row adds to its texts' sums, in the order of the names above.
    """
    for g in range(len(groups)):
        mode, padded, first, last, begin = groups[g]
        rows = last - first
        if padded == 0:
            for u in range(first, last):
                _clear(buffer, 0, BUFFER)
                f = query[u]
                for i in range(LANES):
                    buffer[_SCALE + i] = real[SCALE, f]
                start, count = entry[u], size[u]
                for piece in range(0, count, LANES):
                    some = min(LANES, count - piece)
                    if some < LANES:
                        _clear(buffer, _P, _SCALE)
                    for i in range(some):
                        buffer[_P + i] = values[index[start + piece + i]]
                        buffer[_Q + i] = weight[start + piece + i]
                    _add_entries(buffer, mode)
                for block in range(_MASS, _SUM, LANES):
                    total = buffer[block]
                    if block == _PEAK:
                        for i in range(1, LANES):
                            total = max(total, buffer[block + i])
                    else:
                        for i in range(1, LANES):
                            total += buffer[block + i]
                    buffer[block] = total
                _load_row(buffer, 0, f, qlogq[u], real)
                _finish(buffer)
                _store(buffer, 0, mode, chance[u], f, real, content, u, out)
            continue
        for tile in range(0, rows, LANES):
            some = min(LANES, rows - tile)
            _clear(buffer, 0, BUFFER)
            for i in range(some):
                u = first + tile + i
                _load_row(buffer, i, query[u], qlogq[u], real)
            for j in range(padded):
                start = begin + j * rows + tile
                for i in range(some):
                    buffer[_P + i] = values[index[start + i]]
                    buffer[_Q + i] = weight[start + i]
                _add_entries(buffer, mode)
            _finish(buffer)
            for i in range(some):
                u = first + tile + i
                _store(buffer, i, mode, chance[u], query[u], real, content, u, out)
