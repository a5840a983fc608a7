"""Generated relations: what is not marked as looking ahead cannot see what follows.

`HEADSCRIBE_RELATIONS` says how many; ten thousand if it is not set.
"""

import os
import re
from collections.abc import Sequence
from functools import cache

import numpy as np
import pytest

from headscribe.core.visibility import CAUSAL, Visibility
from headscribe.relations import ATTRIBUTES, Evaluator, Relation, parse
from headscribe.relations.analysis import walk
from headscribe.relations.syntax import FUNCTIONS, Arithmetic, Call, Column, Compare, Logic, Negate
from headscribe.text.passages import Passage
from headscribe.text.prefixes import prefix
from tests.passages import make, random_passage, split

HOW_MANY = int(os.environ.get("HEADSCRIBE_RELATIONS", "10000"))
MASKS = (CAUSAL, Visibility(True, 3))
WRITTEN = (
    "Don't 'quote' me: (3) dogs' \"tails\"!",
    "a ''b'' a c'd 1,000 x; [ok] ?! Ünïcode a a , ,",
    "\U0001f600\U0001f44d\U0001f3fd e\u0301te\u0301 12 12 (in ) of of",
)
SPLIT = (
    "\U0001f600\U0001f600 (é) \U0001f600!",
    "日本、日本。「日」本",
    "“naïve” — 12½ ‘é’…",
    "الولد، الولد؟ שלום.",
)
"""Cut into runs of bytes, so that most characters are split."""

COLUMNS = {
    name: [
        [n for n, one in ATTRIBUTES.items() if one.kind == kind and one.looks_ahead == ahead]
        for ahead in (False, True)
    ]
    for name, kind in (("number", "number"), ("text", "text"), ("flag", "boolean"))
}
"""Names by kind: those that do not look ahead, those that do."""

CONDITIONS = (
    "({near} and {c})",
    "({c} and {near})",
    "({c} and {c})",
    "({c} or {c})",
    "(not {c})",
    "({n} {order} {n})",
    "({small} {order} {n} {order} {small})",
    "({n} {in} [{small}, 0, {small}])",
    "({c} {same} {c})",
    "{choice}({c})",
    "highest({n})",
    "otherwise({c}, {c})",
)
ATOMS = (
    "{flag}",
    "{near}",
    "(key.id == query.id)",
    "(key.lower == query.lower)",
    "({number} {order} {small})",
    "({number} {order} {number})",
    "({text} {same} {text})",
    "({text} {same} {literal})",
    "({text} {in} [{literal}, {literal}])",
)
SUMS = (
    "({near} * {n})",
    "({n} * {near})",
    "({near} / {n})",
    "({n} {sign} {n})",
    "({c} {sign} {n})",
    "-{n}",
    "{lone}({n})",
    "{extreme}({n}, {n})",
    "count({c})",
    "otherwise({n}, {n}, {c})",
    "number({text})",
)
LEAVES = ("distance", "text_length", "{small}", "{number}", "{number}")
FILLED = {
    "near": (
        "(distance < 0)", "(distance <= -1)", "(distance < -1)", "(-4 < distance < -1)",
        "(distance in [-1, -2])", "(distance == -2)", "(distance < 1)",
    ),
    "small": ("0", "1", "2", "-1", "0.5", "-3"),
    "order": ("<", "<=", ">", ">=", "==", "!="),
    "same": ("==", "!="),
    "in": ("in", "not in"),
    "choice": ("any", "nearest", "first", "last"),
    "sign": ("+", "-", "*", "/"),
    "lone": ("abs", "log1p"),
    "extreme": ("min", "max"),
    "literal": ('"the"', '"a"', '","', '"("', '"cat"', '"NOUN"', '"det"', '"12"'),
}  # fmt: skip
WALKS = ("", "", "", "next.", "next.", "prev.", "next.next.", "prev.next.")


class Writer:
    """Writes random relations; about one column in twelve reads what looks ahead."""

    def __init__(self, seed: int) -> None:
        self._draw = np.random.default_rng(seed)

    def relation(self) -> str:
        """A condition or a number."""
        return self._fill(
            "{c}" if self._draw.random() < 0.6 else "{n}", int(self._draw.integers(5))
        )

    def _one(self, of: Sequence[str]) -> str:
        return of[int(self._draw.integers(len(of)))]

    def _fill(self, form: str, depth: int) -> str:
        return re.sub(r"\{(\w+)\}", lambda hole: self._filled(hole[1], depth), form)

    def _filled(self, what: str, depth: int) -> str:
        deeper = depth > 0 and self._draw.random() < 0.8
        match what:
            case "c":
                return self._fill(self._one(CONDITIONS if deeper else ATOMS), depth - 1)
            case "n":
                return self._fill(self._one(SUMS if deeper else LEAVES), depth - 1)
            case "number" | "text" | "flag":
                names = self._one(COLUMNS[what][self._draw.random() < 0.08] or COLUMNS[what][0])
                return f"{self._one(('query', 'key'))}.{self._one(WALKS)}{names}"
        return self._one(FILLED[what])


