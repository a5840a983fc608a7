"""From text to expressions: Python's grammar, cut down to a whitelist."""

import ast
import contextlib
import math
import threading

from headscribe.core.errors import UsageError, unknown_name
from headscribe.relations.attributes import ATTRIBUTES, OF_TEXT, TEXT_LENGTH
from headscribe.relations.spelling import MAX_CHARACTERS, check_spelling
from headscribe.relations.syntax import (
    CHOICES,
    ELEMENTWISE,
    FUNCTIONS,
    OF_TEXTS,
    ROWWISE,
    Arithmetic,
    Call,
    Column,
    Compare,
    Distance,
    Kind,
    Logic,
    Member,
    Negate,
    Node,
    Not,
    Number,
    Side,
    Text,
    canonical,
    kind_of,
)

MAX_NODES = 200
MAX_DEPTH = 32
MAX_MEMBERS = 200

_PARSING = threading.Lock()
_TRIES = 9

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
}
_STEPS = {"prev": -1, "next": +1}
_NAMES = ("query", "key", "distance", TEXT_LENGTH)
_KINDS: dict[Kind, str] = {"boolean": "a condition", "number": "a number", "text": "text"}


def parse_expression(source: str) -> Node:
    """Parse a relation.

    Raises:
        UsageError: it is not one; says at which column and why.
    """
    plain = check_spelling(source)
    try:
        tree = _grammar(f"({plain})")
    except SyntaxError as error:
        column = min(max((error.offset or 1) - 1, 1), len(plain))
        raise UsageError(f"column {column}: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise UsageError(f"the relation is nested deeper than {MAX_DEPTH}") from None
    _check_size(tree)
    node = _Reader(plain).read(tree)
    if kind_of(node) == "text":
        raise UsageError(
            f"column 1: a relation is a condition or a number, `{canonical(node)}` is text"
        )
    if len(canonical(node)) > MAX_CHARACTERS:
        raise UsageError(f"a relation has at most {MAX_CHARACTERS} characters in canonical print")
    return node


def _grammar(source: str) -> ast.expr:
    """Python's tree of `source`.

    CPython before 3.11.8 and 3.12.2 keeps one counter of depth for all threads: another thread
    that parses meanwhile makes `ast.parse` fail with a SystemError that says nothing about the
    source (gh-106905). Our own threads wait for each other, others are met by trying again.
    """
    for _ in range(_TRIES):
        with _PARSING, contextlib.suppress(SystemError):
            return ast.parse(source, mode="eval").body
    return ast.parse(source, mode="eval").body


def _check_size(tree: ast.expr) -> None:
    """Refuse trees of too many nodes or too deep, without recursion."""
    waiting: list[tuple[ast.AST, int]] = [(tree, 1)]
    nodes = 0
    while waiting:
        node, depth = waiting.pop()
        nodes += 1
        if nodes > MAX_NODES:
            raise UsageError(f"a relation has at most {MAX_NODES} nodes, this one has more")
        if depth > MAX_DEPTH:
            raise UsageError(f"the relation is nested deeper than {MAX_DEPTH}")
        waiting += [
            (child, depth + 1)
            for child in ast.iter_child_nodes(node)
            if isinstance(child, ast.expr)
            and not (isinstance(node, ast.Set) and isinstance(child, ast.Constant))
        ]


class _Reader:
    """Turns Python's syntax tree into expressions of the language."""

    def __init__(self, source: str) -> None:
        self._bytes = source.encode()

    def _column(self, tree: ast.expr) -> int:
        """Column of `tree` (of an attribute: its name) in the source, from 1.

        Python counts bytes from 0, and one bracket that is not in the source.
        """
        offset = tree.col_offset
        if isinstance(tree, ast.Attribute) and tree.end_col_offset is not None:
            offset = tree.end_col_offset - len(tree.attr)
        return len(self._bytes[: offset - 1].decode()) + 1

    def _error(self, tree: ast.expr, reason: str) -> UsageError:
        return UsageError(f"column {self._column(tree)}: {reason}")

    def _expect(self, tree: ast.expr, kinds: set[Kind], where: str) -> Node:
        """Read `tree`, which has to be of one of `kinds`."""
        node = self.read(tree)
        if kind_of(node) not in kinds:
            wanted = " or ".join(sorted(_KINDS[kind] for kind in kinds))
            got = f"`{canonical(node)}` is {_KINDS[kind_of(node)]}"
            raise self._error(tree, f"{where} takes {wanted}, {got}")
        return node

    def read(self, tree: ast.expr) -> Node:
        """Read one expression."""
        match tree:
            case ast.Constant():
                return self._literal(tree)
            case ast.Name():
                return self._name(tree)
            case ast.Attribute():
                return self._attribute(tree)
            case ast.Compare():
                return self._compare(tree)
            case ast.BoolOp():
                return self._logic(tree)
            case ast.UnaryOp():
                return self._unary(tree)
            case ast.BinOp():
                return self._arithmetic(tree)
            case ast.Call():
                return self._call(tree)
            case ast.Set() | ast.List() | ast.Tuple():
                raise self._error(tree, "a set of literals may stand right of `in` only")
        raise self._error(tree, f"{type(tree).__name__} is no part of the relation language")

    def _literal(self, tree: ast.Constant) -> Number | Text:
        value = tree.value
        if isinstance(value, str):
            if any("\ud800" <= character <= "\udfff" for character in value):
                raise self._error(tree, "half of a surrogate pair cannot be part of a relation")
            return Text(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(
                tree, f"{value!r} is no literal of the language; use numbers and strings"
            )
        number = float(value)
        if not math.isfinite(number):
            raise self._error(tree, "a number must be finite")
        return Number(number + 0.0)

    def _name(self, tree: ast.Name) -> Node:
        if tree.id == "distance":
            return Distance()
        if tree.id == TEXT_LENGTH:
            return Column("query", (), TEXT_LENGTH, "number")
        if tree.id in {"query", "key"}:
            raise self._error(
                tree, f"`{tree.id}` is a token; ask for an attribute, `{tree.id}.word`"
            )
        if tree.id in FUNCTIONS:
            raise self._error(tree, f"`{tree.id}` is a function; call it, `{tree.id}(...)`")
        raise self._unknown(tree, "name of the relation language", tree.id, [*_NAMES, *FUNCTIONS])

    def _unknown(
        self, tree: ast.expr, what: str, name: str, known: list[str], prefix: str = ""
    ) -> UsageError:
        shown = name if len(name) <= 60 else f"{name[:60]}..."
        error = unknown_name(what, prefix + shown, [prefix + one for one in known])
        return self._error(tree, str(error))

    def _attribute(self, tree: ast.Attribute) -> Column:
        names: list[str] = []
        owner: ast.expr = tree
        while isinstance(owner, ast.Attribute):
            names.insert(0, owner.attr)
            owner = owner.value
        if not isinstance(owner, ast.Name):
            raise self._error(tree, "only `query`, `key` and `text` have attributes")
        side: Side
        if owner.id == "query":
            side = "query"
        elif owner.id == "key":
            side = "key"
        elif owner.id == "text":
            return self._of_text(tree, names)
        else:
            raise self._unknown(owner, "token of the pair", owner.id, ["query", "key"])
        *walk, name = names
        for step in walk:
            if step not in _STEPS:
                raise self._error(
                    tree, f"`{step[:60]}` leads to no token; only `prev` and `next` do"
                )
        prefix = ".".join([side, *walk, ""])
        if name in _STEPS:
            raise self._error(tree, f"`{prefix}{name}` is a token; ask for an attribute of it")
        if name not in ATTRIBUTES:
            raise self._unknown(tree, "token attribute", name, list(ATTRIBUTES), prefix)
        return Column(side, tuple(_STEPS[step] for step in walk), name, ATTRIBUTES[name].kind)

    def _of_text(self, tree: ast.Attribute, names: list[str]) -> Column:
        """`text.label`: the same for every token of a text, so that a row's gate can ask for it."""
        if len(names) > 1:
            raise self._error(tree, f"`text.{names[0][:60]}` is a text and has no attributes")
        return Column("query", (), f"{OF_TEXT}{names[0]}", "text")

    def _compare(self, tree: ast.Compare) -> Node:
        if any(isinstance(operator, ast.In | ast.NotIn) for operator in tree.ops):
            return self._member(tree)
        operators: list[str] = []
        for sign in tree.ops:
            if type(sign) not in _COMPARISONS:
                raise self._error(tree, "`is` is no comparison of the language; use `==`")
            operators.append(_COMPARISONS[type(sign)])
        operands = [self.read(operand) for operand in (tree.left, *tree.comparators)]
        for operator, one, two in zip(operators, operands, operands[1:], strict=False):
            kinds = {kind_of(one), kind_of(two)}
            if len(kinds) > 1:
                left = f"`{canonical(one)}` is {_KINDS[kind_of(one)]}"
                right = f"`{canonical(two)}` is {_KINDS[kind_of(two)]}"
                raise self._error(tree, f"only like compares with like: {left}, {right}")
            if kinds != {"number"} and operator not in {"==", "!="}:
                kind = _KINDS[kinds.pop()]
                raise self._error(
                    tree, f"`{operator}` compares numbers, `{canonical(one)}` is {kind}"
                )
        return Compare(tuple(operators), tuple(operands))

    def _member(self, tree: ast.Compare) -> Member:
        if len(tree.ops) > 1:
            raise self._error(tree, "`in` cannot be chained with another comparison; use `and`")
        group = tree.comparators[0]
        if not isinstance(group, ast.Set | ast.List | ast.Tuple) or not group.elts:
            raise self._error(group, '`in` takes a set of literals such as {"det", "amod"}')
        if len(group.elts) > MAX_MEMBERS:
            raise self._error(
                group, f"a set has at most {MAX_MEMBERS} members, got {len(group.elts)}"
            )
        item = self._expect(tree.left, {"number", "text"}, "`in`")
        numbers: set[float] = set()
        texts: set[str] = set()
        for element in group.elts:
            literal = self.read(element)
            if isinstance(literal, Number):
                numbers.add(literal.value)
            elif isinstance(literal, Text):
                texts.add(literal.value)
            else:
                raise self._error(element, "the members of a set are literals")
            if kind_of(literal) != kind_of(item):
                what = f"`{canonical(item)}` is {_KINDS[kind_of(item)]}"
                raise self._error(element, f"only like compares with like: {what}")
        negated = isinstance(tree.ops[0], ast.NotIn)
        values = tuple(sorted(texts)) if texts else tuple(sorted(numbers))
        return Member(item, values, negated)

    def _logic(self, tree: ast.BoolOp) -> Logic:
        word = "and" if isinstance(tree.op, ast.And) else "or"
        operands: list[Node] = []
        for operand in tree.values:
            node = self._expect(operand, {"boolean"}, f"`{word}`")
            same = isinstance(node, Logic) and node.operator == word
            operands += node.operands if isinstance(node, Logic) and same else [node]
        return Logic("and" if word == "and" else "or", tuple(operands))

    def _unary(self, tree: ast.UnaryOp) -> Node:
        if isinstance(tree.op, ast.Not):
            return Not(self._expect(tree.operand, {"boolean"}, "`not`"))
        if not isinstance(tree.op, ast.USub):
            raise self._error(tree, "the only signs of the language are `-` and `not`")
        operand = self._expect(tree.operand, {"number", "boolean"}, "`-`")
        return Number(0.0 - operand.value) if isinstance(operand, Number) else Negate(operand)

    def _arithmetic(self, tree: ast.BinOp) -> Arithmetic:
        if type(tree.op) not in _ARITHMETIC:
            what = "powers are" if isinstance(tree.op, ast.Pow) else "this operator is"
            raise self._error(tree, f"{what} no part of the language; it has + - * /")
        operator = _ARITHMETIC[type(tree.op)]
        left = self._expect(tree.left, {"number", "boolean"}, f"`{operator}`")
        right = self._expect(tree.right, {"number", "boolean"}, f"`{operator}`")
        return Arithmetic(operator, left, right)

    def _call(self, tree: ast.Call) -> Call:
        if not isinstance(tree.func, ast.Name):
            raise self._error(tree, "only the functions of the language can be called")
        name = tree.func.id
        if name not in FUNCTIONS:
            raise self._unknown(
                tree.func, "function of the relation language", name, list(FUNCTIONS)
            )
        if tree.keywords or any(isinstance(arg, ast.Starred) for arg in tree.args):
            raise self._error(tree, f"`{name}` takes plain arguments only")
        least = ELEMENTWISE.get(name, 2 if name == "otherwise" else 1)
        exact = name not in {"min", "max", "otherwise"}
        if len(tree.args) < least or (exact and len(tree.args) > least):
            wanted = f"{least}" if exact else f"{least} or more"
            raise self._error(tree, f"`{name}` takes {wanted} argument(s), got {len(tree.args)}")
        wants: set[Kind] = {"text"} if name in OF_TEXTS else {"number", "boolean"}
        if name in ROWWISE or (name in CHOICES and name != "highest"):
            wants = {"boolean"}
        elif name == "highest":
            wants = {"number"}
        arguments = tuple(self._expect(arg, wants, f"`{name}`") for arg in tree.args)
        if name in OF_TEXTS and isinstance(arguments[0], Text):
            raise self._error(tree, f"`{name}` reads a token's text, `{name}(key.text)`")
        return Call(name, arguments)
