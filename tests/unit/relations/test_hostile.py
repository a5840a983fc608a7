"""No text can do anything but be refused or compute a matrix within its bounds."""

import ast
import random
import sys
import time
import tracemalloc
import warnings
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.relations import parse
from tests.passages import random_passage

PASSAGE = random_passage(1, 8)


@pytest.fixture(autouse=True)
def _room_for_the_check_of_shapes() -> Iterator[None]:
    """It puts three calls of its own before each of ours, at most."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(4 * before)
    yield
    sys.setrecursionlimit(before)


SECONDS = 0.5
BYTES = 30e6

PIECES = [
    *["query", "key", "distance", ".word", ".head", ".prev", ".next", ".is_punct", ".dep", ".id"],
    *["query.id", "key.is_punct", "key.dep", "key.next.index", "query.head", "distance > 0"],
    *[" and ", " or ", "not ", " in ", " == ", " != ", " < ", " + ", " - ", " * ", " / ", "-"],
    *["(", ")", "[", "]", "{", "}", ",", " ", "\n", "0", "1", "2.5", "1e9", '"det"', "'NOUN'"],
    *["any(", "count(", "nearest(", "first(", "highest(", "otherwise(", "min(", "log1p(", "abs("],
    *[".__class__", ".__globals__", "__import__('os')", "().__class__.__bases__", "eval(", "open("],
    *["lambda: 0", "lambda x: x", "[x for x in key]", "{k: v for k in query}", "(yield)", "await "],
    *["(x := 1)", "x = 1", "f'{query}'", 'f"{0!r:>{9**9}}"', "b'x'", 'r"\\"', '"""', "'''", "\\"],
    *["**", "9**9**9", "<<", ">>", "@", "%", "~", "^", "&", "|", "//", "...", ";", ":", "#", "?"],
    *["9" * 25, "9" * 4400, "1" * 19, "0x1F", "1_0", "1j", "1e400", "0o7", "0b1", "1if", "00"],
    *["True", "None", "is", "if", "else", "import", "print", "del", "*key", "**key", "key["],
    *[
        "\u212ae\u028f",
        "\uff4bey",
        "\u0430nd",
        "\u200b",
        "\u2028",
        "\x0c",
        "\x00",
        "\ud800",
        "\udfff",
    ],
    *["\U0001f600", '"\u00e9"', '"\\ud800"', '"\\N{BULLET}"', '"\\x00"', "'\\\n'", "\ufeff"],
]


def _repeated(draw):
    piece, count = draw.choice(PIECES), draw.choice([3, 40, 199, 2000, 100_000])
    glue = draw.choice(["", " ", " and ", " + ", ", ", "("])
    return glue.join([piece] * min(count, 400_000 // (len(piece) + len(glue) + 1)))


def _nested(draw):
    depth = draw.choice([5, 30, 33, 64, 65, 200, 999])
    opening = draw.choice(["(", "-", "not ", "[", "{", "any(", "nearest(", "abs(", "not (", "(("])
    inner = draw.choice(["key.is_punct", "distance", "1", "key.dep"])
    return opening * depth + inner + ")" * (opening.count("(") * depth)


def _soup(draw):
    return "".join(draw.choice(PIECES) for _ in range(draw.randint(1, 14)))


def _mutated(draw):
    text = list(draw.choice(VALID))
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(text) + 1)
        text[at : at + draw.randint(0, 2)] = draw.choice(PIECES)
    return "".join(text)


VALID = [
    'key.word == query.head and query.dep == "det"',
    "otherwise(nearest(key.is_punct and distance > 0), distance == 0)",
    "(key.is_punct) * log1p(count(key.id == query.id)) / (1 + abs(distance))",
    'not any(key.dep in {"det", "amod"}) or -5 <= distance < min(2, query.index)',
]


def _try(source, passage=PASSAGE):
    """Parse and, where that succeeds, evaluate; nothing but UsageError may come out."""
    relation, error = _parsed(source)
    if relation is None:
        assert "\n" not in error
        assert len(error) < 3000
        return False
    assert parse(str(relation)) == relation
    for visibility in (FULL, CAUSAL):
        cells = relation.cells(passage, visibility)
        assert (cells.value != 0).all()
    return True


def _parsed(source):
    try:
        return parse(source), ""
    except UsageError as error:
        return None, str(error)


def test_ten_thousand_hostile_strings():
    draw = random.Random(0)
    makers = [_soup, _soup, _soup, _mutated, _mutated, _mutated, _nested, _repeated]
    accepted, slowest = 0, (0.0, "")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(10_000):
            source = draw.choice(makers)(draw)
            start = time.process_time()
            accepted += _try(source)
            slowest = max(slowest, (time.process_time() - start, source[:200]))
    assert slowest[0] < SECONDS, slowest
    assert 100 < accepted < 5000


@pytest.mark.parametrize(
    "source",
    [
        "(" * 999 + "1" + ")" * 999,
        "-" * 1999 + "1",
        "not " * 499 + "1",
        " and ".join(["key.is_punct"] * 100_000),
        "+".join(["1"] * 999),
        "any(" * 31 + "key.is_punct" + ")" * 31,
        "otherwise(" * 30 + "key.is_punct" + ", distance == 0)" * 30,
        "nearest(not " * 15 + "key.is_punct" + ")" * 15,
        "highest(count(" * 14 + "key.is_punct" + ") * 1)" * 14,
        "1e308 * 1e308 - 1e308 * 1e308",
        "key" + ".prev" * 300 + ".id == 1",
        "a" * 2000,
        '"' + "\\u0041" * 300 + '" == key.text',
    ],
    ids=lambda source: source[:24],
)
def test_time_and_memory_are_bounded(source):
    tracemalloc.start()
    start = time.process_time()
    _try(source, random_passage(2, 120))
    spent = time.process_time() - start
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert spent < 4, f"{spent:.1f} s"
    assert peak < BYTES, f"{peak / 1e6:.0f} MB"


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map("".join)))
@settings(max_examples=300, deadline=None)
def test_hypothesis_finds_nothing_either(source):
    _try(source)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_text_in_a_literal_survives_printing(text):
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    source = f'key.text == "{escaped}"'.replace("\r", "\\r")
    if "\0" in text:
        with pytest.raises(UsageError, match="NUL"):
            parse(source)
        return
    relation = parse(source)
    assert relation.expression.operands[1].value == text
    assert parse(str(relation)) == relation


def test_a_parser_disturbed_by_another_thread_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0
    plain = ast.parse

    def disturbed(source: str, *, mode: str) -> ast.AST:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise SystemError("AST constructor recursion depth mismatch (before=87, after=67)")
        return plain(source, mode=mode)

    with monkeypatch.context() as patch:
        patch.setattr(ast, "parse", disturbed)
        relation = parse("distance == -371")
    assert asked == 3
    assert str(relation) == "distance == -371"
