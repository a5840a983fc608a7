"""Relations in plain words: which keys a token reads, as a phrase.

>>> in_words("distance == 3"), in_words("key.lower == query.lower and distance < 0")
('the token 3 after it', 'the same token, before it')
>>> in_words('key.lower == "a" and query.lower == "c"')
'“a”, where it is “c”'
"""

from collections.abc import Iterable

from headscribe.relations.analysis import sides_of
from headscribe.relations.attributes import TEXT_LENGTH
from headscribe.relations.language import parse
from headscribe.relations.syntax import (
    Arithmetic,
    Call,
    Column,
    Compare,
    Distance,
    Logic,
    Member,
    Node,
    Not,
    Number,
    Text,
    canonical,
    children,
)

_SHOWN = 4  # words of a set that a phrase names
_FLAGS = {
    "is_bos": "the opening token", "is_eos": "closing tokens", "is_special": "special tokens",
    "is_punct": "punctuation", "is_upper": "capitalised tokens", "is_digit": "digits",
    "is_word_start": "tokens that begin a word",
}  # fmt: skip
_ONE = {
    "closing tokens": "a closing token", "special tokens": "a special token",
    "capitalised tokens": "capitalised", "digits": "a number",
    "tokens that begin a word": "the beginning of a word",
}  # fmt: skip
_NOUNS = {
    "index": "position", "from_end": "distance from the end", "id": "token", "text": "token",
    "lower": "token", "earlier": "count of earlier copies", "occurrences": "count in the text",
    "rank": "rank among the numerals", "length": "length", "text_length": "length of the text",
    "upos": "part of speech", "dep": "syntactic role", "base_dep": "syntactic role",
    "opening": "opening bracket", "suffix": "ending",
}  # fmt: skip
_TOKENS = ("id", "text", "lower", "lemma")
_IS = {
    "==": "is", "!=": "is not", "<": "is less than", "<=": "is at most", ">": "is more than",
    ">=": "is at least",
}  # fmt: skip
_SWAPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "==", "!=": "!="}
_PLACES = {
    "==": ("the token {n} {way} it", "{n} {way} it"), "<": ("tokens before it", "before it"),
    ">": ("tokens after it", "after it"), "<=": ("itself and tokens before it", "up to it"),
    ">=": ("itself and tokens after it", "from it on"),
}  # fmt: skip
_AS_MUCH = {
    "length": {"==": "words as long as it", ">": "longer words", "<": "shorter words"},
    "occurrences": {
        "==": "tokens that occur as often", ">": "tokens that occur more often",
        "<": "tokens that occur less often",
    },
    "value": {
        "==": "numerals equal to it", ">": "numerals greater than it", "<": "numerals less than it",
        ">=": "numerals at least as great", "<=": "numerals at most as great",
    },
}  # fmt: skip


def in_words(relation: str) -> str:
    """The keys of a boolean relation, as the object of "reads"; all of it is said."""
    return _phrase(parse(relation).expression)


def readers(relation: str) -> tuple[Node, ...]:
    """The conditions of a relation that speak of the query alone."""
    return tuple(
        condition
        for condition in _conditions(parse(relation).expression)
        if sides_of(condition) == {"query"}
    )


def _conditions(node: Node) -> tuple[Node, ...]:
    return node.operands if isinstance(node, Logic) and node.operator == "and" else (node,)


def _phrase(node: Node) -> str:
    if isinstance(node, Logic) and node.operator == "or":
        return ", or ".join(map(_phrase, node.operands))
    if isinstance(node, Not) and not _is_content(node):
        return f"all but {_phrase(node.operand)}"
    conditions = _conditions(node)
    conditions = tuple(condition for condition in conditions if not _is_content(condition))
    of_query = [condition for condition in conditions if sides_of(condition) == {"query"}]
    said = [_said(condition) for condition in conditions if condition not in of_query]
    said.sort(key=lambda one: one[2])
    keys = ", ".join([said[0][0], *(after or noun for noun, after, _ in said[1:])] if said else [])
    where = " and ".join(map(_reader, of_query))
    return (keys or "every token") + f", where {where}" * bool(where)


def _reader(node: Node) -> str:
    """What a query is where a relation speaks of it."""
    noun, *_ = _said(node)
    kind, whose, rest = noun.partition(" whose ")
    if whose and kind in _KINDS:
        return f"its {rest.removeprefix('its own ')}"
    if isinstance(node, Member):
        noun = noun.replace("” and “", "” or “").replace("” and ", "” or ")
    return f"it is {_ONE.get(noun, noun)}"


