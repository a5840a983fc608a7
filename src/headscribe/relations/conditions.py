"""The conditions of a relation sorted by what they can be used for; independent of any passage."""

from dataclasses import dataclass
from functools import lru_cache

from headscribe.relations.analysis import distances_of, exact_distances, sides_of
from headscribe.relations.syntax import Arithmetic, Call, Compare, Logic, Negate, Node

REMEMBERED = 4096
"""Relations whose sorting is remembered from passage to passage."""


@dataclass(frozen=True)
class Conditions:
    """Conditions that all hold wherever a relation relates a pair.

    Attributes:
        banded: those that ask for distances between `least` and `most` and nothing else.
        joins: of these the equalities, as what the query has and what the key has by itself.
        least: no related pair has a smaller distance.
        most: no related pair has a greater distance.
    """

    all: tuple[Node, ...]
    query: tuple[Node, ...]
    key: tuple[Node, ...]
    banded: tuple[Node, ...]
    rest: tuple[Node, ...]
    joins: tuple[tuple[Node, Node, Node], ...]
    least: float
    most: float


@lru_cache(maxsize=REMEMBERED)
def conditions_of(node: Node) -> Conditions:
    """Return what holds wherever the expression is true, or neither 0 nor missing."""
    every = _conditions(node)
    query = tuple(one for one in every if "key" not in sides_of(one))
    key = tuple(one for one in every if sides_of(one) == {"key"})
    pairs = [one for one in every if sides_of(one) == {"query", "key"}]
    bounds = [distances_of(pair) for pair in pairs]
    return Conditions(
        every,
        query,
        key,
        tuple(pair for pair in pairs if exact_distances(pair) is not None),
        tuple(pair for pair in pairs if exact_distances(pair) is None),
        tuple(join for pair in pairs if (join := _join(pair)) is not None),
        max((least for least, _ in bounds), default=float("-inf")),
        min((most for _, most in bounds), default=float("inf")),
    )


def alternatives_of(node: Node) -> tuple[Node, ...]:
    """Return the parts of an `or` or an `otherwise`."""
    match node:
        case Logic("or", operands) | Call("otherwise", operands):
            return operands
    return ()


def _conditions(node: Node) -> tuple[Node, ...]:
    match node:
        case Logic("and", operands):
            return tuple(condition for operand in operands for condition in _conditions(operand))
        case Arithmetic("*", left, right):
            return _conditions(left) + _conditions(right)
        case Arithmetic("/", left, _) | Negate(left):
            return _conditions(left)
        case Call("abs" | "log1p", (operand,)):
            return _conditions(operand)
    return (node,)


def _join(node: Node) -> tuple[Node, Node, Node] | None:
    """Return an equality between what each token has by itself, with its query and key sides."""
    if not isinstance(node, Compare) or node.operators != ("==",):
        return None
    left, right = node.operands
    if sides_of(left) == {"query"} and sides_of(right) == {"key"}:
        return node, left, right
    if sides_of(left) == {"key"} and sides_of(right) == {"query"}:
        return node, right, left
    return None
