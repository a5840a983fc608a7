"""Terms grown from the data: literal sets of token attributes and distances.

A relation such as `key.lower in {"and", "or"} and distance in {-2, -1}` is one term whose literal
sets are chosen on the texts that a formula is fitted to. For the residual `e = p - a` of a head's
current formula, the term that holds on the cells `U` has the score `(sum_U e)^2 / sum_U p (1 - p)`
up to what it shares with the terms already there. Both sums are additive over the values of an
attribute, so they are tabled once for every pair of values (`tables`), and the best sets are found
by turns: with one set held, the values of the other are sorted by `sum e / sum p (1 - p)`, of which
the best set is a prefix (Fisher 1958; Breiman et al. 1984, section 4.2). Distances are taken as a
range of neighbours: a reader makes nothing of -12, -7 and 3.
"""

import json
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from headscribe.fitting.features import Sample
from headscribe.fitting.sorting import Table, axes

MAX_MEMBERS = 20
"""Members of a literal set, at most."""

_ROUNDS = 4
_SHRINK = 1e-3
_ENOUGH = 0.97
_SIMPLER = 0.95


@dataclass(frozen=True)
class Compound:
    """A term: a gate of the pool, literal sets of attributes, or both.

    Attributes:
        gate: a relation of the pool; "" for none.
        sets: expressions (`key.lower`, `distance`) with the values that each may take, sorted.
    """

    gate: str
    sets: tuple[tuple[str, tuple[str | int, ...]], ...] = ()

    @property
    def source(self) -> str:
        """The term in the relation language."""
        parts = [self.gate] if self.gate else []
        for name, values in self.sets:
            written = [json.dumps(value, ensure_ascii=False) for value in values]
            one = len(written) == 1
            parts.append(
                f"{name} == {written[0]}" if one else f"{name} in {{{', '.join(written)}}}"
            )
        return " and ".join(parts)

    @property
    def members(self) -> int:
        """Members of all its sets."""
        return sum(len(values) for _, values in self.sets)

    def column(self, sample: Sample) -> Float[np.ndarray, " N"]:
        """Its values over the cells of a sample, float32, without evaluating the source anew."""
        if self.gate:
            k = sample.position[self.gate]
            full = sample.features.column(k, len(sample.key_token))
        else:
            full = np.ones(len(sample.key_token), np.float32)
        for name, values in self.sets:
            full = full * _holds(sample, name, frozenset(values))
        return full


@dataclass(frozen=True)
class Grown:
    """A term grown from a table, its values over all cells, and its score."""

    term: Compound
    column: Float[np.ndarray, " N"]
    score: float


def _holds(sample: Sample, name: str, values: frozenset[str | int]) -> Bool[np.ndarray, " N"]:
    if name == "distance":
        offsets = np.fromiter((int(value) for value in values), np.int64)
        held: Bool[np.ndarray, " N"] = np.isin(sample.distance, offsets)
        return held
    side, _, attribute = name.partition(".")
    column = sample.tokens[attribute]
    member = np.fromiter((value in values for value in column), bool, len(column))
    cells: Bool[np.ndarray, " N"] = (
        member[sample.key_token] if side == "key" else member[sample.row_token][sample.row]
    )
    return cells


def tables(sample: Sample, gates: tuple[str, ...]) -> tuple[Table, ...]:
    """The tables of a sample: pairs of axes over all cells, single axes over gates of the pool."""
    by_name = axes(sample)
    tokens = list(sample.tokens)
    pairs = [(f"{side}.{name}", "distance") for name in tokens for side in ("key", "query")]
    pairs += [(f"query.{a}", f"key.{b}") for a in tokens for b in tokens if a != b or a != "lower"]
    found = []
    for one, two in pairs:
        first, second = by_name[one], by_name[two]
        code = first.code * (len(second.values) + 1) + second.code
        found.append(Table("", None, first, second, code))
    for gate in gates:
        if gate not in sample.position:
            continue
        k = sample.position[gate]
        span = slice(*sample.features.ptr[k : k + 2])
        cells = sample.features.cell[span].astype(np.int64)
        if not len(cells):
            continue
        for axis in by_name.values():
            found.append(Table(gate, cells, axis, None, axis.code[cells]))
    return tuple(found)


def best_set(
    score: Float[np.ndarray, " a"], weight: Float[np.ndarray, " a"], floor: float
) -> tuple[Bool[np.ndarray, " a"], float]:
    """The values whose union scores best; at most `MAX_MEMBERS`, never the rest."""
    best, chosen = 0.0, np.zeros(len(score), bool)
    for sign in (1.0, -1.0):
        signed = sign * score[:-1]
        ratio = signed / (weight[:-1] + floor)
        order = np.argsort(-ratio, kind="stable")
        order = order[signed[order] > 0][:MAX_MEMBERS]
        if not len(order):
            continue
        value = np.cumsum(signed[order]) ** 2 / (np.cumsum(weight[order]) + floor)
        # A few members that add little are not worth their ink.
        stop = int(np.argmax(value >= _ENOUGH * value.max()))
        if value[stop] > best:
            best = float(value[stop])
            chosen = np.zeros(len(score), bool)
            chosen[order[: stop + 1]] = True
    return chosen, best