@cache
def _texts() -> tuple[tuple[Passage, tuple[Passage, ...]], ...]:
    """Short texts, each with all its beginnings."""
    whole = [random_passage(seed, 8, special=seed % 2 == 0) for seed in range(6)]
    whole += [make(text, piece=3) for text in WRITTEN]
    whole += [split(text, seed) for seed, text in enumerate(SPLIT)]
    return tuple((one, tuple(prefix(one, n) for n in range(1, len(one)))) for one in whole)


def _changed(relation: Relation, text: int, mask: Visibility, every: int = 1) -> str:
    """The first row of a beginning of the text that is another in the whole, or ""."""
    whole, beginnings = _texts()[text]
    full = Evaluator(whole, mask).dense(relation)
    for part in beginnings[text % every :: every]:
        n = len(part)
        rows = Evaluator(part, mask).dense(relation)
        if rows.tobytes() != np.ascontiguousarray(full[:n, :n]).tobytes():
            row = int(np.argwhere(rows != full[:n, :n])[0, 0])
            return f"`{relation}`: row {row} of {whole.text!r} changes with the tokens from {n} on"
    return ""


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_beginnings_are_those_of_the_whole_bit_for_bit(seed: int) -> None:
    writer, blind, read, used = Writer(seed), 0, set(), set()
    for number in range(HOW_MANY // 4):
        relation = parse(writer.relation())
        for node in walk(relation.expression):
            match node:
                case Column(_, _, name):
                    read.add(name)
                case Call(name):
                    used.add(name)
                case Compare(operators):
                    used.update(operators)
                case Logic(operator) | Arithmetic(operator):
                    used.add(operator)
                case _:
                    used.add(type(node).__name__)
        if relation.looks_ahead:
            continue
        assert not relation.needs
        blind += 1
        changed = _changed(relation, number % len(_texts()), MASKS[number % 2], every=3)
        assert not changed, changed
    assert blind > HOW_MANY // 10
    assert read == {*ATTRIBUTES, "text_length"}
    signs = {*"+-*/<>", "<=", ">=", "==", "!=", "and", "or", "Not", "Member", Negate.__name__}
    assert used >= {*FUNCTIONS, *signs, "Distance", "Number", "Text"}


def test_pieces_of_a_character_say_nothing_of_those_to_come() -> None:
    seen = 0
    for text in SPLIT:
        for seed in range(20):
            whole = split(text, seed)
            raw, read = text.encode(), 0
            for i, token in enumerate(whole.tokens):
                read += len(token.encode("latin-1"))
                known = raw[:read].decode(errors="ignore")
                start, end = whole.read_spans[i]
                seen += end < whole.spans[i, 1]
                assert known.endswith(text[start:end])
                assert end == len(known)
                part = prefix(whole, i + 1)
                assert part.text == known
                np.testing.assert_array_equal(part.read_spans, whole.read_spans[: i + 1])
    assert seen > 100


LEAKS = (
    "(distance <= -1) * key.next.id == 0",
    "not ((distance <= -1) * key.next.id < 1)",
    "(distance <= -1) / key.next.index + 1",
    "max(0, 1 - (distance <= -1) * key.next.index)",
    "otherwise((distance <= -1) * key.next.id == 0, key.index == 0)",
    "count((distance < 0) * key.next.id == 0)",
    "abs((distance < 0) * key.next.id) + 1",
    "(distance < 0) / (key.next.text == query.text) == 0",
    "(distance < 0) / key.next.is_punct == 0",
    "(distance <= -1) * key.next.opening == 0",
    # Siblings: hidden deeper, in sets, chains, choices, fall-backs and negatives.
    "-((distance < 0) * key.next.id) in {0}",
    "-1 < log1p((distance < 0) * key.next.index) < 1",
    "otherwise((distance < 0) * key.next.id, 3) < 2",
    "min((distance < 0) / (0 + key.next.is_punct), 0) == 0 and distance == 0",
    "nearest((distance < -1) * key.next.next.run == 0)",
    "highest(1 - (distance < 0) * key.next.id)",
    "any(abs((distance < 0) / key.next.is_upper) <= 0)",
    "(distance < 0) * ((distance < 0) * key.next.id == 0) + ((distance < 0) * key.next.id >= 0)",
)


@pytest.mark.parametrize("source", LEAKS)
def test_a_product_hides_nothing_that_is_compared(source: str) -> None:
    relation = parse(source)
    assert relation.looks_ahead
    assert any(_changed(relation, text, CAUSAL) for text in range(len(_texts())))


@pytest.mark.parametrize(
    "source",
    [
        "key.next.id == query.id and distance < 0",
        "(distance < -1) * key.next.next.index",
        "(distance < 0) / (1 + abs(key.next.index - query.index))",
        "-log1p(abs((distance < 0) * key.next.index))",
        "highest((distance < 0) * key.next.index)",
        "count(distance < 0 and key.next.is_punct) > 1",
        "otherwise((distance < 0) * key.next.run, 1)",
        "not (distance < 0 and not key.next.is_upper)",
    ],
)
def test_what_cannot_be_told_apart_is_not_marked(source: str) -> None:
    relation = parse(source)
    assert not relation.looks_ahead
    assert not any(_changed(relation, text, CAUSAL) for text in range(len(_texts())))
