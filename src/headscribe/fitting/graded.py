"""Graded terms: what a token adds to the logits in whole steps, by literal sets.

`(key.lower in A) + (key.lower in B) - (key.lower in C)` is one term of three comparisons. With
disjoint `A` and `B` it marks up to 40 tokens, with `B` inside `A` it marks some of them twice, and
`C` counts against it; a gate or a set of another attribute may multiply it. For the residual
`e = p - a` of a head's formula, a term with the steps `l` has the score
`(sum_U l e)^2 / sum_U l^2 p (1 - p)`, up to what it shares with the terms already there, and both
sums are additive over the values of an attribute (`fitting/sorting.py`): the best steps are found
among prefixes of the values, sorted by `sum e / sum p (1 - p)`.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.fitting.features import Sample
from headscribe.fitting.grown import MAX_MEMBERS, best_range, best_set
from headscribe.fitting.pool import MAX_ATOMS
from headscribe.fitting.sorting import Axis, Table, axes
from headscribe.relations import parse

Steps = Int[np.ndarray, " a"]
"""What each value of an axis counts, -1, 0, 1 or 2; the rest of the values, 0."""

_VALUES = 160
_ROUNDS = 4
_SHRINK = 1e-3
_PER_ATOM = 0.02  # what a longer term has to score more, as a share

_counts = np.arange(1, 2 * MAX_MEMBERS + 1)
_twice, _marked = (grid.ravel() for grid in np.meshgrid(np.arange(MAX_MEMBERS + 1), _counts))
_room = (_twice <= _marked) & (_twice + _marked <= 2 * MAX_MEMBERS)
_TWICE, _MARKED = _twice[_room], _marked[_room]
"""What two sets can say: so many values marked, so many of them twice."""


@dataclass(frozen=True)
class Grading:
    """Steps for the values of an axis.

    Attributes:
        score: what the term scores.
        steps: by value, shape `(a,)`.
        sets: literal sets that it takes to write them.
    """

    score: float
    steps: Steps
    sets: int


def gradings(
    score: Float[np.ndarray, " a"], weight: Float[np.ndarray, " a"], floor: float, sets: int
) -> dict[int, Grading]:
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


def condition(name: str, values: Sequence[str | int]) -> str:
    """That an attribute has one of some values."""
    written = [json.dumps(value, ensure_ascii=False) for value in sorted(values)]
    return f"{name} == {written[0]}" if len(written) == 1 else f"{name} in {{{', '.join(written)}}}"


def written(factors: Sequence[str], axis: Axis, steps: Steps) -> str:
    """A graded term in the relation language: the steps of an axis, times some factors.

    Raises:
        UsageError: a factor is no relation.
    """
    at = {step: [axis.values[i] for i in np.flatnonzero(steps[:-1] == step)] for step in (2, 1, -1)}
    plus = at[2] + at[1]
    more, plus = at[2] + plus[MAX_MEMBERS:], plus[:MAX_MEMBERS]
    parts = [condition(axis.name, plus)]
    if not more and not at[-1] and all(parse(factor).is_boolean for factor in factors):
        return parse(" and ".join([*(f"({one})" for one in factors), *parts])).source
    total = f"({parts[0]})"
    total += f" + ({condition(axis.name, more)})" if more else ""
    total += f" - ({condition(axis.name, at[-1])})" if at[-1] else ""
    return parse(" * ".join([*(f"({one})" for one in factors), f"({total})"])).source


@dataclass(frozen=True)
class Graded:
    """A graded term.

    Attributes:
        source: the relation.
        atoms: its comparisons.
        column: its values over all cells.
        score: what it scores.
    """

    source: str
    atoms: int
    column: Float[np.ndarray, " N"]
    score: float


@dataclass(frozen=True)
class _Found:
    """A graded term by its places in a table; `graded` is the axis that has steps, 0 or 1."""

    score: float
    atoms: int
    table: int
    sides: tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]
    graded: int


class Growth:
    """Grows graded terms from a sample.

    Args:
        sample: the rows; its pool holds the gates.
        gates: relations of the pool that sets of one attribute may be multiplied with.
        crossed: those that sets of two attributes may be multiplied with.
    """

    def __init__(self, sample: Sample, gates: Sequence[str], crossed: Sequence[str]) -> None:
        self._cells = len(sample.key_token)
        self._rows = len(sample.lengths)
        self.tables: list[Table] = []
        self._gate_atoms: list[int] = []
        by_name = axes(sample, _VALUES)
        names = list(sample.tokens)
        sides = [f"{side}.{name}" for name in names for side in ("key", "query")]
        pairs = [(side, "distance") for side in sides]
        pairs += [(f"query.{a}", f"key.{b}") for a in names for b in names]
        pairs += [(f"{s}.{b}", f"{s}.{a}") for a, b in pairwise(names) for s in ("key", "query")]
        for one, two in pairs:
            self._add(sample, "", by_name[one], by_name[two])
        for gate in crossed:
            self._add(sample, gate, by_name[f"query.{names[0]}"], by_name[f"key.{names[0]}"])
        for gate in gates:
            for side in sides:
                self._add(sample, gate, by_name[side], None)
            if parse(gate).is_boolean and "distance" not in gate:
                self._add(sample, gate, by_name["distance"], None)

    def _add(self, sample: Sample, gate: str, first: Axis, second: Axis | None) -> None:
        codes = [axis.code for axis in (first, second) if axis is not None]
        cells, value, atoms = None, None, 0
        if gate:
            if gate not in sample.position:
                return
            relation, k = parse(gate), sample.position[gate]
            span = slice(*sample.features.ptr[k : k + 2])
            cells = sample.features.cell[span].astype(np.int64)
            codes = [code[cells] for code in codes]
            if relation.is_boolean:
                atoms = relation.atoms
            else:
                value = sample.features.value[span]
        code = codes[0] if second is None else codes[0] * (len(second.values) + 1) + codes[1]
        self.tables.append(Table(gate, cells, first, second, code, value))
        self._gate_atoms.append(atoms)

    def grow(
        self, predicted: Float[np.ndarray, " N"], real: Float[np.ndarray, " N"], limit: int
    ) -> list[Graded]:
        """The `limit` best terms for a head's residual, at most one of every table."""
        residual, weight = predicted - real, predicted * (1 - predicted)
        best: list[_Found] = []
        for index, table in enumerate(self.tables):
            sums = table.sums(residual), table.sums(weight, 2)
            found = list(self._of_table(index, *sums))
            if found:
                best.append(max(found, key=_worth))
        best.sort(key=_worth, reverse=True)
        return [self._made(one) for one in best[:limit]]

    def _of_table(
        self, index: int, score: Float[np.ndarray, "a b"], weight: Float[np.ndarray, "a b"]
    ) -> Iterator[_Found]:
        table, atoms, floor = self.tables[index], self._gate_atoms[index], _SHRINK * self._rows
        left = MAX_ATOMS - atoms
        if table.second is None:
            every = np.array([1])
            if table.first.name == "distance":
                run, value = best_range(score[:, 0], weight[:, 0], floor)
                if value > 0 and left >= 1:
                    yield _Found(value, atoms + 1, index, (run.astype(np.int8), every), 0)
                return
            for one in gradings(score[:, 0], weight[:, 0], floor, left).values():
                yield _Found(one.score, atoms + one.sets, index, (one.steps, every), 0)
            return
        first, second = _both_sets(table, score, weight, floor)
        if not first.any() or not second.any():
            return
        sums = score[:, second].sum(1), weight[:, second].sum(1)
        for one in gradings(*sums, floor, left - 1).values():
            sides = one.steps, second.astype(np.int8)
            yield _Found(one.score, atoms + 1 + one.sets, index, sides, 0)
        if table.second.name != "distance":
            sums = score[first].sum(0), weight[first].sum(0)
            for one in gradings(*sums, floor, left - 1).values():
                sides = first.astype(np.int8), one.steps
                yield _Found(one.score, atoms + 1 + one.sets, index, sides, 1)

    def _made(self, found: _Found) -> Graded:
        table = self.tables[found.table]
        axis, other = table.first, table.second
        if found.graded and other is not None:
            axis, other = other, axis
        factors = [table.gate] if table.gate else []
        if other is not None:
            held = np.flatnonzero(found.sides[1 - found.graded][:-1])
            factors.append(condition(other.name, [other.values[i] for i in held]))
        source = written(factors, axis, found.sides[found.graded])
        column = table.column(*found.sides, self._cells)
        return Graded(source, found.atoms, column, found.score)


def _worth(found: _Found) -> float:
    return found.score * (1 - _PER_ATOM * (found.atoms - 1))


def _both_sets(
    table: Table, score: Float[np.ndarray, "a b"], weight: Float[np.ndarray, "a b"], floor: float
) -> tuple[Bool[np.ndarray, " a"], Bool[np.ndarray, " b"]]:
    """A set of either axis, found by turns."""
    assert table.second is not None
    best = best_range if table.second.name == "distance" else best_set
    first, second = np.zeros(score.shape[0], bool), np.ones(score.shape[1], bool)
    for _ in range(_ROUNDS):
        first, _ = best_set(score[:, second].sum(1), weight[:, second].sum(1), floor)
        held, second = second, best(score[first].sum(0), weight[first].sum(0), floor)[0]
        if not second.any() or (second == held).all():
            break
    return first, second