def _is_content(node: Node) -> bool:
    return isinstance(node, Not) and isinstance(node.operand, Column) and (
        node.operand.name == "is_special"
    )  # fmt: skip


def _said(node: Node) -> tuple[str, str, int]:
    """A condition as a noun, as what may follow another noun, and how late it is said."""
    match node:
        case Column(steps=(), name=name) if name in _FLAGS:
            return _FLAGS[name], f"only {_FLAGS[name]}", 0
        case Member(item, values, negated) if (word := _token(item)) is not None:
            listed = f"{word}{_listed(values)}"
            return f"{'all but ' * negated}{listed}", f"{'not' if negated else 'only'} {listed}", 0
        case Compare((operator,), (item, Text(value))) if (word := _token(item)) is not None:
            other = "all but " if operator == "!=" else ""
            return f"{other}{word}“{value}”", f"{'not' if other else 'only'} {word}“{value}”", 0
        case Member(Column() as item, values, negated):
            after = f"whose {_operand(item)} is {'not ' * negated}{_listed(values, 'or')}"
            return f"tokens {after}", after, 0
        case Compare(("==" | "!=" as operator,), (Column() as item, Text(value))):
            after = f"whose {_operand(item)} {_IS[operator]} {value}"
            return f"tokens {after}", after, 0
        case Compare((operator,), (left, Number(value))) if (
            place := _place(left, operator, value)
        ) is not None:
            return *place, 1
        case Compare((operator,), (left, right)):
            found = _compared(left, operator, right) or _compared(right, _SWAPPED[operator], left)
            if found is not None:
                return found, f"{found}", 0
        case Compare(("<" as least, "<="), (Number(low), Distance(), Number(high))) | Compare(
            ("<=" as least, "<"), (Number(low), Distance(), Number(high))
        ) if (low if least == "<" else high) == 0:
            n, way = (high, "after") if least == "<" else (-low, "before")
            return f"the {n:g} tokens {way} it", f"at most {n:g} {way} it", 1
        case Call("first" | "last" | "nearest" as name, (inner,)):
            of = _phrase(inner)
            copy = "copy of" if of == "the same token" else "of these:"
            return f"the {name} {copy} {of}", "", 0
        case Call("highest", (Call("number", (Column("key", ()),)),)):
            return "the greatest numeral", "", 0
        case Call("highest", (inner,)) if (what := _operand(inner)) is not None:
            return f"tokens whose {what} is greatest", "", 0
    exact = canonical(node)
    return f"tokens with `{exact}`", f"with `{exact}`", 2


def _listed(values: Iterable[float | str], joined: str = "and") -> str:
    words = [f"“{value}”" if isinstance(value, str) else f"{value:g}" for value in values]
    if len(words) > _SHOWN + 1:
        words = [*words[:_SHOWN], f"{len(words) - _SHOWN} more words"]
    return f" {joined} ".join([", ".join(words[:-1])] * (len(words) > 1) + words[-1:])


def _token(node: Node) -> str | None:
    """What stands before a word for a token that is it, or follows or precedes it."""
    if not isinstance(node, Column) or node.name not in _TOKENS or len(node.steps) > 1:
        return None
    return {(): "", (-1,): "what follows ", (1,): "what precedes "}[node.steps]


def _place(left: Node, operator: str, value: float) -> tuple[str, str] | None:
    """A distance, or an attribute of one token against a number."""
    n = f"{abs(value):g}"
    match left, operator:
        case Distance(), "==" if value in (0, 1, -1):
            noun = {0: "itself", 1: "the next token", -1: "the previous token"}[int(value)]
            return noun, noun
        case Distance(), "!=" if value == 0:
            return "tokens elsewhere", "elsewhere"
        case Distance(), _ if operator in _PLACES and (operator == "==" or value == 0):
            way = "after" if value > 0 else "before"
            noun, after = _PLACES[operator]
            return noun.format(n=n, way=way), after.format(n=n, way=way)
        case Arithmetic("-", Column("key", (), "word"), Column("query", (), "word")), "==":
            return _place(Distance(), operator, value)
        case Call("abs", (Distance(),)), "==":
            return ("the tokens beside it", "beside it") if value == 1 else (
                f"the tokens {n} away", f"{n} away"
            )  # fmt: skip
        case Call("abs", (Distance(),)), "<=" | "<":
            most = f"{value - (operator == '<'):g}"
            if most == "1":
                return "itself and the tokens beside it", "at most 1 away"
            return f"itself and tokens up to {most} away", f"up to {most} away"
        case Call("abs", (Distance(),)), ">=" | ">":
            least = f"{value + (operator == '>'):g}"
            return f"tokens at least {least} away", f"at least {least} away"
        case Column(steps=(), name="index"), "==":
            return f"the token at position {n}", f"at position {n}"
        case Column(steps=(), name="from_end"), "==":
            but = f" but {'one' if value == 1 else n}" if value else ""
            return f"the last token{but}", f"the last token{but}"
        case Column(steps=(), name="occurrences"), "==" if value == 1:
            return "tokens that occur once", "that occur once"
    what = _operand(left)
    if what is None or operator not in _IS:
        return None
    sides = sides_of(left)
    if len(sides) == 1:
        what = what.removeprefix("its own ")
    after = f"whose {what} {_IS[operator]} {value:g}"
    return f"{_kind(left)} {after}", after


