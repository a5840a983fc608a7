"""Formulas whose weights run to infinity: a row goes to the related keys, all of it, evenly.

Where a head does exactly what a relation says no finite weight is the best one, and a fit that
stops somewhere takes in a second copy of the relation to get further. Such heads are told by their
rows, which are even over the keys that they rest on (those with at least half of the greatest
weight) and nothing elsewhere. For them formulas are looked for as what they are: all of a row on
the keys of some relations (`ALL`); where it relates to nothing, on those of others (`REST`); and
relations that go before all else, for rows that are an exception (`FIRST`).

Terms are added by turns: those whose cells are most nearly the ones that are still wrong, by the
Jaccard index, among the relations of the pool, the rare ones, all of these without special keys,
and pairs of word sets that are read off the head itself. Of formulas that do equally well the one
with the least ink is taken.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from headscribe.fitting.features import Sample
from headscribe.fitting.formula import ALL, FIRST, MAX_TERM_ATOMS, REST
from headscribe.fitting.growth import MAX_MEMBERS, Axis, Compound, axes
from headscribe.fitting.pruning import ink
from headscribe.relations import parse

FLAT = 0.1
"""What the rows of a head that is looked at may differ from even ones, of their attention."""

NEAR = 2e-3
"""What is as near as this to the best possible is not looked beyond."""

SURE = 0.01
"""A formula that comes as near as this needs no comparison with one of finite weights."""

_TERMS, _KEPT = 4, 8
_FIRST, _FURTHER = 16, 5  # relations that are tried as a first term, and beside others
_GROWN = 48
_GATES = ("", "distance < 0", "distance > 0", "distance <= 0", "distance >= 0")
_CONTENT = "not key.is_special"
_EQUAL = 1e-7
_TWICE = 0.1  # ink of a term on cells that another of the same weight is on, which is hard to say

Cells = Bool[np.ndarray, " N"]


@dataclass(frozen=True)
class Whole:
    """A formula of infinite weights while it is looked for.

    Attributes:
        terms: conditions by number, with `FIRST`, `ALL` or `REST`.
        ink: what they cost a reader.
        loss: half of what its rows differ from the head's, in the mean.
        logits: the sums of the weights; a row goes to the cells that have the most.
    """

    terms: tuple[tuple[int, float], ...]
    ink: float
    loss: float
    logits: Float[np.ndarray, " N"]


@dataclass(frozen=True)
class Found:
    """The best formula of infinite weights; `loss` is half of what its rows differ, in the mean."""

    terms: tuple[Compound, ...]
    weights: tuple[float, ...]
    loss: float


@dataclass(frozen=True)
class Conditions:
    """Conditions as sets of cells.

    Attributes:
        terms: what they are; `ink`: what each costs a reader.
        holds: a row for each, 1 where it holds.
    """

    terms: tuple[Compound, ...]
    ink: Float[np.ndarray, " K"]
    holds: sparse.csr_array

    def alike(self, wanted: Cells, where: Cells) -> Int[np.ndarray, " K"]:
        """Most nearly `wanted` first, as far as they hold somewhere; those with none left out.

        Of those that are as near the one that holds least elsewhere comes first.
        """
        shared, size = (self.holds @ np.stack([wanted, where], 1).astype(np.float32)).T
        likeness = shared / np.maximum(size + wanted.sum() - shared, 1)
        order = np.lexsort((np.diff(self.holds.indptr), -likeness))
        return order[likeness[order] > 0]

    def cells(self, k: int) -> Int[np.ndarray, " n"]:
        """Where one holds."""
        return self.holds.indices[self.holds.indptr[k] : self.holds.indptr[k + 1]]

    def with_terms(self, terms: Sequence[Compound], sample: Sample) -> "Conditions":
        """These and some more."""
        if not terms:
            return self
        more = sparse.csr_array(np.stack([term.column(sample) for term in terms]))
        return Conditions(
            (*self.terms, *terms),
            np.append(self.ink, list(map(ink, terms))),
            sparse.vstack([self.holds, more], format="csr"),
        )


class Search:
    """Looks for formulas of infinite weights on the rows of one sample.

    Args:
        terms: at most so many.
        grown: whether terms may have word sets that are read off the head.
    """

    def __init__(
        self, sample: Sample, price: float, terms: int = _TERMS, *, grown: bool = True
    ) -> None:
        self.sample = sample
        self.price = price
        self.terms = min(terms, _TERMS)
        self.grown = grown

    @cached_property
    def content(self) -> Cells:
        """Cells whose key is no special token."""
        return self.sample.column(_CONTENT) > 0

    @cached_property
    def conditions(self) -> Conditions:
        """The conditions of the pool that hold somewhere, with and without special keys; of those
        that hold on the same cells the one with the least ink.
        """
        sample = self.sample.more(self.sample.rare)
        features = sample.features
        found: dict[bytes, tuple[float, str, np.ndarray]] = {}
        for k, source in enumerate(sample.pool):
            relation = parse(source)
            if not relation.is_boolean:
                continue
            cell = features.cell[features.ptr[k] : features.ptr[k + 1]]
            inner = cell[self.content[cell]]
            offered = [(float(relation.atoms), source, cell)]
            if len(inner) < len(cell) and relation.atoms < MAX_TERM_ATOMS:
                offered.append((relation.atoms + 1.0, f"({source}) and {_CONTENT}", inner))
            for cost, said, cells in offered:
                same = cells.tobytes()
                if len(cells) and (same not in found or cost < found[same][0]):
                    found[same] = (cost, said, cells)
        ink_of, sources, spans = zip(*found.values(), strict=True)
        ptr, cell = np.cumsum([0, *map(len, spans)]), np.concatenate(spans)
        entries = (np.ones(len(cell), np.float32), cell, ptr)
        holds = sparse.csr_array(entries, shape=(len(spans), len(sample.key_token)))
        return Conditions(tuple(map(Compound, sources)), np.array(ink_of), holds)

    def flat(self, real: Float[np.ndarray, " N"]) -> bool:
        """Whether a head is even over what it rests on, so that it is worth a search."""
        return self._loss(self._support(real), real) <= FLAT

    def loss(self, predicted: Float[np.ndarray, " N"], real: Float[np.ndarray, " N"]) -> float:
        """Half of what some rows differ from a head's, in the mean."""
        return float(np.abs(predicted - real).sum()) / 2 / len(self.sample.lengths)

    def best(self, real: Float[np.ndarray, " N"]) -> Found:
        """The best formula of infinite weights."""
        support = self._support(real)
        enough = self._loss(support, real) + NEAR
        conditions = self.conditions
        whole = self._found(conditions, support, real, enough)
        if self.grown and whole.loss > enough:
            grown = conditions.with_terms(self._sets(support), self.sample)
            again = self._found(grown, support, real, enough)
            if self._cost(again) < self._cost(whole):
                whole, conditions = again, grown
        terms = [conditions.terms[k] for k, _ in whole.terms]
        said = [Compound(parse(term.gate).source if term.gate else "", term.sets) for term in terms]
        weights = [weight for _, weight in whole.terms]
        if FIRST in weights and REST not in weights:  # an exception, and all else
            weights = [weight / 2 for weight in weights]
        return Found(tuple(said), tuple(weights), whole.loss)

    def _cost(self, whole: Whole) -> float:
        return whole.loss + self.price * whole.ink

    def _support(self, real: Float[np.ndarray, " N"]) -> Cells:
        support: Cells = real >= self._most(real) / 2
        return support

    def _most(self, logits: Float[np.ndarray, " N"]) -> Float[np.ndarray, " N"]:
        """The greatest logit of the row of each cell."""
        return np.maximum.reduceat(logits, self.sample.start)[self.sample.row]

    def _off(self, cells: Cells, real: Float[np.ndarray, " N"]) -> Float[np.ndarray, " R"]:
        """Half of what rows that are even over some cells differ from a head's."""
        start = self.sample.start
        count = np.add.reduceat(cells, start, dtype=np.float32)[self.sample.row]
        return np.add.reduceat(np.abs(cells / count - real), start) / 2

    def _loss(self, cells: Cells, real: Float[np.ndarray, " N"]) -> float:
        return float(self._off(cells, real).mean())

    def _found(
        self, conditions: Conditions, support: Cells, real: Float[np.ndarray, " N"], enough: float
    ) -> Whole:
        """The best of the formulas that are tried; of equals the first."""
        nothing = np.zeros(len(real), np.float32)
        best = Whole((), 0.0, self._loss(nothing == 0, real), nothing)
        beam = [best]
        for _ in range(self.terms):
            tried: dict[frozenset[tuple[int, float]], Whole] = {}
            for whole in beam:
                for k, weight in self._further(conditions, whole, support, real):
                    terms = frozenset((*whole.terms, (k, weight)))
                    if terms not in tried:
                        tried[terms] = self._with(conditions, whole, k, weight, real)
            beam = sorted(tried.values(), key=self._cost)[:_KEPT]
            if beam and self._cost(beam[0]) < self._cost(best) - _EQUAL:
                best = beam[0]
            if not beam or best.loss <= enough:
                break
        return best

    def _with(
        self,
        conditions: Conditions,
        whole: Whole,
        k: int,
        weight: float,
        real: Float[np.ndarray, " N"],
    ) -> Whole:
        logits, cells = whole.logits.copy(), conditions.cells(k)
        logits[cells] += weight
        twice = _TWICE * bool((whole.logits[cells] == weight).any())
        terms, spent = (*whole.terms, (k, weight)), whole.ink + float(conditions.ink[k]) + twice
        return Whole(terms, spent, self._loss(logits == self._most(logits), real), logits)

    def _further(
        self, conditions: Conditions, whole: Whole, support: Cells, real: Float[np.ndarray, " N"]
    ) -> Iterator[tuple[int, float]]:
        """Terms that may be added, with their weights: those nearest to what is still wrong."""
        every, most = np.ones_like(support), self._most(whole.logits)
        wrong = (self._off(whole.logits == most, real) > 0.5)[self.sample.row]
        if not whole.terms:
            for wanted in (support, support & self.content, support & wrong):
                yield from ((k, ALL) for k in conditions.alike(wanted, every)[:_FIRST].tolist())
            return
        own, left = whole.logits >= ALL, most < ALL
        for wanted, where, weight in (
            (support & ~own, ~own, ALL),
            (support & left, left, REST),
            (support & wrong, every, FIRST),
        ):
            if wanted.any():
                found = conditions.alike(wanted, where)[:_FURTHER]
                yield from ((k, weight) for k in found.tolist())

    def _sets(self, support: Cells) -> list[Compound]:
        """Pairs of word sets: the words that each word reads, words that read the same together."""
        every = axes(self.sample)
        keys = [axis for name, axis in every.items() if name.startswith("key.")]
        queries = [axis for name, axis in every.items() if name.startswith("query.")]
        found: list[tuple[int, Compound]] = []
        for gate in _GATES:
            gated = self.content & (self.sample.column(gate) > 0) if gate else self.content
            for key in keys:
                for query in queries:
                    found += _pairs(key, query, gate, gated, support)
        found.sort(key=lambda one: -one[0])
        return list(dict.fromkeys(term for _, term in found[:_GROWN]))


def _pairs(
    key: Axis, query: Axis, gate: str, gated: Cells, support: Cells
) -> Iterator[tuple[int, Compound]]:
    """What the words of a query axis read of those of a key axis, with the cells that it explains.

    A word reads another where at least half of their cells are read.
    """
    shape = len(query.values) + 1, len(key.values) + 1
    code = query.code[gated] * shape[1] + key.code[gated]
    size = shape[0] * shape[1]
    seen = np.bincount(code, minlength=size).reshape(shape)[:-1, :-1]
    read = np.bincount(code, support[gated], size).reshape(shape)[:-1, :-1]
    reads = (2 * read > seen) & (seen > 0)
    for row in np.unique(reads, axis=0):
        readers = (reads == row).all(1)
        if not row.any() or max(row.sum(), readers.sum()) > MAX_MEMBERS:
            continue
        inner = " and ".join([gate] * bool(gate) + [_CONTENT] * bool(row.all()))
        read_set = [] if row.all() else [(key.name, key.of(np.append(row, False)))]
        of_readers = [(query.name, query.of(np.append(readers, False)))]
        for sets in (read_set, read_set + of_readers):
            if sets:
                yield int(read[readers][:, row].sum()), Compound(inner, tuple(sets))
