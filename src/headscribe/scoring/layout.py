"""Predicted rows of both views laid out for the compiled loops.

Every distinct row stands once, whichever patterns predict it and in whichever view; rows of the
same size stand together, entry by entry, so that the loops run over rows. Most rows are the same in
both views, and their probabilities are looked up once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Integer, UInt64

from headscribe.scoring.compiled.rows import BOTH, CONTENT, RAW
from headscribe.scoring.entries import Entries, EntryRows

SIZES = np.array([1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64])
"""What rows are padded to; longer ones are taken one at a time."""

CACHED_CELLS = 1 << 16
"""So many probabilities stay in a core's cache beside everything else."""


@dataclass(frozen=True)
class Lists:
    """Items of each (pattern, text): `item[offset[g]:offset[g + 1]]`, `g = pattern * B + text`.

    Attributes:
        offset: shape `(P * B + 1,)`.
        item: rows of a table, or sampled slots.
        sampled: how many of each list's items, the first ones, are sampled rows, `(P * B,)`.
    """

    offset: Int[np.ndarray, " lists_1"]
    item: Int[np.ndarray, " n"]
    sampled: Int[np.ndarray, " G"]


@dataclass(frozen=True)
class Layout:
    """Every distinct predicted row of a batch, `U` of them.

    Attributes:
        query: flat index `b * T + query` of each row, `(U,)`.
        qlogq: sum of `q log2 q` of each row, `(U,)`.
        size: entries, `(U,)`; `entry`: where a long row's entries begin.
        groups: view, padded size (0: long rows), first row, last + 1, first entry, `(G, 5)`.
        place: flat index `(b * T + query) * T + key` of each entry, unsigned; 0 in padding.
        weight: what is predicted there, 0 in padding.
        chance: entries over the keys that count in the content view, `(U,)`.
        lists: the rows of each (pattern, text), of either view.
        counts: of the sampled rows, and of all rows, of each pair: rows in the raw view, the sum
            over them of entries over keys that count, those that count in the content view.
        baselines: the row of each fixed baseline at each sampled slot, -1 for none, by view.
    """

    query: Int[np.ndarray, " U"]
    qlogq: Float[np.ndarray, " U"]
    size: Int[np.ndarray, " U"]
    entry: Int[np.ndarray, " U"]
    groups: Int[np.ndarray, "G 5"]
    place: Integer[np.ndarray, " E"]
    weight: Float[np.ndarray, " E"]
    chance: Float[np.ndarray, " U"]
    lists: Lists
    counts: Float[np.ndarray, "2 pairs 3"]
    baselines: tuple[Int[np.ndarray, "K slots"], Int[np.ndarray, "K slots"]]


