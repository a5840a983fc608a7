"""Terms grown from the data: literal sets of token attributes and distances, plain or graded.

A relation such as `key.lower in {"and", "or"} and distance in {-2, -1}` is one term whose literal
sets are chosen on the texts that a formula is fitted to. For the residual `e = p - a` of a head's
current formula, the term that holds on the cells `U` has the score `(sum_U e)^2 / sum_U p (1 - p)`
up to what it shares with the terms already there. Both sums are additive over the values of an
attribute, so they are tabled once for every pair of values, and the best sets are found by turns:
with one set held, the values of the other are sorted by `sum e / sum p (1 - p)`, of which the best
set is a prefix (Fisher 1958; Breiman et al. 1984, section 4.2). Distances are taken as a range of
neighbours: a reader makes nothing of -12, -7 and 3.

A graded term adds to the logits in whole steps: `(key.lower in A) + (key.lower in B) - (key.lower
in C)` is one term of three comparisons. With disjoint `A` and `B` it marks up to 40 tokens, with
`B` inside `A` it marks some of them twice, and `C` counts against it; a gate or a set of another
attribute may multiply it. With the steps `l` its score is `(sum_U l e)^2 / sum_U l^2 p (1 - p)`,
and the best steps are found among prefixes of the same order.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from headscribe.fitting.features import Sample
from headscribe.fitting.pool import MAX_ATOMS
from headscribe.relations import parse

MAX_MEMBERS = 20
"""Members of a literal set, at most."""

Steps = Int[np.ndarray, " a"]
"""What each value of an axis counts, -1, 0, 1 or 2; the rest of the values, 0."""

Sums = Float[np.ndarray, " a"]
Choice = tuple[Bool[np.ndarray, " a"], float]
"""Chosen values of an axis, and what they score."""

_SET_VALUES, _STEP_VALUES = 120, 160  # values of an attribute that are told apart, at most
_REACH = 12
_ROUNDS = 4
_SHRINK = 1e-3
_ENOUGH = 0.97
_SIMPLER = 0.95
_PER_ATOM = 0.02  # what a longer graded term has to score more, as a share

_counts = np.arange(1, 2 * MAX_MEMBERS + 1)
_twice, _marked = (grid.ravel() for grid in np.meshgrid(np.arange(MAX_MEMBERS + 1), _counts))
_fits = (_twice <= _marked) & (_twice + _marked <= 2 * MAX_MEMBERS)
_TWICE, _MARKED = _twice[_fits], _marked[_fits]
"""What two sets can say: so many values marked, so many of them twice."""


@dataclass(frozen=True)
class Compound:
    """A term: a gate of the pool, literal sets of attributes, or both.

    Attributes:
        gate: a relation, mostly of the pool; "" for none.
        sets: expressions (`key.lower`, `distance`) with the values that each may take, sorted.
    """

    gate: str
    sets: tuple[tuple[str, tuple[str | int, ...]], ...] = ()

    @property
    def source(self) -> str:
        """The term in the relation language."""
        gate = [self.gate] if self.gate else []
        return " and ".join([*gate, *(condition(name, values) for name, values in self.sets)])

    @property
    def members(self) -> int:
        """Members of all its sets."""
        return sum(len(values) for _, values in self.sets)

    def column(self, sample: Sample) -> Float[np.ndarray, " N"]:
        """Its values over the cells of a sample, float32, without evaluating the source anew."""
        full = np.ones(len(sample.key_token), np.float32)
        if self.gate:
            full = sample.column(self.gate)
        for name, values in self.sets:
            full = full * _holds(sample, name, frozenset(values))
        return full


def condition(name: str, values: Sequence[str | int]) -> str:
    """That an attribute has one of some values."""
    written = [json.dumps(value, ensure_ascii=False) for value in sorted(values)]
    return f"{name} == {written[0]}" if len(written) == 1 else f"{name} in {{{', '.join(written)}}}"


@dataclass(frozen=True)
class Grown:
    """A grown term, its values over all cells, and its score; a graded term is a gate alone."""

    term: Compound
    column: Float[np.ndarray, " N"]
    score: float

    @cached_property
    def atoms(self) -> int:
        """Its comparisons."""
        return parse(self.term.source).atoms


def _holds(sample: Sample, name: str, values: frozenset[str | int]) -> Bool[np.ndarray, " N"]:
    if name == "distance":
        return np.isin(sample.distance, [int(value) for value in values])
    side, _, attribute = name.partition(".")
    column = sample.tokens[attribute]
    member = np.fromiter((value in values for value in column), bool, len(column))
    return member[sample.key_token] if side == "key" else member[sample.row_token][sample.row]


def best_set(score: Sums, weight: Sums, floor: float) -> Choice:
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


def best_range(score: Sums, weight: Sums, floor: float) -> Choice:
    """The run of neighbouring values that scores best; never the rest."""
    total, mass = (np.concatenate([[0.0], np.cumsum(one[:-1])]) for one in (score, weight))
    value = (total[None, :] - total[:, None]) ** 2 / (mass[None, :] - mass[:, None] + floor)
    value = np.where(np.tri(len(total), k=MAX_MEMBERS, dtype=bool), np.triu(value, 1), 0)
    start, end = np.unravel_index(int(np.argmax(value)), value.shape)
    chosen = np.zeros(len(score), bool)
    chosen[start:end] = value[start, end] > 0
    return chosen, float(value[start, end])


@dataclass(frozen=True)
class Grading:
    """Steps for the values of an axis, what they score, and the literal sets that write them."""

    score: float
    steps: Steps
    sets: int


def gradings(score: Sums, weight: Sums, floor: float, sets: int) -> dict[int, Grading]:
    """The best steps for each number of sets up to `sets`; the rest of the values has none."""
    found: dict[int, Grading] = {}
    for sign in (1.0, -1.0):
        pull, mass = sign * score[:-1], weight[:-1]
        order = np.argsort(-pull / (mass + floor), kind="stable")
        up, down = order[pull[order] > 0], order[::-1][pull[order[::-1]] < 0][:MAX_MEMBERS]
        if not len(up):
            continue
        gain, cost = (np.concatenate([[0.0], np.cumsum(one[up])]) for one in (pull, mass))
        less, worth = -np.cumsum(pull[down]), np.cumsum(mass[down])
        for marks, subtracts in ((1, 0), (1, 1), (2, 0), (2, 1)):
            if marks + subtracts > sets or (subtracts and not len(down)):
                continue
            if marks == 1:
                marked = np.arange(1, min(MAX_MEMBERS, len(up)) + 1)
                twice = np.zeros_like(marked)
            else:
                twice, marked = (one[len(up) >= _MARKED] for one in (_TWICE, _MARKED))
            pulled = (gain[marked] + gain[twice])[:, None]
            spent = (cost[marked] + 3 * cost[twice])[:, None]
            if subtracts:
                pulled, spent = pulled + less, spent + worth
            value = pulled**2 / (spent + floor)
            best = np.unravel_index(int(np.argmax(value)), value.shape)
            if marks + subtracts in found and found[marks + subtracts].score >= value[best]:
                continue
            steps = np.zeros(len(score), np.int8)
            steps[up[: marked[best[0]]]] = 1
            steps[up[: twice[best[0]]]] = 2
            if subtracts:
                steps[down[: best[1] + 1]] = -1
            found[marks + subtracts] = Grading(float(value[best]), steps, marks + subtracts)
    return found


@dataclass(frozen=True)
class Axis:
    """A way to sort cells by the value of one attribute of one token, or by distance.

    Attributes:
        name: the expression, `key.lower`.
        values: its values; the last code, `len(values)`, stands for all others.
        code: the code of each cell, shape `(N,)`.
    """

    name: str
    values: tuple[str | int, ...]
    code: Int[np.ndarray, " N"]

    def best(self, score: Sums, weight: Sums, floor: float) -> Choice:
        """The best range of distances, or the best set of values of an attribute."""
        return (best_range if self.name == "distance" else best_set)(score, weight, floor)

    def of(self, held: Shaped[np.ndarray, " a"]) -> tuple[str | int, ...]:
        """The marked values, sorted."""
        return tuple(sorted(self.values[i] for i in np.flatnonzero(held[:-1])))


def axes(sample: Sample, most: int = _SET_VALUES) -> dict[str, Axis]:
    """The axes of a sample; only values that stand in several groups are told apart.

    Of an attribute at most so many values are told apart, the most frequent.
    """
    groups = sorted(set(sample.groups))
    number = {group: i for i, group in enumerate(groups)}
    least = max(3, len(groups) // 40)
    text = np.array([number[group] for group in sample.groups])[sample.row_text]
    token_text = np.full(len(sample.kinds), -1)
    token_text[sample.key_token] = text[sample.row]
    axises: dict[str, Axis] = {}
    for name, column in sample.tokens.items():
        seen: dict[str | int, set[int]] = {}
        for value, where in zip(column, token_text, strict=True):
            if value is not None and where >= 0:
                seen.setdefault(value, set()).add(int(where))
        common = sorted(seen, key=lambda value: (-len(seen[value]), str(value)))
        values = tuple(v for v in common if len(seen[v]) >= least)[:most]
        index = {value: i for i, value in enumerate(values)}
        code = np.array([index.get(value, len(values)) for value in column])
        axises[f"key.{name}"] = Axis(f"key.{name}", values, code[sample.key_token])
        axises[f"query.{name}"] = Axis(f"query.{name}", values, code[sample.row_token][sample.row])
    distance = sample.distance
    low, high = max(-_REACH, int(distance.min())), min(_REACH, int(distance.max()))
    near = (distance >= low) & (distance <= high)
    code = np.where(near, distance - low, high - low + 1)
    axises["distance"] = Axis("distance", tuple(range(low, high + 1)), code)
    return axises


@dataclass(frozen=True)
class Table:
    """The cells of a gate (all cells without one), sorted by the values of one or two axes.

    Attributes:
        gate: a relation; "" for none.
        cells: the cells where it is not 0; None for all.
        code: the place of each of the cells in a matrix of both axes' values, flat.
        value: the gate's value at each of the cells; None where it is 1.
        atoms: comparisons of a gate that is written as a condition.
    """

    gate: str
    cells: Int[np.ndarray, " n"] | None
    first: Axis
    second: Axis | None
    code: Int[np.ndarray, " n"]
    value: Float[np.ndarray, " n"] | None = None
    atoms: int = 0

    @classmethod
    def of(cls, sample: Sample, gate: str, first: Axis, second: Axis | None) -> "Table | None":
        """The table of some axes, None where the pool lacks the gate or it holds nowhere."""
        code = first.code
        if second is not None:
            code = code * (len(second.values) + 1) + second.code
        if not gate:
            return cls("", None, first, second, code)
        k = sample.position.get(gate)
        if k is None or sample.features.ptr[k] == sample.features.ptr[k + 1]:
            return None
        span, relation = slice(*sample.features.ptr[k : k + 2]), parse(gate)
        cells = sample.features.cell[span].astype(np.int64)
        if relation.is_boolean:
            return cls(gate, cells, first, second, code[cells], None, relation.atoms)
        return cls(gate, cells, first, second, code[cells], sample.features.value[span])

    @property
    def shape(self) -> tuple[int, int]:
        """Values of both axes, the rest of each included."""
        return len(self.first.values) + 1, 1 if self.second is None else len(self.second.values) + 1

    def sums(self, weight: Float[np.ndarray, " N"], power: int = 1) -> Float[np.ndarray, "a b"]:
        """Add `weight`, times a power of the gate, over the cells of each pair of values."""
        if self.cells is not None:
            weight = weight[self.cells]
        if self.value is not None:
            weight = weight * self.value**power
        a, b = self.shape
        # Of no cells at all NumPy gives integers.
        return np.bincount(self.code, weight, a * b).reshape(a, b).astype(np.float64, copy=False)

    def column(
        self, first: Shaped[np.ndarray, " a"], second: Shaped[np.ndarray, " b"], cells: int
    ) -> Float[np.ndarray, " N"]:
        """The term with these values, or steps of values, of each axis, over all cells, float32."""
        held = (first[:, None] * second[None, :]).ravel()[self.code].astype(np.float32)
        if self.value is not None:
            held *= self.value
        if self.cells is None:
            return held
        full = np.zeros(cells, np.float32)
        full[self.cells] = held
        return full

    def compound(self, first: Bool[np.ndarray, " a"], second: Bool[np.ndarray, " b"]) -> Compound:
        """The term that holds for these values of each axis."""
        held = ((self.first, first), (self.second, second))
        sets = [(axis.name, axis.of(one)) for axis, one in held if axis and not one.all()]
        return Compound(self.gate, tuple(sets))


def set_tables(sample: Sample, gates: Sequence[str]) -> tuple[Table, ...]:
    """Tables to grow plain sets from: pairs of axes over all cells, single axes over gates."""
    by_name, tokens = axes(sample), list(sample.tokens)
    pairs = [(f"{side}.{name}", "distance") for name in tokens for side in ("key", "query")]
    pairs += [(f"query.{a}", f"key.{b}") for a in tokens for b in tokens if a != b or a != "lower"]
    tables = [Table.of(sample, "", by_name[one], by_name[two]) for one, two in pairs]
    tables += [Table.of(sample, gate, axis, None) for gate in gates for axis in by_name.values()]
    return tuple(table for table in tables if table is not None)


def step_tables(sample: Sample, gates: Sequence[str], crossed: Sequence[str]) -> tuple[Table, ...]:
    """Tables to grow graded terms from.

    Args:
        sample: the rows; its pool holds the gates.
        gates: relations of the pool that sets of one attribute may be multiplied with.
        crossed: those that sets of two attributes may be multiplied with.
    """
    by_name, names = axes(sample, _STEP_VALUES), list(sample.tokens)
    sides = [f"{side}.{name}" for name in names for side in ("key", "query")]
    pairs = [(side, "distance") for side in sides]
    pairs += [(f"query.{a}", f"key.{b}") for a in names for b in names]
    pairs += [(f"{s}.{b}", f"{s}.{a}") for a, b in pairwise(names) for s in ("key", "query")]
    tables = [Table.of(sample, "", by_name[one], by_name[two]) for one, two in pairs]
    both = by_name[f"query.{names[0]}"], by_name[f"key.{names[0]}"]
    tables += [Table.of(sample, gate, *both) for gate in crossed]
    for gate in gates:
        tables += [Table.of(sample, gate, by_name[side], None) for side in sides]
        if parse(gate).is_boolean and "distance" not in gate:
            tables.append(Table.of(sample, gate, by_name["distance"], None))
    return tuple(table for table in tables if table is not None)


def _by_turns(
    table: Table,
    score: Float[np.ndarray, "a b"],
    weight: Float[np.ndarray, "a b"],
    floor: float,
    second: Bool[np.ndarray, " b"],
) -> Iterator[tuple[float, np.ndarray, np.ndarray, np.ndarray]]:
    """By turns the best set of either axis: its score, the first, the second, and the next one."""
    assert table.second is not None
    for _ in range(_ROUNDS):
        first, value = best_set(score[:, second].sum(1), weight[:, second].sum(1), floor)
        following = table.second.best(score[first].sum(0), weight[first].sum(0), floor)[0]
        yield value, first, second, following
        if not following.any() or (following == second).all():
            return
        second = following


def _sets_of(
    table: Table, score: Float[np.ndarray, "a b"], weight: Float[np.ndarray, "a b"], floor: float
) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
    """The best terms of one table, one from each start."""
    every = np.ones(table.shape[1], bool)
    if table.second is None:
        first, value = table.first.best(score[:, 0], weight[:, 0], floor)
        if value > 0:
            yield value, first, every
        return
    starts = [every]
    if table.second.name == "distance":
        offsets = np.array([*table.second.values, 0])
        starts += [start for start in (offsets < 0, offsets > 0) if start.any()]
    for start in starts:
        for turn, found in enumerate(_by_turns(table, score, weight, floor, start)):
            value, first, second, following = found
            if turn == 0 and second.all() and first.any():
                yield value, first, second
        second = following if following.any() else second
        if first.any():
            yield _simplest(score, weight, floor, first, second)


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


def grow_sets(
    tables: Sequence[Table],
    predicted: Float[np.ndarray, " N"],
    real: Float[np.ndarray, " N"],
    rows: int,
    limit: int,
) -> list[Grown]:
    """The `limit` best terms of plain sets for a head's residual."""
    residual, weight = predicted - real, predicted * (1 - predicted)
    found = [
        (value, table, first, second)
        for table in tables
        for value, first, second in _sets_of(
            table, table.sums(residual), table.sums(weight), _SHRINK * rows
        )
    ]
    found.sort(key=lambda one: -one[0])
    return [
        Grown(table.compound(first, second), table.column(first, second, len(real)), value)
        for value, table, first, second in found[:limit]
    ]


