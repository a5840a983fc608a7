"""What a query's candidate keys amount to: counts and choices, without a matrix."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int

from headscribe.core.arrays import TokenIndex
from headscribe.relations.candidates import Candidates
from headscribe.relations.cells import Cells

NONE = -1
"""The choice of a query that has nothing to choose from."""


def counted(pieces: Iterable[Cells], length: int) -> Int[np.ndarray, " T"]:
    """Return the number of related keys of every query."""
    total = np.zeros(length, np.int64)
    for cells in pieces:
        total += np.bincount(cells.query, minlength=length)
    return total


def chosen(name: str, pieces: Iterable[Cells], length: int) -> TokenIndex:
    """Return the key that `nearest`, `first`, `last` or `highest` chooses, or -1.

    The nearest of two equally near keys is the earlier one, the highest of equals the first.
    Pieces hold whole rows.
    """
    choice = np.full(length, NONE)
    for cells in pieces:
        if not len(cells):
            continue
        query, key = cells.query, cells.key
        if name == "nearest":
            order = np.lexsort((key, np.abs(key - query), query))
        elif name == "highest":
            order = np.lexsort((key, -cells.value, query))
        else:
            order = np.arange(len(query))
        rows = query[order]
        if name == "last":
            pick = np.append(rows[1:] != rows[:-1], True)
        else:
            pick = np.insert(rows[1:] != rows[:-1], 0, True)
        choice[rows[pick]] = key[order][pick]
    return choice


def chosen_of_intervals(name: str, candidates: Candidates) -> TokenIndex:
    """Return what `chosen` does where every query's keys are an interval of one ascending list."""
    begin, end, order = candidates.begin, candidates.end, candidates.order
    some = end > begin
    if not some.any():
        return np.full(len(begin), NONE)
    top = len(order) - 1
    if name == "first":
        pick = begin
    elif name == "last":
        pick = end - 1
    else:
        query = np.arange(len(begin))
        after = np.clip(np.searchsorted(order, query), begin, np.maximum(end - 1, begin))
        before = np.maximum(after - 1, begin)
        near_after = np.abs(order[np.clip(after, 0, top)] - query)
        near_before = np.abs(order[np.clip(before, 0, top)] - query)
        pick = np.where(near_before <= near_after, before, after)
    return np.where(some, order[np.clip(pick, 0, top)], NONE)
