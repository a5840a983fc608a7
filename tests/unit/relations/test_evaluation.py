"""Sparse evaluation against the oracle that goes pair by pair."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.relations import ATTRIBUTES, Evaluator, candidates, evaluation, parse
from tests.oracles.relations import matrix
from tests.passages import make, random_passage

MASKS = (FULL, CAUSAL, Visibility(True, 3), Visibility(False, 4))

NUMBERS = sorted(name for name, one in ATTRIBUTES.items() if one.kind == "number")
TEXTS = sorted(name for name, one in ATTRIBUTES.items() if one.kind == "text")
FLAGS = sorted(name for name, one in ATTRIBUTES.items() if one.kind == "boolean")
WORDS = ["the", "cat", "NOUN", "det", "Sing", ".", "nsubj"]

side = st.sampled_from(["query", "key"])
walk = st.sampled_from(["", "", "", "prev.", "next.", "prev.prev.", "next.prev."])


def _columns(names):
    return st.builds("{}.{}{}".format, side, walk, st.sampled_from(names))


_small = st.sampled_from(["0", "1", "2", "-1", "0.5", "-3"])
_number = st.one_of(
    st.sampled_from(["distance", "text_length"]),
    _columns(NUMBERS),
    _columns(["text", "lower"]).map("number({})".format),
    _small,
)
_order = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
_same = st.sampled_from(["==", "!="])
_literal = st.sampled_from(WORDS).map('"{}"'.format)
_atoms = st.one_of(
    _columns(FLAGS),
    st.builds("{} {} {}".format, _number, _order, _number),
    st.builds("{} {} distance < {}".format, _small, _order, _small),
    st.builds("abs(distance) {} {}".format, _order, _small),
    st.builds("key.{} == query.{}".format, st.sampled_from(NUMBERS), st.sampled_from(NUMBERS)),
    st.builds("key.{0} == query.{0}".format, st.sampled_from(NUMBERS + TEXTS + FLAGS)),
    st.builds("{} {} {}".format, _columns(TEXTS), _same, st.one_of(_columns(TEXTS), _literal)),
    st.builds("{} not in {{{}, {}}}".format, _columns(TEXTS), _literal, _literal),
    st.builds("{} in {{1, {}}}".format, _number, _small),
)


def _conditions(inner):
    return st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("{}({})".format, st.sampled_from(["any", "nearest", "first", "last"]), inner),
        st.builds("otherwise({}, {})".format, inner, inner),
        st.builds("highest(({}) * ({}))".format, inner, _number),
        st.builds("(count({}) > {})".format, inner, _small),
    )


conditions = st.recursive(_atoms, _conditions, max_leaves=6)
numbers = st.recursive(
    st.one_of(_number, conditions.map("count({})".format), conditions.map("({}) * 1".format)),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("{}({})".format, st.sampled_from(["abs", "log1p", "-"]), inner),
        st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner),
        st.builds("otherwise({}, {})".format, inner, inner),
        st.builds("({}) / (1 + abs({}))".format, conditions, inner),
    ),
    max_leaves=4,
)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch):
    """Make every chunk and every search of the fast path appear on short texts."""
    monkeypatch.setattr(candidates, "CHUNK", 40)
    monkeypatch.setattr(evaluation, "FEW", 0)


@given(
    st.one_of(conditions, numbers),
    st.integers(0, 30),
    st.sampled_from(MASKS),
    st.booleans(),
    st.sampled_from([20, 10**6]),
)
@settings(max_examples=300, deadline=None)
def test_agrees_with_the_oracle(source, seed, visibility, special, kept):
    """Both with little and with much that may be kept: as on long and on short texts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation, "KEPT", kept)
        _agrees(source, seed, visibility, special)


def _agrees(source, seed, visibility, special):
    passage = random_passage(seed, 7, special)
    relation = parse(source)
    expected = matrix(source, passage, visibility)
    found = relation.dense(passage, visibility).astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-12)
    cells = relation.cells(passage, visibility)
    order = cells.query * len(passage) + cells.key
    assert (np.diff(order) > 0).all()
    np.testing.assert_array_equal(order, np.flatnonzero(expected))
    np.testing.assert_allclose(cells.value, expected.ravel()[order])
    assert parse(str(relation)) == relation
    assert (
        not len(cells)
        or not relation.needs_later_keys
        or (source.find("otherwise") >= 0)
        or (cells.key > cells.query).all()
    )


@given(st.lists(conditions, min_size=2, max_size=4), st.integers(0, 10))
@settings(max_examples=30, deadline=None)
def test_shared_evaluation_changes_nothing(sources, seed):
    passage = random_passage(seed, 9)
    shared = Evaluator(passage, CAUSAL)
    for source in [*sources, *sources]:
        relation = parse(source)
        alone = relation.cells(passage, CAUSAL)
        together = shared.cells(relation)
        np.testing.assert_array_equal(alone.query, together.query)
        np.testing.assert_array_equal(alone.key, together.key)


def test_a_missing_field_is_named():
    with pytest.raises(UsageError, match="annotated with head"):
        parse("key.word == query.head").cells(make("A cat."), FULL)


@pytest.mark.parametrize(
    "source",
    [
        "key.id == query.id and distance < 0",
        "key.word == query.head",
        "key.prev.id == query.id",
        "otherwise(key.is_punct and distance > 0, distance == 0)",
        "nearest(key.is_punct and distance < 0)",
        "key.head == query.word or key.word == query.head",
        "first(key.index >= 0)",
    ],
)
def test_a_long_text_needs_no_matrix(source, monkeypatch):
    monkeypatch.undo()
    length = 4096
    words = [f"w{i % 700}" if i % 10 else "," for i in range(length)]
    heads = [i - 1 for i in range(length)]
    passage = make(" ".join(words), piece=9, head=heads)
    relation = parse(source)
    tracemalloc.start()
    relation.cells(passage, FULL)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 150e6, f"{peak / 1e6:.0f} MB"