@dataclass(frozen=True)
class _Found:
    """A graded term by its places in a table; `graded` is the axis that has steps, 0 or 1."""

    score: float
    atoms: int
    table: Table
    sides: tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]
    graded: int

    @property
    def worth(self) -> float:
        """Its score, less a share for every comparison more than one."""
        return self.score * (1 - _PER_ATOM * (self.atoms - 1))

    def grown(self, cells: int) -> Grown:
        """The term itself, over so many cells."""
        axis, other = self.table.first, self.table.second
        if self.graded and other is not None:
            axis, other = other, axis
        factors = [self.table.gate] if self.table.gate else []
        if other is not None:
            factors.append(condition(other.name, other.of(self.sides[1 - self.graded])))
        source = written(factors, axis, self.sides[self.graded])
        return Grown(Compound(source), self.table.column(*self.sides, cells), self.score)


def grow_steps(
    tables: Sequence[Table],
    predicted: Float[np.ndarray, " N"],
    real: Float[np.ndarray, " N"],
    rows: int,
    limit: int,
) -> list[Grown]:
    """The `limit` best graded terms for a head's residual, at most one of every table."""
    residual, weight = predicted - real, predicted * (1 - predicted)
    best: list[_Found] = []
    for table in tables:
        candidates = _steps_of(table, table.sums(residual), table.sums(weight, 2), _SHRINK * rows)
        first = max(candidates, key=lambda candidate: candidate.worth, default=None)
        if first is not None:
            best.append(first)
    best.sort(key=lambda candidate: candidate.worth, reverse=True)
    return [candidate.grown(len(real)) for candidate in best[:limit]]