def lay_out(
    entries: tuple[Entries, Entries],
    admissible: tuple[Int[np.ndarray, "B T"], Int[np.ndarray, "B T"]],
    content: Bool[np.ndarray, "B T"],
    slots: Int[np.ndarray, "B S"],
    fixed: Int[np.ndarray, " K"],
) -> Layout:
    """Lay out the rows of the raw and the content view.

    Args:
        entries: with weights that sum to 1 in every row, by view.
        admissible: keys that count and that each query sees, by view.
        content: the queries that count in the content view.
        slots: the sampled queries of each text, -1 for none.
        fixed: which patterns are the fixed baselines.
    """
    batch, width = content.shape
    rowses = [EntryRows.of(part, batch, width) for part in entries]
    number, pairs = len(rowses[0].flat), entries[0].patterns * batch
    hashes, mode = _modes(rowses)
    flat, size, pair = (
        np.concatenate([getattr(part, name) for part in rowses])
        for name in ("flat", "size", "pair")
    )
    start = np.concatenate([rowses[0].start, rowses[1].start + len(entries[0].key)])
    chosen, where, group = _distinct(hashes, mode, flat, size, pair, width)
    query, size, start = flat[chosen], size[chosen], start[chosen]
    key = np.concatenate([part.entries.key for part in rowses])
    weight = np.concatenate([part.entries.weight for part in rowses], dtype=np.float32)
    groups, entry, source, owner = _groups(group, start, size)
    place = query[owner]
    place *= width
    place += key[source]
    place[source < 0] = 0
    if batch * width**2 < 2**32:
        place = place.astype(np.uint32)
    predicted = weight[source]
    predicted[source < 0] = 0
    qlogq = np.concatenate([part.qlogq for part in rowses]).astype(np.float32)
    sampled = np.zeros(batch * width, bool)
    text, slot = np.nonzero(slots >= 0)
    sampled[text * width + slots[text, slot]] = True
    # Of a pair, the rows of either view, each once.
    item = np.unique(pair * len(query) + where)
    lists = _lists(item % len(query), item // len(query), sampled[query], pairs)
    raw = rowses[0]
    chance = raw.size / admissible[0].ravel()[raw.flat]
    of_row = np.stack([np.ones_like(chance), chance, content.ravel()[raw.flat]])
    counts = [
        np.stack([np.bincount(raw.pair, values * keep, pairs) for values in of_row], axis=1)
        for keep in (sampled[raw.flat], np.ones(len(chance)))
    ]
    return Layout(
        query,
        qlogq[chosen],
        size,
        entry,
        groups,
        place,
        predicted,
        (size / admissible[1].ravel()[query]).astype(np.float32),
        lists,
        np.stack(counts),
        (
            rowses[0].at_slots(where[:number], slots, fixed, width),
            rowses[1].at_slots(where[number:], slots, fixed, width),
        ),
    )


def _modes(rowses: Sequence[EntryRows]) -> tuple[UInt64[np.ndarray, " R"], Int[np.ndarray, " R"]]:
    """What tells rows apart, and the views that each is for.

    A row that a pattern predicts in both views is `BOTH` in both; where its views differ, one row
    is `RAW` and one `CONTENT`.
    """
    raw, content = (part.hashes for part in rowses)
    place = np.searchsorted(rowses[0].row, rowses[1].row)
    place = np.minimum(place, max(len(raw) - 1, 0))
    same = np.zeros(len(content), bool)
    if len(raw):
        same = (rowses[0].row[place] == rowses[1].row) & (raw[place] == content)
    mode = np.concatenate([np.full(len(raw), RAW), np.full(len(content), CONTENT)])
    mode[place[same]] = BOTH
    mode[len(raw) :][same] = BOTH
    salt = np.array([0, 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03], np.uint64)
    return np.concatenate([raw, content]) ^ salt[mode], mode


def _distinct(
    hashes: UInt64[np.ndarray, " R"],
    mode: Int[np.ndarray, " R"],
    flat: Int[np.ndarray, " R"],
    size: Int[np.ndarray, " R"],
    pair: Int[np.ndarray, " R"],
    width: int,
) -> tuple[Int[np.ndarray, " U"], Int[np.ndarray, " R"], Int[np.ndarray, " U"]]:
    """The distinct rows in the order of a table, which of them each row is, and their groups.

    Within a group, rows that are summed together stand together, and queries whose real rows fit
    into the cache.
    """
    _, chosen, where = np.unique(hashes, return_index=True, return_inverse=True)
    mode = mode[chosen]
    group = mode * (len(SIZES) + 1) + np.searchsorted(SIZES, size[chosen])
    block = flat[chosen] // max(1, CACHED_CELLS // width)
    order = np.lexsort((flat[chosen], pair[chosen], block, group))
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order))
    return chosen[order], position[where], group[order]


def _groups(
    group: Int[np.ndarray, " U"], start: Int[np.ndarray, " U"], size: Int[np.ndarray, " U"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Groups of rows, where long rows begin, and of each entry its source (-1: none) and row."""
    groups, sources, owners, begin = [], [], [], 0
    entry = np.zeros(len(group), np.int64)
    for g in np.unique(group):
        first, last = (int(i) for i in np.searchsorted(group, [g, g + 1]))
        mode, kind = divmod(int(g), len(SIZES) + 1)
        part = slice(first, last)
        padded = int(SIZES[kind]) if kind < len(SIZES) else 0
        groups.append((mode, padded, first, last, begin))
        if padded:
            step = np.arange(padded)[:, None]
            sources.append(np.where(step < size[part], start[part] + step, -1).ravel())
            owners.append(np.tile(np.arange(first, last), padded))
        else:
            before = np.cumsum(size[part]) - size[part]
            entry[part] = begin + before
            step = np.arange(int(size[part].sum())) - np.repeat(before, size[part])
            sources.append(np.repeat(start[part], size[part]) + step)
            owners.append(np.repeat(np.arange(first, last), size[part]))
        begin += len(sources[-1])
    if not groups:
        nothing = np.zeros(0, np.int64)
        return np.zeros((0, 5), np.int64), entry, nothing, nothing
    return np.array(groups), entry, np.concatenate(sources), np.concatenate(owners)


def _lists(
    row: Int[np.ndarray, " R"],
    pair: Int[np.ndarray, " R"],
    is_sampled: Bool[np.ndarray, " U"],
    pairs: int,
) -> Lists:
    """Rows by (pattern, text), sampled ones first."""
    sampled = is_sampled[row]
    order = np.arange(len(row)) if sampled.all() else np.lexsort((~sampled, pair))
    offset = np.concatenate([[0], np.cumsum(np.bincount(pair, minlength=pairs))])
    return Lists(offset, row[order], np.bincount(pair, sampled, minlength=pairs).astype(np.int64))


def slot_lists(covered: Bool[np.ndarray, "B P S"]) -> Lists:
    """The sampled slots, `b * S + s`, that each (pattern, text) covers."""
    batch, _, slots = covered.shape
    pattern, text, slot = np.nonzero(covered.transpose(1, 0, 2))
    number = np.bincount(pattern * batch + text, minlength=covered.shape[1] * batch)
    return Lists(np.concatenate([[0], np.cumsum(number)]), text * slots + slot, number)
