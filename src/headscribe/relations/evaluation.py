"""Evaluating relations on a passage: candidates first, then only the conditions left over."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Shaped

from headscribe.core.arrays import TokenFlags
from headscribe.core.visibility import Visibility
from headscribe.relations.candidates import Candidates, intervals, join
from headscribe.relations.cells import Cells
from headscribe.relations.columns import Columns
from headscribe.relations.conditions import Conditions, alternatives_of, conditions_of
from headscribe.relations.pointwise import evaluate, truth
from headscribe.relations.rowwise import NONE, chosen, chosen_of_intervals, counted
from headscribe.relations.syntax import CHOICES, Call, Node, kind_of
from headscribe.text.passages import Passage

KEPT = 1 << 18
"""Cells of a sub-expression are kept for other relations up to this number."""

FEW = 8
"""Up to this many candidates a query nothing better is looked for."""


class Evaluation:
    """Evaluates expressions on one passage, sharing columns, row values and cells.

    Args:
        visibility: the keys that count; every row-wise function sees only these.
    """

    def __init__(self, passage: Passage, visibility: Visibility) -> None:
        self.columns = Columns(passage)
        self._length = len(passage)
        self._index = np.arange(self._length)
        self._every = np.ones(self._length, bool)
        self._short = self._length**2 <= KEPT
        self._first = visibility.first(self._length)
        self._last = visibility.last(self._length)
        self._by_row: dict[Node, Shaped[np.ndarray, " T"]] = {}
        self._cells: dict[Node, Cells] = {}
        self._sizes: dict[Node, int] = {}

    def cells(self, node: Node) -> Cells:
        """Return the visible pairs where the expression is true, or neither 0 nor missing."""
        if node in self._cells:
            return self._cells[node]
        parts = list(self.chunks(node))
        query = np.concatenate([np.zeros(0, np.int64), *(part.query for part in parts)])
        key = np.concatenate([np.zeros(0, np.int64), *(part.key for part in parts)])
        if kind_of(node) == "boolean":
            value = np.broadcast_to(1.0, len(query))
        else:
            value = np.concatenate([np.zeros(0), *(part.value for part in parts)])
        cells = Cells(query, key, value)
        if len(cells) <= KEPT:
            self._cells[node] = cells
        return cells

    def chunks(self, node: Node) -> Iterator[Cells]:
        """Yield the cells in order, in pieces of bounded size that hold whole rows."""
        if node in self._cells:
            yield self._cells[node]
            return
        candidates = self._candidates(node)
        condition = kind_of(node) == "boolean"
        for query, key in candidates.chunks():
            if not candidates.visible:
                keep = (key >= self._first[query]) & (key <= self._last[query])
                query, key = query[keep], key[keep]
            for one in candidates.rest:
                keep = np.broadcast_to(truth(one, query, key, self), query.shape)
                query, key = query[keep], key[keep]
            if condition:
                yield Cells(query, key, np.broadcast_to(1.0, len(query)))
                continue
            value = np.broadcast_to(evaluate(node, query, key, self), query.shape)
            keep = np.isfinite(value) & (value != 0)
            yield Cells(query[keep], key[keep], value[keep])

    def by_row(self, node: Node) -> Shaped[np.ndarray, " T"]:
        """Return the value of a row-wise function for every query; see `pointwise.Scope`."""
        if node not in self._by_row:
            self._by_row[node] = self._amount(node)
        return self._by_row[node]

    def _amount(self, node: Node) -> Shaped[np.ndarray, " T"]:
        if not isinstance(node, Call):
            raise TypeError(f"expected a row-wise function, got {type(node).__name__}")
        if node.name == "otherwise":
            rank = np.full(self._length, NONE)
            for level in reversed(range(len(node.arguments))):
                rank[self._counts(node.arguments[level]) > 0] = level
            return rank
        (argument,) = node.arguments
        if node.name in {"any", "count"}:
            counts = self._counts(argument)
            return counts > 0 if node.name == "any" else counts.astype(np.float64)
        if node.name != "highest":
            candidates = self._candidates(argument)
            if candidates.ascending and not candidates.rest:
                return chosen_of_intervals(node.name, candidates)
        return chosen(node.name, self.chunks(argument), self._length)

    def _counts(self, node: Node) -> Shaped[np.ndarray, " T"]:
        if self._short:
            return np.bincount(self.cells(node).query, minlength=self._length)
        if kind_of(node) == "boolean":
            candidates = self._candidates(node)
            if candidates.visible and not candidates.rest:
                return candidates.end - candidates.begin
        return counted(self.chunks(node), self._length)

    # --- where the pairs can lie --------------------------------------------------------------

    def _candidates(self, node: Node) -> Candidates:
        """Return few candidate pairs among which are all that the expression relates."""
        conditions = conditions_of(node)
        best = self._base(conditions)
        for call in conditions.all:
            if best.size <= FEW * self._length:
                break
            others = tuple(other for other in conditions.all if other is not call)
            if isinstance(call, Call) and call.name in CHOICES:
                choice = self.by_row(call)
                end = self._index + (choice != NONE)
                best = Candidates(self._index, end, choice, others)
            elif (parts := alternatives_of(call)) and (
                self._short or self._size(call) < min(best.size, KEPT)
            ):
                best = self._union(call, parts, others)
        return best

    def _base(self, conditions: Conditions) -> Candidates:
        """Return candidates by intervals of distance, or by the smallest join if that is less."""
        low, high = self._first, self._last
        if conditions.least > -self._length:
            low = np.maximum(low, self._index + int(min(conditions.least, self._length)))
        if conditions.most < self._length:
            high = np.minimum(high, self._index + int(max(conditions.most, -self._length)))
        rows, keys = self.met(conditions.query), self.met(conditions.key)
        best = intervals(low, high, rows, keys, conditions.rest)
        for one, of_query, of_key in conditions.joins:
            query = evaluate(of_query, self._index, self._index, self)
            key = evaluate(of_key, self._index, self._index, self)
            others = tuple(other for other in conditions.rest if other is not one)
            joined = join(query, key, rows, keys, (*conditions.banded, *others))
            best = joined if joined.size < best.size else best
        return best

    def met(self, conditions: tuple[Node, ...]) -> TokenFlags:
        """Return the tokens that meet conditions on one token of the pair."""
        met = self._every
        for condition in conditions:
            met = met & truth(condition, self._index, self._index, self)
        return met

    def _size(self, node: Node) -> int:
        """Return a bound on the number of cells that needs no evaluation of choices or unions."""
        if node not in self._sizes:
            conditions = conditions_of(node)
            sizes = [self._base(conditions).size]
            for call in conditions.all:
                if isinstance(call, Call) and call.name in CHOICES:
                    sizes.append(self._length)
                elif parts := alternatives_of(call):
                    sizes.append(sum(self._size(part) for part in parts))
            self._sizes[node] = min(sizes)
        return self._sizes[node]

    def _union(self, node: Node, parts: tuple[Node, ...], others: tuple[Node, ...]) -> Candidates:
        """Return the pairs of an `or` or an `otherwise`, rows packed one after the other."""
        rank = self.by_row(node) if isinstance(node, Call) else None
        found = []
        for level, part in enumerate(parts):
            cells = self.cells(part)
            mine = slice(None) if rank is None else rank[cells.query] == level
            found.append(cells.query[mine] * self._length + cells.key[mine])
        pairs = np.unique(np.concatenate(found))
        query = pairs // max(self._length, 1)
        begin = np.searchsorted(query, self._index)
        end = np.searchsorted(query, self._index, side="right")
        return Candidates(begin, end, pairs % max(self._length, 1), others)