_KINDS = ("tokens", "numerals", "words")


def _kind(node: Node) -> str:
    """What has such an attribute."""
    match node:
        case Column(name="length"):
            return "words"
        case Call("number", _):
            return "numerals"
    return "numerals" if any(_kind(one) == "numerals" for one in children(node)) else "tokens"


def _compared(left: Node, operator: str, right: Node) -> str | None:
    """An attribute of the key against one of the query."""
    if "key" not in sides_of(left) or operator not in _IS:
        return None
    one, other = _attribute(left), _attribute(right)
    apart = sides_of(left) == {"key"} and sides_of(right) == {"query"}
    if apart and one is not None and other is not None and one[0] == other[0]:
        (name, key), (_, query) = one, other
        if name in _TOKENS and operator in ("==", "!="):
            token = "the same token" if operator == "==" else "other tokens"
            token = token.replace("token", "lemma") if name == "lemma" else token
            if key == query and key:
                return f"tokens {_beside(key)} {token}"
            begin = f"what {'follows' if key == (-1,) else 'precedes'} " if key else ""
            at = f" as the one {_neighbour(query)} it" if query else ""
            return f"{begin}{token}{at}" if len(key) < 2 and len(query) < 2 else None
        if not key and not query and operator in _AS_MUCH.get(name, {}):
            return _AS_MUCH[name][operator]
    match left, operator, right:
        case Call("number", (Column("key", ()),)), "==", Arithmetic(
            "+" | "-" as sign, Call("number", (Column("query", ()),)), Number(value)
        ):
            return f"the numeral {value:g} {'greater' if sign == '+' else 'less'} than it"
        case Column("key", (), "index"), "==", Column("query", (), "opening"):
            return "the bracket that opened it"
        case Column("key", (), "head"), "==", Column("query", (), "word"):
            return "its dependents"
        case Column("key", (), "word"), "==", Column("query", (), "head"):
            return "its syntactic head"
    mine, its = _operand(left), _operand(right)
    if mine is None or its is None:
        return None
    return f"{_kind(left)} whose {mine} {_IS[operator]} {its}"


def _attribute(node: Node) -> tuple[str, tuple[int, ...]] | None:
    match node:
        case Column(steps=steps, name=name):
            return name, steps
        case Call("number", (Column(steps=steps),)):
            return "value", steps
    return None


def _neighbour(steps: tuple[int, ...]) -> str:
    return "before" if steps[0] < 0 else "after"


def _beside(steps: tuple[int, ...]) -> str:
    return f"that stand {'after' if steps[0] < 0 else 'before'}"


def _operand(node: Node) -> str | None:
    """A number in words; those of the query are "its own"."""
    match node:
        case Number(value):
            return f"{value:g}"
        case Column() | Call("number", _) if (found := _attribute(node)) is not None:
            name, steps = found
            noun = _NOUNS.get(name, name.replace("_", " "))
            near = "".join(f"{'previous' if s < 0 else 'next'} token’s " for s in steps)
            if name == TEXT_LENGTH:
                return f"the {noun}"
            return f"{near}{noun}" if sides_of(node) == {"key"} else f"its own {near}{noun}"
        case Arithmetic(operator, left, right):
            one, other = _operand(left), _operand(right)
            word = {"+": "plus", "-": "less", "*": "times", "/": "over"}[operator]
            return None if one is None or other is None else f"{one} {word} {other}"
    return None
