"""The second reading of a text: every cell of a head's matrix is somebody's, and nobody's twice."""

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from headscribe.scoring.compiled.arithmetic import compiled


@compiled
def give(
    attention: Float[np.ndarray, "T T"],
    queries: Int[np.ndarray, " R"],
    sinks: Bool[np.ndarray, " T"],
    place: Integer[np.ndarray, "R T"],
    bounds: Int[np.ndarray, "R 2"],
    seen: Integer[np.ndarray, "R C"],
    listed: Int[np.ndarray, " n"],
    start: Int[np.ndarray, " U+1"],
    row: Int[np.ndarray, " e"],
    key: Int[np.ndarray, " e"],
    profiles: Float[np.ndarray, "n C"],
    taken: Bool[np.ndarray, "R T"],
    parts: Float[np.ndarray, " K"],
    beyond: Float[np.ndarray, " n"],
    content: Float[np.ndarray, " n"],
) -> None:
    """Give the cells of one head on one text to its behaviours in turn, and to places.

    Args:
        attention: the head's.
        queries, sinks, place, bounds: as for `first.read_rows`; `seen` as for `first.add_expected`.
        listed: the head's behaviours, as numbers into `start`.
        start: where the cells of each behaviour begin; `row`, `key`: these, sorted.
        profiles: the profile of each of `listed`.
        taken: memory, all false before and after.
        parts: attention by part, see `budget.PARTS`: what is added to.
        beyond, content: of each of `listed` its excess and the content mass of its rows.
    """
    mass = np.zeros(len(queries))
    for r in range(len(queries)):
        line, q = attention[queries[r]], queries[r]
        for k in range(bounds[r, 0], bounds[r, 1] + 1):
            if sinks[k]:
                parts[0] += line[k]
                continue
            mass[r] += line[k]
            away = k - q
            part = 1 if away == 0 else 2 if away == -1 else 3 if away == 1 else 5
            if part == 5 and -4 <= away <= 4:
                part = 4
            parts[part] += line[k]
    for n in range(len(listed)):
        last, total = -1, 0.0
        for e in range(start[listed[n]], start[listed[n] + 1]):
            r, k = row[e], key[e]
            away = k - queries[r]
            if taken[r, k] or away == 0:
                continue
            if r != last:
                last, total = r, 0.0
                for c in range(seen.shape[1]):
                    total += seen[r, c] * profiles[n, c]
                content[n] += mass[r]
            taken[r, k] = True
            excess = attention[queries[r], k] - mass[r] * profiles[n, place[r, k]] / max(
                total, 1e-30
            )
            beyond[n] += excess
            part = 2 if away == -1 else 3 if away == 1 else 4 if -4 <= away <= 4 else 5
            # What position expects on a behaviour's keys belongs to the places they lie in.
            parts[part] -= excess
    for n in range(len(listed)):
        for e in range(start[listed[n]], start[listed[n] + 1]):
            taken[row[e], key[e]] = False


@compiled
def overlaps(
    attention: Float[np.ndarray, "T T"],
    queries: Int[np.ndarray, " R"],
    sinks: Bool[np.ndarray, " T"],
    place: Integer[np.ndarray, "R T"],
    bounds: Int[np.ndarray, "R 2"],
    profile: Float[np.ndarray, " C"],
    overlap: Float[np.ndarray, " 3"],
) -> int:
    """Overlap of each row with the mean of the text's others, and with the head's profile.

    Gives the key that all rows together read most, -1 where they are too few.

    Args:
        attention, queries, sinks, place, bounds: as for `give`.
        profile: the head's mean attention by place class.
        overlap: with the others, that beyond the profile's, the weight: what is added to.
    """
    length = len(sinks)
    column, count, mass = np.zeros(length), np.zeros(length), np.zeros(len(queries))
    wide = 0
    for r in range(len(queries)):
        line = attention[queries[r]]
        keys = 0
        for k in range(bounds[r, 0], bounds[r, 1] + 1):
            if not sinks[k]:
                mass[r] += line[k]
                keys += 1
        wide += keys >= 4
        each = 1 / max(mass[r], 1e-9)
        for k in range(bounds[r, 0], bounds[r, 1] + 1):
            if not sinks[k]:
                column[k] += line[k] * each
                count[k] += 1
    if wide < 4:
        return -1
    picked = int(column.argmax())
    for r in range(len(queries)):
        line = attention[queries[r]]
        each = 1 / max(mass[r], 1e-9)
        others, expected, keys = 0.0, 0.0, 0
        for k in range(bounds[r, 0], bounds[r, 1] + 1):
            if not sinks[k]:
                others += (column[k] - line[k] * each) / max(count[k] - 1, 1)
                expected += profile[place[r, k]]
                keys += 1
        if keys < 4:
            continue
        others, expected = 1 / max(others, 1e-9), 1 / max(expected, 1e-9)
        same, alone = 0.0, 0.0
        for k in range(bounds[r, 0], bounds[r, 1] + 1):
            if not sinks[k]:
                share = line[k] * each
                same += min(share, (column[k] - share) / max(count[k] - 1, 1) * others)
                alone += min(share, profile[place[r, k]] * expected)
        overlap[0] += same * mass[r]
        overlap[1] += (same - alone) * mass[r]
        overlap[2] += mass[r]
    return picked
