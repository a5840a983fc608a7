"""What can be said of a relation without a passage: needs, atoms, distances, looking ahead."""

import math
from collections.abc import Iterator

from headscribe.relations.attributes import TEXT_LENGTH, attribute
from headscribe.relations.syntax import (
    CHOICES,
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
    Number,
    Side,
    children,
)

Bounds = tuple[float, float]
"""Least and greatest distance of a related pair, both inclusive."""

ANYWHERE: Bounds = (-math.inf, math.inf)


def walk(node: Node) -> Iterator[Node]:
    """Yield `node` and every expression inside it."""
    yield node
    for child in children(node):
        yield from walk(child)


def needs_of(node: Node) -> frozenset[str]:
    """Return the word fields that the expression reads."""
    columns = (column for column in walk(node) if isinstance(column, Column))
    return frozenset(field for column in columns for field in attribute(column.name).needs)


def of_positions(node: Node) -> bool:
    """Return whether it reads nothing but where tokens are and which of them are special."""
    names = {column.name for column in walk(node) if isinstance(column, Column)}
    return names <= {"index", "from_end", TEXT_LENGTH, "is_special"}


def atoms_of(node: Node) -> int:
    """Count comparisons, memberships and bare conditions; at least 1."""
    atoms = 0
    for one in walk(node):
        if isinstance(one, Compare):
            atoms += len(one.operators)
            atoms -= sum(isinstance(x, Column) and x.kind == "boolean" for x in one.operands)
        elif isinstance(one, Member) or (isinstance(one, Column) and one.kind == "boolean"):
            atoms += 1
    return max(atoms, 1)


def sides_of(node: Node) -> frozenset[Side]:
    """Return which tokens of the pair the value depends on; a choice depends on both."""
    match node:
        case Distance():
            return frozenset({"query", "key"})
        case Column(side):
            return frozenset({side})
        case Call(name) if name in ROWWISE:
            return frozenset({"query"})
        case Call(name) if name in CHOICES:
            return frozenset({"query", "key"})
        case Call("otherwise"):
            return frozenset({"query", "key"})
    return frozenset(side for child in children(node) for side in sides_of(child))


_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _step(left: Node, operator: str, right: Node) -> Bounds | None:
    """Distances that satisfy one comparison exactly; None where it is not of distance alone."""
    if isinstance(left, Number):
        left, operator, right = right, _FLIPPED[operator], left
    if not isinstance(right, Number):
        return None
    value = right.value
    if isinstance(left, Distance):
        match operator:
            case "==":
                return (value, value) if value == int(value) else (1.0, 0.0)
            case "<" | "<=":
                below = math.floor(value)
                return (-math.inf, below - (operator == "<" and below == value))
            case ">" | ">=":
                above = math.ceil(value)
                return (above + (operator == ">" and above == value), math.inf)
        return None
    if left == Call("abs", (Distance(),)) and operator in {"<", "<="}:
        below = math.floor(value)
        reach = below - (operator == "<" and below == value)
        return (-reach, reach)
    return None


def exact_distances(node: Node) -> Bounds | None:
    """Return the distances that are all that the condition asks for; None where it asks more."""
    if not isinstance(node, Compare):
        return None
    low, high = ANYWHERE
    for left, operator, right in zip(
        node.operands, node.operators, node.operands[1:], strict=False
    ):
        bounds = _step(left, operator, right)
        if bounds is None:
            return None
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return low, high


def distances_of(node: Node) -> Bounds:
    """Return bounds on the distance of every pair that the expression relates."""
    match node:
        case Compare(operators, operands):
            steps = [_step(*one) for one in zip(operands, operators, operands[1:], strict=False)]
            return _both([step for step in steps if step is not None])
        case Member(Distance(), values, False):
            numbers = [value for value in values if isinstance(value, float)]
            return (min(numbers), max(numbers))
        case Logic("and", operands):
            return _both([distances_of(operand) for operand in operands])
        case Logic("or", operands) | Call("otherwise", operands):
            lows, highs = zip(*map(distances_of, operands), strict=True)
            return min(lows), max(highs)
        case Call(name, operands) if name in CHOICES:
            return distances_of(operands[0])
        case Call("abs" | "log1p", operands):
            return distances_of(operands[0])
        case Arithmetic("*", left, right):
            return _both([distances_of(left), distances_of(right)])
        case Arithmetic("/", left, _):
            return distances_of(left)
        case Negate(operand):
            return distances_of(operand)
    return ANYWHERE


def _both(bounds: list[Bounds]) -> Bounds:
    return (
        max((low for low, _ in bounds), default=-math.inf),
        min((high for _, high in bounds), default=math.inf),
    )


def only_later(node: Node) -> bool:
    """Return whether the relation, its fall-backs aside, points at keys after the query only."""
    while isinstance(node, Call) and node.name == "otherwise":
        node = node.arguments[0]
    return distances_of(node)[0] >= 1


def looks_ahead(node: Node) -> bool:
    """Return whether a causal row may depend on tokens after the query.

    What counts is what a cell reads. `key.next` is known to the query only where the key stands at
    least one before it, and only an `and` makes sure that nothing else is read: its other side is
    true or false wherever it stands. Numbers are another matter. `(distance < 0) * key.next.id`
    is 0 beside the query as long as there is a next token, and missing at the end of the text; so
    a product hides what it reads only where 0 and missing come to the same, that is where a cell
    counts by being neither.
    """
    return _reads_later(node, 0.0, zero_is_missing=True)


def _reads_later(node: Node, farthest: float, *, zero_is_missing: bool) -> bool:
    """Look through an expression for reads beyond the query.

    Args:
        farthest: the greatest distance at which its value counts; 0 where the mask is causal.
        zero_is_missing: whoever uses the value does not tell 0 from missing.
    """
    match node:
        case Column(side, steps, name):
            if attribute(name).looks_ahead:
                return True
            at, reach = 0, 0
            for step in steps:
                at += step
                reach = max(reach, at)
            return reach + (farthest if side == "key" else 0) > 0
        case Logic("and", operands):
            farthest = min(farthest, distances_of(node)[1])
        case Arithmetic("*" | "/", left, right):
            operands = (left, right)
            if zero_is_missing:
                farthest = min(farthest, distances_of(node)[1])
        case Call(name, operands) if name in ROWWISE or name in CHOICES:
            # Row-wise functions look at every visible key, whatever cell asks for their value.
            farthest, zero_is_missing = 0.0, True
        case Call("otherwise", operands):
            farthest = 0.0
        case Negate() | Call("abs" | "log1p"):
            operands = children(node)
        case _:
            # Comparisons, sums, the lesser and the greater do tell 0 from missing.
            operands, zero_is_missing = children(node), False
    return any(
        _reads_later(operand, farthest, zero_is_missing=zero_is_missing) for operand in operands
    )
