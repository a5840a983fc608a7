"""The pool: some hundreds of relations from a small grammar, the terms that a formula may use.

Products of a query class and a key class, an offset or a sink; offsets, windows and distances; the
links of the parse in both directions and by relation; repetition and induction; gates. What needs
annotation that a text does not have, or looks ahead where that is not allowed, is left out.

Rare relations are what few heads do and then do exactly: counted from the end or by numerals, told
by how often a token occurs. They are evaluated only where such a head is (`fitting/whole.py`).

The wide pool has more, for formulas that are to stand in a head's place: runs of letters (words as
far as they are there) and clauses, repetition and induction with up to three tokens of context and
with classes, the token before the key, gates by the query's class, and all of these with a smooth
distance. It costs a fit more time and serves the model more than the reader.
"""

from collections.abc import Iterable, Iterator
from itertools import chain

from headscribe.core.visibility import Visibility
from headscribe.relations import parse

MAX_ATOMS = 3
"""Comparisons that a term may make."""

WORD_LISTS = {
    "determiner": "a an the this that these those every some any no each all",
    "pronoun": "i you he she it we they him her them his its their my your our me us who which",
    "preposition": "of in on at by for with from to into about as than like through over between",
    "conjunction": "and or but nor yet so because if while though although",
    "auxiliary": "is are was were be been being has have had do does did will would can could may",
    "negation": "not n't no never nothing hardly without t",
}
"""Closed classes of English, for texts without part-of-speech tags."""

DEP_CLASSES = {
    "nominal": "nsubj obj iobj obl nmod appos conj compound flat",
    "modifier": "amod advmod nummod acl advcl",
    "function": "det case mark cc aux cop",
    "clause": "root ccomp xcomp advcl acl parataxis conj",
}
"""Classes of words by their relation to their head."""

DEP_RELATIONS = (
    *("nsubj", "obj", "obl", "nmod", "amod", "advmod", "det", "case", "mark", "cc", "conj", "aux"),
    *("cop", "compound", "acl", "advcl", "xcomp", "ccomp", "punct", "root"),
)

UPOS = (
    *("NOUN", "VERB", "ADJ", "ADV", "PRON", "PROPN", "ADP", "DET", "AUX", "CCONJ", "SCONJ"),
    *("PART", "NUM", "PUNCT"),
)

SUFFIXES = ("ing", "ion", "ers", "est", "ous", "ful", "ive", "ent", "ary", "ter")

SCALES = (
    "log1p(abs(distance))",
    "1 / (1 + abs(distance))",
    "log1p(max(distance, 0))",
    "log1p(max(-distance, 0))",
    "abs(distance)",
    "key.index",
    "log1p(key.index)",
)
"""Numbers of positions alone."""

SINK_SCALES = (
    "log1p(count(not key.is_special))",
    "log1p(query.index)",
    "log1p(abs(distance))",
    "query.length",
    "query.depth",
    "query.children",
    "log1p(count(key.is_punct))",
)
"""What a sink's pull may depend on."""


WIDE_ATTRIBUTES = ("lower", "prev.lower", "prev.prev.lower")
"""Token attributes whose literal sets are grown with the wide pool."""

CROSSED = (
    "key.is_word_start",
    "not key.is_word_start",
    "1 / (1 + abs(distance))",
    "abs(distance) <= 3",
    "1 / (1 + query.run - key.run)",
)
"""Relations that sets of two attributes may be multiplied with."""

