"""Relations, slow and obvious: one pair of tokens at a time, straight from Python's syntax tree."""

import ast
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscribe.core.visibility import Visibility
from headscribe.relations import ATTRIBUTES
from headscribe.text.passages import Passage

Value = bool | float | str | None


def matrix(source: str, passage: Passage, visibility: Visibility) -> NDArray[np.float64]:
    """The relation's value for every visible pair; 0 where false, missing or hidden."""
    return _Oracle(passage, visibility).matrix(ast.parse(f"({source})", mode="eval").body)


class _Oracle:
    def __init__(self, passage: Passage, visibility: Visibility) -> None:
        self.passage, self.length = passage, len(passage)
        self.seen = visibility.dense(self.length)
        self.columns: dict[str, Any] = {}
        self.rows: dict[tuple[ast.expr, int], list[tuple[int, float]]] = {}

    def matrix(self, tree: ast.expr) -> NDArray[np.float64]:
        result = np.zeros((self.length, self.length))
        for i in range(self.length):
            for j in range(self.length):
                value = self.value(tree, i, j) if self.seen[i, j] else None
                result[i, j] = float(value) if isinstance(value, bool | float) else 0.0
        return result

    def token(self, index: int | None, name: str) -> Value:
        kind = ATTRIBUTES[name].kind
        if index is None or not 0 <= index < self.length:
            return False if kind == "boolean" else None
        if name not in self.columns:
            self.columns[name] = ATTRIBUTES[name].read(self.passage)
        value: Any = self.columns[name][index]
        if kind == "boolean":
            return bool(value)
        if kind == "text":
            return None if value is None else str(value)
        return None if math.isnan(value) else float(value)

    def row(self, tree: ast.expr, i: int) -> list[tuple[int, float]]:
        """The visible keys that relate to query i, with their values; found once."""
        if (tree, i) in self.rows:
            return self.rows[tree, i]
        cells = []
        for j in range(self.length):
            value = self.value(tree, i, j) if self.seen[i, j] else None
            if isinstance(value, bool | float) and value:
                cells.append((j, float(value)))
        self.rows[tree, i] = cells
        return cells

    def value(self, tree: ast.expr, i: int, j: int) -> Value:
        match tree:
            case ast.Constant(value):
                return value if isinstance(value, str) else float(str(value))
            case ast.Name("text_length"):
                return float(sum(not special for special in self.passage.is_special))
            case ast.Name():
                return float(j - i)
            case ast.Attribute(owner, name):
                return self.token(self.walk(owner, i, j), name)
            case ast.Compare(left, operators, comparators):
                return self.comparison(left, operators, comparators, i, j)
            case ast.BoolOp(operator, values):
                truths = [bool(self.value(value, i, j)) for value in values]
                return all(truths) if isinstance(operator, ast.And) else any(truths)
            case ast.UnaryOp(ast.Not(), operand):
                return not self.value(operand, i, j)
            case ast.UnaryOp(_, operand):
                value = self.number(operand, i, j)
                return None if value is None else -value
            case ast.BinOp(left, operator, right):
                return self.arithmetic(operator, self.number(left, i, j), self.number(right, i, j))
            case ast.Call(ast.Name(name), arguments):
                return self.call(name, arguments, i, j)
        raise AssertionError(ast.dump(tree))

    def walk(self, tree: ast.expr, i: int, j: int) -> int | None:
        if isinstance(tree, ast.Name):
            return i if tree.id == "query" else j
        assert isinstance(tree, ast.Attribute)
        at = self.walk(tree.value, i, j)
        at = None if at is None else at + (1 if tree.attr == "next" else -1)
        return at if at is not None and 0 <= at < self.length else None

    def number(self, tree: ast.expr, i: int, j: int) -> float | None:
        value = self.value(tree, i, j)
        assert not isinstance(value, str)
        return None if value is None else float(value)

    def comparison(
        self,
        left: ast.expr,
        operators: list[ast.cmpop],
        comparators: list[ast.expr],
        i: int,
        j: int,
    ) -> bool:
        if isinstance(operators[0], ast.In | ast.NotIn):
            item = self.value(left, i, j)
            group: Any = comparators[0]
            inside = item in [self.value(one, i, j) for one in group.elts]
            return item is not None and inside == isinstance(operators[0], ast.In)
        values: list[Any] = [self.value(one, i, j) for one in (left, *comparators)]
        for one, operator, two in zip(values, operators, values[1:], strict=False):
            if one is None or two is None:
                return False
            met = {
                ast.Eq: one == two,
                ast.NotEq: one != two,
                ast.Lt: not isinstance(one, str) and one < two,
                ast.LtE: not isinstance(one, str) and one <= two,
                ast.Gt: not isinstance(one, str) and one > two,
                ast.GtE: not isinstance(one, str) and one >= two,
            }[type(operator)]
            if not met:
                return False
        return True

    def arithmetic(
        self, operator: ast.operator, left: float | None, right: float | None
    ) -> float | None:
        if left is None or right is None:
            return None
        if isinstance(operator, ast.Add):
            return left + right
        if isinstance(operator, ast.Sub):
            return left - right
        if isinstance(operator, ast.Mult):
            return left * right
        return left / right if right else None

    def call(self, name: str, arguments: list[ast.expr], i: int, j: int) -> Value:
        if name == "otherwise":
            for argument in arguments:
                if self.row(argument, i):
                    return self.value(argument, i, j)
            return False
        if name in {"any", "count", "nearest", "first", "last", "highest"}:
            row = self.row(arguments[0], i)
            keys = [key for key, _ in row]
            if name == "any":
                return bool(row)
            if name == "count":
                return float(len(row))
            if not row:
                return False
            chosen = {
                "nearest": min(keys, key=lambda key: (abs(key - i), key)),
                "first": min(keys),
                "last": max(keys),
                "highest": max(row, key=lambda cell: (cell[1], -cell[0]))[0],
            }[name]
            return chosen == j
        if name == "number":
            text = str(self.value(arguments[0], i, j))
            digits = text.replace(".", "", 1) if text[:1] != "." and text[-1:] != "." else ""
            return float(text) if digits.isascii() and digits.isdigit() else None
        values = [self.number(argument, i, j) for argument in arguments]
        present = [value for value in values if value is not None]
        if len(present) < len(values):
            return None
        if name == "abs":
            return abs(present[0])
        if name == "log1p":
            return math.log1p(present[0]) if present[0] > -1 else None
        return min(present) if name == "min" else max(present)
