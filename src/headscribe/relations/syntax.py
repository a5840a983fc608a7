"""The expressions of the relation language, and how they print."""

import json
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["boolean", "number", "text"]
"""What an expression yields for a (query, key) pair."""

Side: TypeAlias = Literal["query", "key"]
"""Which token of the pair a column reads."""


@dataclass(frozen=True)
class Number:
    """A numeric literal."""

    value: float


@dataclass(frozen=True)
class Text:
    """A string literal."""

    value: str


@dataclass(frozen=True)
class Distance:
    """Key index minus query index."""


@dataclass(frozen=True)
class Column:
    """An attribute of one of the two tokens: `query.head`, `key.prev.id`.

    Attributes:
        steps: neighbours to walk to first, +1 for `next`, -1 for `prev`.
    """

    side: Side
    steps: tuple[int, ...]
    name: str
    kind: Kind


@dataclass(frozen=True)
class Compare:
    """A chain of comparisons, `operands[0] operators[0] operands[1] ...`."""

    operators: tuple[str, ...]
    operands: "tuple[Node, ...]"


@dataclass(frozen=True)
class Member:
    """Membership in a literal set, its members sorted."""

    item: "Node"
    values: tuple[float, ...] | tuple[str, ...]
    negated: bool


@dataclass(frozen=True)
class Logic:
    """`and` or `or` of two or more conditions."""

    operator: Literal["and", "or"]
    operands: "tuple[Node, ...]"


@dataclass(frozen=True)
class Not:
    """The negation of a condition."""

    operand: "Node"


@dataclass(frozen=True)
class Arithmetic:
    """`left operator right` with one of `+ - * /`."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Negate:
    """The negative of a number."""

    operand: "Node"


@dataclass(frozen=True)
class Call:
    """A function of the language."""

    name: str
    arguments: "tuple[Node, ...]"


Node: TypeAlias = (
    Number | Text | Distance | Column | Compare | Member | Logic | Not | Arithmetic | Negate | Call
)

ELEMENTWISE = {"log1p": 1, "abs": 1, "min": 2, "max": 2}
"""Functions of numbers, with the least number of arguments."""

OF_TEXTS = ("number",)
"""Functions of a text: `number(key.text)` is what a numeral is worth, missing for other texts."""

ROWWISE: dict[str, Kind] = {"any": "boolean", "count": "number"}
"""What a query's visible related keys amount to; the same for every key of the row."""

CHOICES = ("nearest", "first", "last", "highest")
"""Choose one visible related key a query."""

FUNCTIONS = (*ELEMENTWISE, *OF_TEXTS, *ROWWISE, *CHOICES, "otherwise")


def children(node: Node) -> tuple[Node, ...]:
    """Return the direct sub-expressions."""
    match node:
        case Compare(_, operands) | Logic(_, operands):
            return operands
        case Member(operand) | Not(operand) | Negate(operand):
            return (operand,)
        case Arithmetic(_, left, right):
            return (left, right)
        case Call(_, arguments):
            return arguments
    return ()


def kind_of(node: Node) -> Kind:
    """Return what the expression yields."""
    match node:
        case Text():
            return "text"
        case Column(kind=kind):
            return kind
        case Compare() | Member() | Logic() | Not():
            return "boolean"
        case Call("otherwise", arguments):
            every = all(kind_of(argument) == "boolean" for argument in arguments)
            return "boolean" if every else "number"
        case Call(name):
            return "boolean" if name in CHOICES else ROWWISE.get(name, "number")
    return "number"


_LEVEL = {"or": 1, "and": 2, "not": 3, "compare": 4, "+": 5, "-": 5, "*": 6, "/": 6, "negate": 7}
_ATOM = 8


_UNSEEN = re.compile(r"[^\x20-\x7e]")


def _escaped(found: re.Match[str]) -> str:
    """A line separator or another character that cannot be seen, as the parser reads it back."""
    character = found[0]
    seen = character.isprintable() or ord(character) > 0xFFFF
    return character if seen else f"\\u{ord(character):04x}"


def _literal(value: float | str) -> str:
    if isinstance(value, str):
        return _UNSEEN.sub(_escaped, json.dumps(value, ensure_ascii=False))
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


def _print(node: Node, least: int) -> str:
    """Print `node`, in parentheses where it binds less tightly than `least`."""
    match node:
        case Number(value):
            text, level = _literal(value), _ATOM if value >= 0 else _LEVEL["negate"]
        case Text(value=characters):
            text, level = _literal(characters), _ATOM
        case Distance():
            text, level = "distance", _ATOM
        case Column(side, steps, name):
            walk = ["next" if step > 0 else "prev" for step in steps]
            whole = "." in name or name == "text_length"  # of the whole text: `text.label`
            text, level = name if whole else ".".join([side, *walk, name]), _ATOM
        case Compare(operators, operands):
            level = _LEVEL["compare"]
            parts = [_print(operands[0], level + 1)]
            for operator, operand in zip(operators, operands[1:], strict=True):
                parts += [operator, _print(operand, level + 1)]
            text = " ".join(parts)
        case Member(item, values, negated):
            level = _LEVEL["compare"]
            members = ", ".join(_literal(value) for value in values)
            text = f"{_print(item, level + 1)} {'not ' * negated}in {{{members}}}"
        case Logic(word, operands):
            level = _LEVEL[word]
            text = f" {word} ".join(_print(operand, level + 1) for operand in operands)
        case Not(operand):
            level = _LEVEL["not"]
            text = f"not {_print(operand, level)}"
        case Arithmetic(operator, left, right):
            level = _LEVEL[operator]
            text = f"{_print(left, level)} {operator} {_print(right, level + 1)}"
        case Negate(operand):
            level = _LEVEL["negate"]
            text = f"-{_print(operand, level)}"
        case Call(name, arguments):
            level = _ATOM
            text = f"{name}({', '.join(_print(argument, 0) for argument in arguments)})"
    return text if level >= least else f"({text})"


def canonical(node: Node) -> str:
    """Print an expression so that parsing it gives the expression back."""
    return _print(node, 0)
