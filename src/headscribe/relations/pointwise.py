"""The value of an expression for given pairs of tokens, by broadcasting."""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from headscribe.relations.candidates import present
from headscribe.relations.columns import Columns
from headscribe.relations.syntax import (
    CHOICES,
    OF_TEXTS,
    ROWWISE,
    Arithmetic,
    Call,
    Column,
    Compare,
    Distance,
    Logic,
    Member,
    Negate,
    Node,
    Not,
    Number,
    Text,
    kind_of,
)

Array = Shaped[np.ndarray, "..."]
Index = Int[np.ndarray, "..."]

_COMPARED = {
    "<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal,
    "==": np.equal, "!=": np.not_equal,
}  # fmt: skip
_CALCULATED = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}


@runtime_checkable
class Scope(Protocol):
    """What pointwise evaluation needs to know of a passage."""

    columns: Columns

    def by_row(self, node: Node) -> Shaped[np.ndarray, " T"]:
        """Return what a row-wise function amounts to for every query.

        `any`: condition; `count`: number; a choice: the chosen key or -1; `otherwise`: the rank
        of the first alternative that relates to anything, or -1.
        """
        ...


def truth(node: Node, query: Index, key: Index, scope: Scope) -> Bool[np.ndarray, "..."]:
    """Return where the expression is true, or a number that is neither 0 nor missing."""
    values = evaluate(node, query, key, scope)
    if values.dtype.kind == "b":
        return values
    met: Bool[np.ndarray, "..."] = np.isfinite(values) & (values != 0)
    return met


def evaluate(node: Node, query: Index, key: Index, scope: Scope) -> Array:
    """Return the value for each pair of `query` and `key`, arrays that broadcast.

    Conditions are bool, numbers float64 with NaN for missing, texts codes of `Columns`. The
    shape is that of the operands involved: what depends on the query alone has its shape, what
    depends on neither `(1,)`.
    """
    match node:
        case Number(value):
            return np.array([value])
        case Text(value=characters):
            return np.array([scope.columns.code(characters)])
        case Distance():
            return (key - query).astype(np.float64)
        case Column(side):
            return scope.columns[node][query if side == "query" else key]
        case Compare(operators, operands):
            values = [evaluate(operand, query, key, scope) for operand in operands]
            pairs = zip(values, operators, values[1:], strict=False)
            return _all([_compare(one, operator, two) for one, operator, two in pairs])
        case Member(item, values=members, negated=negated):
            return _member(evaluate(item, query, key, scope), members, negated, scope.columns)
        case Logic(word, operands):
            parts = [evaluate(operand, query, key, scope) for operand in operands]
            return _all(parts) if word == "and" else ~_all([~part for part in parts])
        case Not(operand):
            return ~evaluate(operand, query, key, scope)
        case Negate(operand):
            return -_number(operand, query, key, scope)
        case Arithmetic(operator, left, right):
            one, two = _number(left, query, key, scope), _number(right, query, key, scope)
            return _calculate(operator, one, two)
    return _call(node, query, key, scope)


def _number(node: Node, query: Index, key: Index, scope: Scope) -> Float[np.ndarray, "..."]:
    return evaluate(node, query, key, scope).astype(np.float64)


def _call(node: Call, query: Index, key: Index, scope: Scope) -> Array:
    name, arguments = node.name, node.arguments
    if name in ROWWISE:
        return scope.by_row(node)[query]
    if name in CHOICES:
        chosen: Bool[np.ndarray, "..."] = scope.by_row(node)[query] == key
        return chosen
    if name == "otherwise":
        rank = scope.by_row(node)[query]
        value = np.zeros(np.broadcast_shapes(query.shape, key.shape))
        for level, argument in enumerate(arguments):
            part = _number(argument, query, key, scope)
            value = np.where(rank == level, part, value)
        return value != 0 if kind_of(node) == "boolean" else value
    if name in OF_TEXTS:
        return scope.columns.numbers(evaluate(arguments[0], query, key, scope))
    values = [_number(argument, query, key, scope) for argument in arguments]
    result = values[0]
    if name == "abs":
        return np.abs(result)
    if name == "log1p":
        with np.errstate(divide="ignore", invalid="ignore"):
            return _finite(np.log1p(result))
    for value in values[1:]:
        result = (np.minimum if name == "min" else np.maximum)(result, value)
    return result


def _all(parts: list[Bool[np.ndarray, "..."]]) -> Bool[np.ndarray, "..."]:
    met = parts[0]
    for part in parts[1:]:
        met = met & part
    return met


def _compare(left: Array, operator: str, right: Array) -> Bool[np.ndarray, "..."]:
    """Compare; false wherever a side is missing (NaN compares false except under `!=`)."""
    met: Bool[np.ndarray, "..."] = _COMPARED[operator](left, right)
    if operator == "!=" or left.dtype.kind == "i":
        met = met & present(left) & present(right)
    return met


def _member(
    item: Array, members: tuple[float, ...] | tuple[str, ...], negated: bool, columns: Columns
) -> Bool[np.ndarray, "..."]:
    values = [columns.code(member) if isinstance(member, str) else member for member in members]
    return np.isin(item, np.array(values), invert=negated) & present(item)


def _calculate(
    operator: str, left: Float[np.ndarray, "..."], right: Float[np.ndarray, "..."]
) -> Float[np.ndarray, "..."]:
    with np.errstate(all="ignore"):
        return _finite(_CALCULATED[operator](left, right))


def _finite(values: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Make what is not finite (division by 0, overflow) missing."""
    return np.where(np.isfinite(values), values, np.nan)