def _steps_of(
    table: Table, score: Float[np.ndarray, "a b"], weight: Float[np.ndarray, "a b"], floor: float
) -> Iterator[_Found]:
    atoms, left = table.atoms, MAX_ATOMS - table.atoms
    if table.second is None:
        every = np.array([1])
        if table.first.name == "distance":
            run, value = best_range(score[:, 0], weight[:, 0], floor)
            if value > 0 and left >= 1:
                yield _Found(value, atoms + 1, table, (run.astype(np.int8), every), 0)
            return
        for grading in gradings(score[:, 0], weight[:, 0], floor, left).values():
            yield _Found(grading.score, atoms + grading.sets, table, (grading.steps, every), 0)
        return
    every = np.ones(table.shape[1], bool)
    *_, (_, first, _, second) = _by_turns(table, score, weight, floor, every)
    if not first.any() or not second.any():
        return
    sums = score[:, second].sum(1), weight[:, second].sum(1)
    for grading in gradings(*sums, floor, left - 1).values():
        sides = grading.steps, second.astype(np.int8)
        yield _Found(grading.score, atoms + 1 + grading.sets, table, sides, 0)
    if table.second.name != "distance":
        sums = score[first].sum(0), weight[first].sum(0)
        for grading in gradings(*sums, floor, left - 1).values():
            sides = first.astype(np.int8), grading.steps
            yield _Found(grading.score, atoms + 1 + grading.sets, table, sides, 1)


def written(factors: Sequence[str], axis: Axis, steps: Steps) -> str:
    """A graded term in the relation language: the steps of an axis, times some factors."""
    at = {step: [axis.values[i] for i in np.flatnonzero(steps[:-1] == step)] for step in (2, 1, -1)}
    plus = at[2] + at[1]
    more, plus = at[2] + plus[MAX_MEMBERS:], plus[:MAX_MEMBERS]
    parts = [condition(axis.name, plus)]
    if not more and not at[-1] and all(parse(factor).is_boolean for factor in factors):
        return parse(" and ".join([*(f"({factor})" for factor in factors), *parts])).source
    total = f"({parts[0]})"
    total += f" + ({condition(axis.name, more)})" if more else ""
    total += f" - ({condition(axis.name, at[-1])})" if at[-1] else ""
    return parse(" * ".join([*(f"({factor})" for factor in factors), f"({total})"])).source
