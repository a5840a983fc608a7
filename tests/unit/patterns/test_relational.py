"""What a relation predicts: uniform, proportional, lifted, refused."""

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.patterns import relational
from headscribe.patterns.registry import registry
from headscribe.patterns.relational import RelationPattern, relation_pattern
from headscribe.relations import parse
from tests.passages import make

THREE = make("a b c", special=False)


def _pattern(relation, lift="all"):
    return RelationPattern("x", "S.", "here", "custom", parse(relation), lift=lift)


def test_a_condition_is_uniform():
    rows = _pattern("distance <= 0").predict(THREE, FULL).to_dense()
    np.testing.assert_allclose(rows, [[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], atol=1e-6)


def test_a_number_is_proportional():
    rows = _pattern("1 + key.index").predict(THREE, CAUSAL).to_dense()
    np.testing.assert_allclose(
        rows, [[1, 0, 0], [1 / 3, 2 / 3, 0], [1 / 6, 2 / 6, 3 / 6]], atol=1e-6
    )


def test_extreme_numbers_do_not_overflow():
    rows = _pattern("1e300 * 1e7 * (1 + key.index)").predict(THREE, FULL).to_dense()
    np.testing.assert_allclose(rows.sum(1), 1, atol=1e-6)
    tiny = _pattern("otherwise((key.index == 0) * 1e-300 + (key.index > 0), key.index == 0)")
    rows = tiny.predict(THREE, FULL)
    assert (rows.weight > 0).all()
    np.testing.assert_allclose(rows.to_dense()[:, 1:], 0.5, atol=1e-6)


def test_a_negative_number_is_refused():
    with pytest.raises(UsageError, match=r"text 0, row 0: pattern x expected .* got -1 for key 0"):
        _pattern("key.index - 1").predict(THREE, FULL)


@pytest.mark.parametrize(("lift", "keys"), [("all", [2, 3, 4]), ("first", [2]), ("last", [4])])
def test_lift_chooses_subwords_of_the_key_word(lift, keys):
    passage = make("a unhappiest", piece=4, head=[1, -1])  # [CLS] a unha ##ppie ##st [SEP]
    rows = _pattern("key.word == query.head", lift).predict(passage, FULL)
    assert np.flatnonzero(rows.to_dense()[1]).tolist() == keys
    sinks = _pattern("key.is_special", lift).predict(passage, FULL)
    assert np.flatnonzero(sinks.to_dense()[1]).tolist() == [0, 5]


def test_lift_keeps_the_order_of_keys():
    passage = make("happiness a sadnesses", piece=4)
    rows = _pattern("key.index >= 0", "last").predict(passage, FULL)
    assert (np.diff(rows.query * len(passage) + rows.key) > 0).all()


@pytest.mark.parametrize("visibility", [FULL, CAUSAL])
def test_patterns_of_positions_are_remembered_rightly(visibility, monkeypatch):
    """Whatever was asked before: texts of one length, with and without special tokens."""
    monkeypatch.setattr(relational, "_KEPT", 40)
    monkeypatch.setattr(relational, "_alike", {})
    texts = [
        make(words, special=special)
        for words in ("a dog sees a cat .", "my , my , my dog", "one two", "the end of it all .")
        for special in (True, False)
    ]
    of_positions = 0
    for pattern in registry():
        if not isinstance(pattern, RelationPattern) or pattern.needs:
            continue
        of_positions += pattern.relation.of_positions
        for text in texts:
            found, fresh = pattern.predict(text, visibility), pattern._predicted(text, visibility)
            for name in ("query_ptr", "key", "weight"):
                np.testing.assert_array_equal(getattr(found, name), getattr(fresh, name))
    assert of_positions >= 20
    assert 0 < len(relational._alike) <= 40


def test_what_reads_positions_alone():
    assert parse("distance == 1 and not query.next.is_special").of_positions
    assert parse("first(key.index >= 0)").of_positions
    assert not parse("key.is_bos").of_positions
    assert not parse("distance == 1 and key.is_punct").of_positions


def test_a_malformed_relation_names_its_pattern():
    with pytest.raises(UsageError, match=r"pattern x: column 7: `query\.hed`"):
        relation_pattern("x", "S.", "query.hed == 1", "here", "custom")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "ä", "x" * 81])
def test_malformed_names_are_refused(name):
    with pytest.raises(UsageError, match="expected a pattern name"):
        relation_pattern(name, "S.", "distance == 0", "here", "custom")
