"""Every registered pattern keeps the contract; a new one is tested the moment it exists."""

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.patterns.catalogue.syntactic import RELATIONS
from headscribe.patterns.registry import baselines, group_of, registry
from headscribe.patterns.relational import RelationPattern
from headscribe.relations import Relation
from headscribe.relations.syntax import Call
from headscribe.text.prefixes import prefix
from tests.contract.expected import EXPECTED
from tests.contract.sentences import LINES, QUOTE, STORY, TINY, matrix
from tests.passages import make, random_passage

PATTERNS = list(registry())
NAMES = [pattern.name for pattern in PATTERNS]
MASKS = (FULL, CAUSAL, Visibility(True, 3), Visibility(False, 3))
UNIVERSAL = {f"{way}:{label}" for way in ("to_head", "to_children") for label in RELATIONS}

pytestmark = pytest.mark.filterwarnings("error")


def _full(text, special=True):
    """A passage whose every field is known."""
    count = len(make(text).words)
    return make(
        text,
        special=special,
        head=[-1] + [0] * (count - 1) if count else [],
        dep=["root"] + ["det"] * (count - 1) if count else [],
        **{name: ["X"] * count for name in ("upos", "xpos", "lemma", "entity")},
        morph=[""] * count,
        sentence=[0] * count,
    )


EDGES = {
    "one token": _full("Hello", special=False),
    "one word": _full("Hello"),
    "only punctuation": _full(". , ! ?"),
    "no special tokens": _full("The cat sat.", special=False),
    "special tokens only": _full(""),
    "nothing": _full("", special=False),
    "story": STORY,
    "quote": QUOTE,
    "random": random_passage(3, 14),
    "random without special tokens": random_passage(4, 14, special=False),
}


def _frozen(passage):
    arrays = (passage.ids, passage.spans, passage.is_special, passage.words_of.index)
    words = (passage.words.head, passage.words.sentence)
    return [None if one is None else one.tobytes() for one in (*arrays, *words)]


@pytest.mark.parametrize("pattern", PATTERNS, ids=NAMES)
def test_rows_are_well_formed(pattern):
    for name, passage in EDGES.items():
        if not pattern.needs <= passage.words.provides:
            continue
        before = _frozen(passage)
        for visibility in MASKS:
            rows = pattern.predict(passage, visibility)
            again = pattern.predict(passage, visibility)
            length = len(passage)
            assert rows.length == length, name
            assert rows.query_ptr[0] == 0
            assert rows.query_ptr[-1] == len(rows.key) == len(rows.weight)
            assert (np.diff(rows.query_ptr) >= 0).all()
            assert ((rows.key >= 0) & (rows.key < length)).all()
            assert (np.diff(rows.query * max(length, 1) + rows.key) > 0).all()
            assert np.isfinite(rows.weight).all()
            assert (rows.weight > 0).all()
            sums = np.add.reduceat(rows.to_dense(), [0], axis=1) if length else np.zeros((0, 1))
            np.testing.assert_allclose(sums[rows.covered, 0], 1, atol=1e-5)
            assert visibility.admits(rows.query, rows.key, length).all(), name
            np.testing.assert_array_equal(rows.to_dense(), again.to_dense())
        assert _frozen(passage) == before


@pytest.mark.parametrize("pattern", PATTERNS, ids=NAMES)
def test_a_missing_annotation_is_named(pattern):
    bare = make("The cat sat on the mat.")
    if not pattern.needs:
        pattern.predict(bare, FULL)
        return
    with pytest.raises(UsageError) as error:
        pattern.predict(bare, FULL)
    assert any(f"annotated with {field}" in str(error.value) for field in pattern.needs)


TEXTS = (
    "The cat's 3.14 dogs (unhappily) don't run ... \"they sit\", the cats' end. The end",
    "Repeat after me: repeat after me, repeat. [SEP]-like (brackets) stay",
)


@pytest.mark.parametrize(
    "pattern", [one for one in PATTERNS if not one.looks_ahead], ids=lambda one: one.name
)
def test_rows_of_a_prefix_are_the_first_rows(pattern):
    for text in TEXTS:
        whole = make(text, piece=3)
        for visibility in (CAUSAL, Visibility(True, 4)):
            rows = pattern.predict(whole, visibility).to_dense()
            for length in (1, 2, 5, 6, 7, 8, 11, 14, 17, len(whole)):
                part = pattern.predict(prefix(whole, length), visibility).to_dense()
                np.testing.assert_array_equal(part, rows[:length, :length], err_msg=text)


def _without_fall_backs(relation):
    node = relation.expression
    while isinstance(node, Call) and node.name == "otherwise":
        node = node.arguments[0]
    return Relation(node)


@pytest.mark.parametrize("pattern", PATTERNS, ids=NAMES)
def test_applicability_under_a_causal_mask(pattern):
    assert isinstance(pattern, RelationPattern)
    relation = _without_fall_backs(pattern.relation)
    assert not pattern.needs_later_keys or not any(
        len(relation.cells(passage, CAUSAL))
        for passage in EDGES.values()
        if pattern.needs <= passage.words.provides
    )
    if pattern.family == "syntactic":
        return
    read = [one for one in (STORY, QUOTE, LINES) if pattern.needs <= one.words.provides]
    cells = [relation.cells(passage, FULL) for passage in read]
    reached = np.concatenate([one.key - one.query for one in cells])
    assert pattern.needs_later_keys == bool((reached > 0).all())


@pytest.mark.parametrize("pattern", PATTERNS, ids=NAMES)
def test_description(pattern):
    assert pattern.sentence.endswith(".")
    assert len(pattern.sentence) < 200
    assert pattern.source
    if pattern.mirror is not None:
        assert registry().get(pattern.mirror).mirror == pattern.name


@pytest.mark.parametrize(
    "pattern",
    [one for one in PATTERNS if group_of(one) in {"baseline", "classic"}],
    ids=lambda one: one.name,
)
def test_baselines_and_classics_cover_every_row(pattern):
    for name, passage in EDGES.items():
        if pattern.needs <= passage.words.provides:
            for visibility in MASKS:
                assert pattern.predict(passage, visibility).covered.all(), (name, visibility)


def test_baselines_are_the_six():
    names = ["uniform", "first_token", "last_token", "self", "previous", "next"]
    assert [one.name for one in baselines()] == names


@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNIVERSAL])
def test_matrix_by_hand(name):
    assert name in EXPECTED, f"write down what {name} predicts in tests/contract/expected.py"
    passage, written = EXPECTED[name]
    found = registry().get(name).predict(passage, FULL).to_dense()
    np.testing.assert_allclose(found, matrix(written, len(passage)), atol=1e-6)


def test_expectations_are_of_registered_patterns():
    assert set(EXPECTED) <= set(NAMES)
    assert len(TINY) == 3


@pytest.mark.parametrize("label", RELATIONS)
def test_universal_relation_by_hand(label):
    """`beta` depends on `alpha` by the relation's subtype, `c` by another one."""
    other = "obj" if label != "obj" else "det"
    passage = make("alpha beta c", head=[-1, 0, 0], dep=["root", f"{label}:x", other])
    up = registry().get(f"to_head:{label}").predict(passage, FULL).to_dense()
    down = registry().get(f"to_children:{label}").predict(passage, FULL).to_dense()
    # 0 [CLS]  1 alph  2 ##a  3 beta  4 c  5 [SEP]
    np.testing.assert_allclose(up, matrix("3>1-2", 6), atol=1e-6)
    np.testing.assert_allclose(down, matrix("1-2>3", 6), atol=1e-6)
