"""The wide pool: more relations for formulas that are to stand in a head's place.

What `fitting/pool.py` has, and besides: runs of letters (words as far as they are there) and
clauses, repetition and induction with up to three tokens of context and with classes, the token
before the key, gates by the query's class, and all of these with a smooth distance. It costs a fit
more time and serves the model more than the reader.
"""

from collections.abc import Iterator

from headscribe.core.visibility import Visibility
from headscribe.fitting.pool import MAX_ATOMS, relation_pool, token_classes
from headscribe.relations import parse

ATTRIBUTES = ("lower", "prev.lower", "prev.prev.lower")
"""Token attributes whose literal sets are grown."""

CROSSED = (
    "key.is_word_start",
    "not key.is_word_start",
    "1 / (1 + abs(distance))",
    "abs(distance) <= 3",
    "1 / (1 + query.run - key.run)",
)
"""Relations that sets of two attributes may be multiplied with."""

GATES = (
    *CROSSED,
    "key.is_bos",
    "distance == 0",
    "distance == -1",
    "distance < 0",
    "key.lower == query.lower and distance < 0",
    "key.prev.id == query.id",
    "key.prev.id == query.prev.id and distance < 0",
    "query.is_word_start",
    "not query.is_word_start",
    "key.run == query.run",
    "key.clause == query.clause",
    "key.prev.is_punct",
    "abs(distance) <= 8",
    "log1p(abs(distance))",
    "log1p(query.run - key.run)",
    "1 / (1 + query.clause - key.clause)",
)
"""Relations that sets of one attribute may be multiplied with."""

_SAME = "key.lower == query.lower and distance < 0"
_INDUCTION = "key.prev.id == query.id"
_LONGER = "key.prev.id == query.id and key.prev.prev.id == query.prev.id"
_ALIKE = "key.prev.id == query.prev.id and distance < 0"


def _scaled(relation: str) -> Iterator[str]:
    yield f"({relation}) / (1 + abs(distance))"
    yield f"({relation}) * log1p(abs(distance))"


def _numbers() -> Iterator[str]:
    for count in ("query.run - key.run", "query.clause - key.clause"):
        yield f"log1p({count})"
        yield f"1 / (1 + {count})"
    yield from ("log1p(key.id)", "key.id / 100", "log1p(key.run)", "1 / (1 + key.index)")
    yield from (f"min(abs(distance), {reach})" for reach in (4, 8, 16))
    yield from (f"max(abs(distance), {reach})" for reach in (16, 32))


def _structure() -> Iterator[str]:
    yield from (f"query.run - key.run == {gap}" for gap in range(5))
    yield from (f"query.run - key.run == {gap} and key.is_word_start" for gap in (0, 1, 2))
    yield "key.run == query.run and distance < 0"
    yield from (f"query.clause - key.clause == {gap}" for gap in (1, 2))
    yield "key.clause == query.clause and key.is_word_start"
    yield "key.clause == query.clause and key.prev.is_punct"
    yield from (f"key.prev.is_{kind}" for kind in ("punct", "bos", "word_start", "upper"))
    yield "key.prev.prev.is_bos"


def _repetition() -> Iterator[str]:
    yield f"{_SAME} and key.prev.id == query.prev.id"
    yield f"{_LONGER} and key.prev.prev.prev.id == query.prev.prev.id"
    yield "key.prev.prev.id == query.prev.id and distance < 0"
    yield "key.prev.prev.id == query.id"
    yield "key.prev.prev.id == query.prev.prev.id and distance < 0"
    yield f"{_ALIKE} and key.prev.prev.id == query.prev.prev.id"
    yield from ("key.id == query.prev.id", "key.id == query.prev.id and distance < -1")
    yield "key.id == query.prev.prev.id and distance < -2"
    for one in (_SAME, _INDUCTION, _LONGER, _ALIKE, "key.id == query.id and distance < 0"):
        yield from _scaled(one)
        yield f"last({one})"
        yield f"({one}) / (1 + count({one}))"
        yield from (f"any({one}) and {gate}" for gate in ("key.is_bos", "distance == 0"))
    yield from _scaled("key.is_bos")


def _by_class() -> Iterator[str]:
    for key in token_classes("key", wide=True).values():
        yield from _scaled(key)
        yield from (f"last({key})", f"last({key} and distance < 0)", f"first({key})")
        yield from (f"{key} and {one}" for one in (_INDUCTION, _SAME, "distance < 0"))
        yield f"{key} and key.run == query.run"
        yield f"{key} and key.clause == query.clause"
        yield f"({key}) / (1 + count({key}))"
    for query in token_classes("query", wide=True).values():
        yield from (f"{query} and distance == {offset}" for offset in (0, -1, -2))
        yield from (f"{query} and {one}" for one in ("key.is_bos", _INDUCTION, _SAME))
        yield from (f"{query} and key.{unit} == query.{unit}" for unit in ("run", "clause"))
        yield from _scaled(query)
    for near in ("key.prev.is_punct", "key.prev.is_bos", "key.is_word_start", "key.is_punct"):
        yield f"({near}) / (1 + abs(distance))"
        yield from (f"nearest({near})", f"nearest({near} and distance < 0)")


def wide_pool(
    provides: frozenset[str], visibility: Visibility, *, look_ahead: bool = True
) -> tuple[str, ...]:
    """Generate the wide pool for texts that provide some word fields.

    Args:
        provides: the word fields that the annotation gives (`Words.provides`).
        visibility: what a layer sees; in a causal layer relations to later keys are left out.
        look_ahead: whether relations may read tokens after the query.
    """
    pool = dict.fromkeys(relation_pool(provides, visibility, look_ahead=look_ahead))
    parts = (iter(GATES), _numbers(), _structure(), _repetition(), _by_class())
    for source in (one for part in parts for one in part):
        relation = parse(source)
        fits = relation.needs <= provides and relation.atoms <= MAX_ATOMS
        if visibility.causal:
            fits = fits and not relation.needs_later_keys
            fits = fits and (look_ahead or not relation.looks_ahead)
        if fits:
            pool.setdefault(relation.source)
    return tuple(pool)