def best_range(
    score: Float[np.ndarray, " a"], weight: Float[np.ndarray, " a"], floor: float
) -> tuple[Bool[np.ndarray, " a"], float]:
    """The run of neighbouring values that scores best; never the rest."""
    total, mass = (np.concatenate([[0.0], np.cumsum(one[:-1])]) for one in (score, weight))
    value = (total[None, :] - total[:, None]) ** 2 / (mass[None, :] - mass[:, None] + floor)
    value = np.where(np.tri(len(total), k=MAX_MEMBERS, dtype=bool), np.triu(value, 1), 0)
    start, end = np.unravel_index(int(np.argmax(value)), value.shape)
    chosen = np.zeros(len(score), bool)
    chosen[start:end] = value[start, end] > 0
    return chosen, float(value[start, end])


def _grow_one(
    table: Table, score: Float[np.ndarray, "a b"], weight: Float[np.ndarray, "a b"], floor: float
) -> list[tuple[float, Bool[np.ndarray, " a"], Bool[np.ndarray, " b"]]]:
    """The best terms of one table, one from each start."""
    a, b = table.shape
    every = np.ones(b, bool)
    if table.second is None:
        best = best_range if table.first.name == "distance" else best_set
        first, value = best(score[:, 0], weight[:, 0], floor)
        return [(value, first, every)] if value > 0 else []
    starts = [every]
    if table.second.name == "distance":
        offsets = np.array([*table.second.values, 0])
        starts += [offsets < 0, offsets > 0]
        starts = [start for start in starts if start.any()]
    found = []
    for second in starts:
        first, value = np.zeros(a, bool), 0.0
        for turn in range(_ROUNDS):
            first, value = best_set(score[:, second].sum(1), weight[:, second].sum(1), floor)
            if not first.any():
                break
            if turn == 0 and second.all():
                found.append((value, first, second))
            best = best_range if table.second.name == "distance" else best_set
            changed, value = best(score[first].sum(0), weight[first].sum(0), floor)
            if not changed.any() or (changed == second).all():
                break
            second = changed
        if first.any() and second.any():
            found.append(_simplest(score, weight, floor, first, second))
    return found


def _simplest(
    score: Float[np.ndarray, "a b"],
    weight: Float[np.ndarray, "a b"],
    floor: float,
    first: Bool[np.ndarray, " a"],
    second: Bool[np.ndarray, " b"],
) -> tuple[float, Bool[np.ndarray, " a"], Bool[np.ndarray, " b"]]:
    """Let go of a set that adds next to nothing to the other."""

    def value(one: Bool[np.ndarray, " a"], two: Bool[np.ndarray, " b"]) -> float:
        cells = np.ix_(one, two)
        return float(score[cells].sum() ** 2 / (weight[cells].sum() + floor))

    both = value(first, second)
    for one, two in ((np.ones_like(first), second), (first, np.ones_like(second))):
        if value(one, two) >= _SIMPLER * both:
            return value(one, two), one, two
    return both, first, second


def _compound(
    table: Table, first: Bool[np.ndarray, " a"], second: Bool[np.ndarray, " b"]
) -> Compound:
    sets = []
    for axis, held in ((table.first, first), (table.second, second)):
        if axis is None or held.all():
            continue
        values = [axis.values[i] for i in np.flatnonzero(held)]
        values.sort(key=lambda value: (isinstance(value, str), value))
        sets.append((axis.name, tuple(values)))
    return Compound(table.gate, tuple(sets))


def grow(
    found: tuple[Table, ...],
    predicted: Float[np.ndarray, " N"],
    real: Float[np.ndarray, " N"],
    rows: int,
    limit: int,
) -> list[Grown]:
    """Grow the `limit` best terms for a head's residual."""
    residual = predicted - real
    weight = predicted * (1 - predicted)
    floor = _SHRINK * rows
    candidates = []
    for index, table in enumerate(found):
        for value, first, second in _grow_one(
            table, table.sums(residual), table.sums(weight), floor
        ):
            candidates.append((value, index, first, second))
    candidates.sort(key=lambda c: (-c[0], c[1]))
    return [
        Grown(_compound(found[i], first, second), found[i].column(first, second, len(real)), value)
        for value, i, first, second in candidates[:limit]
    ]