WIDE_GATES = (
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


def _set(words: str) -> str:
    return "{" + ", ".join(f'"{word}"' for word in words.split()) + "}"


def token_classes(side: str, *, wide: bool) -> dict[str, str]:
    """Conditions on one token of the pair, by name, one atom each."""
    found = {name: f"{side}.lower in {_set(words)}" for name, words in WORD_LISTS.items()}
    found["punct"] = f"{side}.is_punct"
    found |= {f"dep {name}": f"{side}.base_dep in {_set(v)}" for name, v in DEP_CLASSES.items()}
    found |= {f"upos {tag}": f'{side}.upos == "{tag}"' for tag in UPOS}
    if wide:
        found |= {f"dep {name}": f'{side}.base_dep == "{name}"' for name in DEP_RELATIONS}
        found |= {f"suffix {name}": f'{side}.suffix == "{name}"' for name in SUFFIXES}
        found["start"] = f"{side}.is_word_start"
        found["inside"] = f"not {side}.is_word_start and not {side}.is_special"
        found["digit"] = f"{side}.is_digit"
        found["upper"] = f"{side}.is_upper"
        found["line break"] = f"{side}.is_line_break"
        found["long"] = f"{side}.length > 6"
        found["short"] = f"{side}.length < 4"
        found |= {f"mark {mark}": f'{side}.lower == "{mark}"' for mark in (",", ".", "-")}
    return found


def _positional() -> Iterator[str]:
    yield from (f"distance == {offset}" for offset in range(-8, 9))
    yield from (f"distance == {offset} and not query.is_special" for offset in (-2, -1, 0, 1, 2))
    yield from (f"distance == {offset} and not key.is_special" for offset in (-2, -1, 0, 1, 2))
    inner = "not key.is_special and not query.is_special"
    yield from (f"distance == {offset} and {inner}" for offset in (-2, -1, 1, 2))
    yield from (f"abs(distance) <= {size}" for size in (1, 2, 3, 4, 6, 8, 12))
    yield from (f"0 < distance <= {size}" for size in (2, 3, 5, 8))
    yield from (f"-{size} <= distance < 0" for size in (2, 3, 5, 8))
    yield from ("distance > 0", "distance < 0", "key.index == 1")
    yield "key.next.is_special and not key.is_special"
    yield from SCALES
    yield from (f"nearest(key.is_punct and distance {way} 0)" for way in "<>")
    yield "key.clause == query.clause"


def _sinks() -> Iterator[str]:
    for sink in ("key.is_bos", "key.is_eos", "key.is_special", "key.index == 0"):
        yield sink
        yield f"query.is_special and {sink}"
        yield f"query.is_punct and {sink}"
        yield f"not query.is_word_start and {sink}"
        yield f"any(key.lower == query.lower and distance != 0) and {sink}"
        yield f"any(key.lower == query.lower and distance < 0) and {sink}"
        yield from (f"({sink}) * {scale}" for scale in SINK_SCALES)
    yield "query.is_special and distance == 0"
    yield "query.is_special and not key.is_special"
    yield "query.is_bos and key.is_eos"
    yield "query.is_eos and key.is_bos"
    yield "query.is_special * log1p(key.index)"


def _lexical(visibility: Visibility) -> Iterator[str]:
    yield "key.id == query.id and not key.is_special"
    for step in ("key.lower == query.lower", "key.word == query.word", "key.lemma == query.lemma"):
        yield step
        yield f"{step} and distance != 0"
        yield f"{step} and distance < 0"
        yield f"{step} and distance > 0"
    # Where the key is the neighbour itself this says nothing of repetition.
    before = "" if visibility.causal else " and distance != 1"
    yield from (
        f"key.prev.id == query.id{before}",
        "key.next.id == query.id and distance != -1",
        "key.id == query.prev.id and distance != -1",
        f"key.id == query.next.id{before}",
        "key.prev.id == query.prev.id and distance != 0",
        "key.next.id == query.next.id and distance != 0",
        f"key.prev.id == query.id and key.prev.prev.id == query.prev.id{before}",
        "key.prev.prev.id == query.id and distance < 0",
    )
    yield "last(key.prev.id == query.id and distance < 0)"
    yield "last(key.id == query.id and distance < 0)"
    yield "last(key.is_word_start and distance < 0)"
    yield "first(key.is_word_start and distance > 0)"
    yield from (f"key.word - query.word == {gap}" for gap in (-3, -2, -1, 1, 2, 3))
    yield from ("key.length", "key.depth", "key.children", "key.index / 10")
    yield "key.length / (1 + abs(distance))"
    yield "key.depth / (1 + abs(distance))"


def _syntactic() -> Iterator[str]:
    links = {
        "key.word == query.head": "query",
        "key.head == query.word": "key",
    }
    for link, dependent in links.items():
        yield link
        yield from (f"{link} and distance {way} 0" for way in "<>")
        yield f"({link}) / (1 + abs(distance))"
        yield from (f'{link} and {dependent}.base_dep == "{dep}"' for dep in DEP_RELATIONS)
    yield "key.word == query.head or key.head == query.word"
    sibling = "key.head == query.head"
    yield from (sibling, f"{sibling} and distance < 0", f"{sibling} and distance > 0")
    yield from ("key.word == query.grandparent", "key.grandparent == query.word")
    for same in ("base_dep", "upos", "phrase", "sentence", "depth"):
        yield f"key.{same} == query.{same}"
        yield f"key.{same} == query.{same} and distance < 0"
        yield f"key.{same} == query.{same} and distance > 0"


def _classes() -> Iterator[str]:
    yield from token_classes("key", wide=True).values()
    for key in token_classes("key", wide=False).values():
        yield from (f"{key} and distance {way} 0" for way in "<>")
        yield f"{key} and abs(distance) <= 3"
        yield f"({key}) / (1 + abs(distance))"
        yield f"query.is_special and {key}"
    for name, query in token_classes("query", wide=False).items():
        yield from (f"{query} and distance == {offset}" for offset in (-2, -1, 0, 1, 2))
        yield from (f"{query} and {sink}" for sink in ("key.is_bos", "key.is_eos"))
        if not name.startswith("upos"):
            for other, key in token_classes("key", wide=False).items():
                if not other.startswith("upos"):
                    yield f"{query} and {key}"
    for near in ("punct", "preposition", "conjunction", "auxiliary", "determiner"):
        key = token_classes("key", wide=False)[near]
        yield from (f"nearest({key} and distance {way} 0)" for way in "<>")


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
    yield from (
        f"key.prev.is_{kind}" for kind in ("punct", "bos", "word_start", "upper", "line_break")
    )
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


def _rare() -> Iterator[str]:
    yield from ("distance >= 0", "distance <= 0", "abs(distance) > 2", "not key.is_special")
    yield from (f"abs(distance) == {size}" for size in (1, 2))
    yield from (f"key.index == {index}" for index in (2, 3))
    yield from (f"key.from_end == {index}" for index in (0, 1, 2))
    yield from (f"key.from_end == query.index{step}" for step in ("", " - 1"))
    same = "key.id == query.id"
    yield from (same, "key.id != query.id", f"first({same})", f"last({same})")
    # A neighbour fulfils these trivially: said only of heads that do just this.
    yield from (f"key.{side}.id == query.id" for side in ("prev", "next"))
    yield from (f"key.id == query.{side}.id" for side in ("prev", "next"))
    yield from (f"key.{side}.text == query.{side}.text" for side in ("prev", "next"))
    yield from (f'key.prev.lower == "{mark}"' for mark in ",.")
    yield from ("key.index == query.opening", "query.index == key.opening")
    yield from ("key.earlier == 0", "key.occurrences == 1")
    yield from (f"key.occurrences {how} query.occurrences" for how in ("<", "==", ">"))
    yield from (f"key.length {how} query.length" for how in ("<", "==", ">"))
    yield from (f"key.length >= {length}" for length in range(2, 9))
    key, query = "number(key.text)", "number(query.text)"
    yield from (f"{key} {how} {query}" for how in ("<", "<=", "==", ">=", ">"))
    yield from (f"{key} == {query} {step}" for step in ("+ 1", "- 1"))
    yield from (f"{key} + {query} == {total}" for total in range(1, 19))
    yield from (f"{key} {how} {value}" for value in range(1, 10) for how in (">=", "<"))
    yield from (f"key.index == {query}{step}" for step in ("", " + 1"))
    yield from (f"highest({key})", f"highest(-{key})")
    yield from (f"key.rank {how} query.rank" for how in "<>")
    yield from (f"key.rank == query.index{step}" for step in ("", " - 1"))


def relation_pool(
    provides: frozenset[str],
    visibility: Visibility,
    *,
    look_ahead: bool = True,
    wide: bool = False,
) -> tuple[str, ...]:
    """Generate the pool for texts that provide some word fields.

    Args:
        provides: the word fields that the annotation gives (`Words.provides`).
        visibility: what a layer sees; in a causal layer relations to later keys are left out.
        look_ahead: whether relations may read tokens after the query.
        wide: the wide pool.
    """
    parts = [_sinks(), _positional(), _lexical(visibility), _syntactic(), _classes()]
    if wide:
        parts += [iter(WIDE_GATES), _numbers(), _structure(), _repetition(), _by_class()]
    return _fitting(chain(*parts), provides, visibility, look_ahead)


def rare_relations(
    provides: frozenset[str], visibility: Visibility, *, look_ahead: bool = True
) -> tuple[str, ...]:
    """Generate the rare relations, as `relation_pool` does those that every head is asked for."""
    return _fitting(_rare(), provides, visibility, look_ahead)


def _fitting(
    sources: Iterable[str], provides: frozenset[str], visibility: Visibility, look_ahead: bool
) -> tuple[str, ...]:
    pool: dict[str, None] = {}
    for relation in map(parse, sources):
        fits = relation.needs <= provides and relation.atoms <= MAX_ATOMS
        if visibility.causal:
            fits = fits and not relation.needs_later_keys
            fits = fits and (look_ahead or not relation.looks_ahead)
        if fits:
            pool.setdefault(relation.source)
    return tuple(pool)


def grown_attributes(
    provides: frozenset[str], visibility: Visibility, *, look_ahead: bool = True
) -> tuple[str, ...]:
    """The token attributes whose sets of values are grown from the data."""
    names = ["lower"]
    if not visibility.causal or look_ahead:
        names += [
            name for name, field in (("base_dep", "dep"), ("upos", "upos")) if field in provides
        ]
    if visibility.causal:
        names.append("prev.lower")
    return tuple(names)
