"""Evaluating relations on a passage: candidates first, then only the conditions left over."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Shaped

from headscribe.core.visibility import Visibility
from headscribe.relations.analysis import distances_of, exact_distances, is_condition, sides_of
from headscribe.relations.candidates import Candidates, intervals, join
from headscribe.relations.cells import Cells
from headscribe.relations.columns import Columns
from headscribe.relations.pointwise import evaluate, truth
from headscribe.relations.rowwise import NONE, chosen, chosen_of_intervals, counted
from headscribe.relations.syntax import (
    CHOICES,
    Arithmetic,
    Call,
    Compare,
    Logic,
    Negate,
    Node,
)
from headscribe.text.passages import Passage

KEPT = 1 << 18
"""Cells of a sub-expression are kept for other relations up to this number."""

FEW = 8
"""Up to this many candidates a query nothing better is looked for."""


class Evaluation:
    """Evaluates expressions on one passage, sharing columns, row values and cells.

    Args:
        passage: the tokens.
        visibility: the keys that count; every row-wise function sees only these.
        frequency: log relative frequency by vocabulary id, shape `(V,)`.
    """

    def __init__(
        self,
        passage: Passage,
        visibility: Visibility,
        frequency: Float[np.ndarray, " V"] | None = None,
    ) -> None:
        self.columns = Columns(passage, frequency)
        self._length = len(passage)
        self._index = np.arange(self._length)
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
        cells = Cells(
            np.concatenate([np.zeros(0, np.int64), *(part.query for part in parts)]),
            np.concatenate([np.zeros(0, np.int64), *(part.key for part in parts)]),
            np.concatenate([np.zeros(0), *(part.value for part in parts)]),
        )
        if len(cells) <= KEPT:
            self._cells[node] = cells
        return cells

    def chunks(self, node: Node) -> Iterator[Cells]:
        """Yield the cells in order, in pieces of bounded size that hold whole rows."""
        if node in self._cells:
            yield self._cells[node]
            return
        candidates = self._candidates(_conditions(node))
        condition = is_condition(node)
        for query, key in candidates.chunks():
            if not candidates.visible:
                keep = (key >= self._first[query]) & (key <= self._last[query])
                query, key = query[keep], key[keep]
            for one in candidates.rest:
                keep = np.broadcast_to(truth(one, query, key, self), query.shape)
                query, key = query[keep], key[keep]
            if condition:
                yield Cells(query, key, np.ones(len(query)))
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
            candidates = self._candidates(_conditions(argument))
            if candidates.ascending and not candidates.rest:
                return chosen_of_intervals(node.name, candidates)
        return chosen(node.name, self.chunks(argument), self._length)

    def _counts(self, node: Node) -> Shaped[np.ndarray, " T"]:
        if is_condition(node):
            candidates = self._candidates(_conditions(node))
            if candidates.visible and not candidates.rest:
                return candidates.end - candidates.begin
        return counted(self.chunks(node), self._length)

    # --- where the pairs can lie --------------------------------------------------------------

    def _candidates(self, conditions: tuple[Node, ...]) -> Candidates:
        """Return few candidate pairs among which are all where every condition is true."""
        best = self._base(conditions)
        for one in conditions:
            if best.size <= FEW * self._length:
                break
            others = tuple(other for other in conditions if other is not one)
            if isinstance(one, Call) and one.name in CHOICES:
                choice = self.by_row(one)
                end = self._index + (choice != NONE)
                best = Candidates(self._index, end, choice, others)
            elif (parts := _alternatives(one)) and self._size(one) < min(best.size, KEPT):
                best = self._union(one, parts, others)
        return best

    def _base(self, conditions: tuple[Node, ...]) -> Candidates:
        """Return candidates by intervals of distance, or by the smallest join if that is less."""
        rows, keys = np.ones(self._length, bool), np.ones(self._length, bool)
        low, high, far = self._first, self._last, self._length
        joins: list[Compare] = []
        rest: list[Node] = []
        banded: list[Node] = []
        for one in conditions:
            sides = sides_of(one)
            if "key" not in sides:
                rows = rows & truth(one, self._index, self._index, self)
            elif "query" not in sides:
                keys = keys & truth(one, self._index, self._index, self)
            else:
                least, most = distances_of(one)
                low = np.maximum(low, self._index + int(np.clip(least, -far, far)))
                high = np.minimum(high, self._index + int(np.clip(most, -far, far)))
                (rest if exact_distances(one) is None else banded).append(one)
                joins += [one] if isinstance(one, Compare) and _is_join(one) else []
        best = intervals(low, high, rows, keys, tuple(rest))
        for one in joins:
            left, right = one.operands
            if sides_of(left) == {"key"}:
                left, right = right, left
            query = evaluate(left, self._index, self._index, self)
            key = evaluate(right, self._index, self._index, self)
            others = (*banded, *(other for other in rest if other is not one))
            joined = join(query, key, rows, keys, others)
            best = joined if joined.size < best.size else best
        return best

    def _size(self, node: Node) -> int:
        """Return a bound on the number of cells that needs no evaluation of choices or unions."""
        if node not in self._sizes:
            conditions = _conditions(node)
            sizes = [self._base(conditions).size]
            for one in conditions:
                if isinstance(one, Call) and one.name in CHOICES:
                    sizes.append(self._length)
                elif parts := _alternatives(one):
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


def _conditions(node: Node) -> tuple[Node, ...]:
    """Return conditions that all hold wherever the expression is true, or not 0 nor missing."""
    match node:
        case Logic("and", operands):
            return tuple(one for operand in operands for one in _conditions(operand))
        case Arithmetic("*", left, right):
            return _conditions(left) + _conditions(right)
        case Arithmetic("/", left, _) | Negate(left):
            return _conditions(left)
        case Call("abs" | "log1p", (operand,)):
            return _conditions(operand)
    return (node,)


def _alternatives(node: Node) -> tuple[Node, ...]:
    """Return the parts of an `or` or an `otherwise`."""
    match node:
        case Logic("or", operands) | Call("otherwise", operands):
            return operands
    return ()


def _is_join(node: Compare) -> bool:
    """Return whether the condition is an equality between what each token has by itself."""
    if node.operators != ("==",):
        return False
    left, right = (sides_of(operand) for operand in node.operands)
    return {*left, *right} == {"query", "key"} and len(left) == len(right) == 1
