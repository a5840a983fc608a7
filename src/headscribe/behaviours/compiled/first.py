"""The first reading of a text: how much each behaviour's keys get, and what position expects."""

import numpy as np
from jaxtyping import Bool, Float, Int, Integer

from headscribe.scoring.compiled.arithmetic import compiled


@compiled
def read_rows(
    attention: Float[np.ndarray, "H T T"],
    queries: Int[np.ndarray, " R"],
    sinks: Bool[np.ndarray, " T"],
    place: Integer[np.ndarray, "R T"],
    bounds: Int[np.ndarray, "R 2"],
    near: Int[np.ndarray, " n"],
    row: Int[np.ndarray, " m"],
    entry: Int[np.ndarray, " m+1"],
    key: Int[np.ndarray, " e"],
    by_place: Float[np.ndarray, "R H C"],
    mass: Float[np.ndarray, "R H"],
    on_keys: Float[np.ndarray, "H m"],
    hits: Integer[np.ndarray, "H m"],
    shares: Float[np.ndarray, "H 8"],
) -> None:
    """Sum the rows of a text by place and on related keys, for all heads.

    Args:
        attention: of one text.
        queries: the rows that are read; `bounds`: the first and the last key that each sees.
        sinks: keys without content.
        place: the place class of every key, -1 for sinks and what is hidden.
        near: the classes of the four tokens before and after.
        row: the rows of all relations; `entry`: where the keys of each begin in `key`.
        by_place: attention by place class; `mass`: on content.
        on_keys: attention on a related row's keys; `hits`: 1 where the strongest is one of them.
        shares: in each of `places.PLACES`, summed over the rows.
    """
    classes = by_place.shape[2]
    sums = np.zeros(classes)
    strongest = np.zeros(len(queries), np.int64)
    for h in range(len(attention)):
        for r in range(len(queries)):
            q = queries[r]
            line = attention[h, q]
            begin, end = bounds[r, 0], bounds[r, 1] + 1
            sums[:] = 0
            sunk, content, most, count, best = 0.0, 0.0, np.float32(-1), 0, 0
            for k in range(begin, end):
                if sinks[k]:
                    sunk += line[k]
                else:
                    sums[place[r, k]] += line[k]
                    content += line[k]
                    count += 1
                    if line[k] > most:
                        most, best = line[k], k
            strongest[r] = best
            mass[r, h] = content
            by_place[r, h] = sums
            if q - 1 >= begin and not sinks[q - 1]:
                shares[h, 0] += line[q - 1]
            if q + 1 < end and not sinks[q + 1]:
                shares[h, 1] += line[q + 1]
            shares[h, 2] += line[q]
            opening = line[0] if sinks[0] and begin == 0 else np.float32(0)
            shares[h, 3] += opening
            shares[h, 4] += sunk - opening
            shares[h, 5] += sunk
            for c in near:
                shares[h, 6] += sums[c]
            if count >= 4:  # a row that sees a single key is even whatever the head does
                even = content / count
                for k in range(begin, end):
                    if not sinks[k]:
                        shares[h, 7] += min(np.float64(line[k]), even)
        for i in range(len(row)):
            r = row[i]
            line = attention[h, queries[r]]
            total, hit = 0.0, 0
            for e in range(entry[i], entry[i + 1]):
                total += line[key[e]]
                if key[e] == strongest[r]:
                    hit = 1
            on_keys[h, i] = total
            hits[h, i] = hit


@compiled
def add_rows(
    pair: Int[np.ndarray, " B"],
    test: Int[np.ndarray, " B"],
    tests: Bool[np.ndarray, "K R"],
    pair_start: Int[np.ndarray, " P+1"],
    row: Int[np.ndarray, " m"],
    mass: Float[np.ndarray, "R H"],
    on_keys: Float[np.ndarray, "H m"],
    hits: Integer[np.ndarray, "H m"],
    total_on_keys: Float[np.ndarray, "H B"],
    total_mass: Float[np.ndarray, "H B"],
    total_hits: Float[np.ndarray, "H B"],
) -> None:
    """Sum over the rows where each behaviour applies: its pairs' rows that meet its test."""
    for h in range(len(on_keys)):
        for b in range(len(pair)):
            meets = tests[test[b]]
            keys, content, hit = 0.0, 0.0, 0.0
            for i in range(pair_start[pair[b]], pair_start[pair[b] + 1]):
                if meets[row[i]]:
                    keys += on_keys[h, i]
                    content += mass[row[i], h]
                    hit += hits[h, i]
            total_on_keys[h, b] += keys
            total_mass[h, b] += content
            total_hits[h, b] += hit


@compiled
def gate_rows(
    pair: Int[np.ndarray, " B"],
    test: Int[np.ndarray, " B"],
    tests: Bool[np.ndarray, "K R"],
    pair_start: Int[np.ndarray, " P+1"],
    row: Int[np.ndarray, " m"],
    gates: Float[np.ndarray, "B R"],
) -> None:
    """Mark the rows where each behaviour applies."""
    for b in range(len(pair)):
        for i in range(pair_start[pair[b]], pair_start[pair[b] + 1]):
            if tests[test[b], row[i]]:
                gates[b, row[i]] = 1


@compiled
def add_expected(
    own: Float[np.ndarray, "B C H"],
    pair: Int[np.ndarray, " B"],
    test: Int[np.ndarray, " B"],
    tests: Bool[np.ndarray, "K R"],
    pair_start: Int[np.ndarray, " P+1"],
    row: Int[np.ndarray, " m"],
    entry: Int[np.ndarray, " m+1"],
    place: Integer[np.ndarray, " e"],
    count: Integer[np.ndarray, " e"],
    seen: Integer[np.ndarray, "R C"],
    mass: Float[np.ndarray, "R H"],
    expected: Float[np.ndarray, "B H"],
) -> None:
    """What profiles put on the keys of each behaviour, over the rows of a text where it applies.

    Args:
        own: every behaviour's profile.
        pair, test, tests, pair_start, row: as for `add_rows`.
        entry: where a related row's place classes begin; `place`: these; `count`: keys in them.
        seen: visible content keys of every row by place class.
        mass: the rows' content mass.
        expected: what is added to.
    """
    classes, heads, least = own.shape[1], own.shape[2], own.dtype.type(1e-30)
    total, mine = np.zeros(heads, own.dtype), np.zeros(heads, own.dtype)
    for b in range(len(pair)):
        meets, profile = tests[test[b]], own[b]
        for i in range(pair_start[pair[b]], pair_start[pair[b] + 1]):
            r = row[i]
            if not meets[r]:
                continue
            total[:] = 0
            mine[:] = 0
            for c in range(classes):
                if seen[r, c]:
                    times = own.dtype.type(seen[r, c])
                    for h in range(heads):
                        total[h] += times * profile[c, h]
            for e in range(entry[i], entry[i + 1]):
                times = own.dtype.type(count[e])
                for h in range(heads):
                    mine[h] += times * profile[place[e], h]
            for h in range(heads):
                expected[b, h] += mass[r, h] * mine[h] / max(total[h], least)
