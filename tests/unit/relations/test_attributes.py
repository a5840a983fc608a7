"""Token attributes on hand-made passages; whether the table tells the truth about looking ahead."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from headscribe.core.visibility import CAUSAL, Visibility
from headscribe.relations import ATTRIBUTES, parse
from headscribe.text.prefixes import prefix
from tests.contract.sentences import LINES, QUOTE, STORY
from tests.passages import make
from tests.unit.relations.test_evaluation import conditions, numbers

HARD = (
    "Don't 'quote' me: it's 3.14... or (3) dogs' \"tails\"! Unhappily, yes — no_one 'twas",
    "a ''b'' c'd'e 1,000 x; \U0001f600\U0001f44d\U0001f3fd e\u0301te\u0301 [ok] ?! Ünïcode",
)


def _values(name, passage):
    values = ATTRIBUTES[name].read(passage)
    if isinstance(values, list):
        return values
    return [None if isinstance(one, float) and np.isnan(one) else one for one in values.tolist()]


@pytest.mark.parametrize("name", [name for name, one in ATTRIBUTES.items() if not one.looks_ahead])
@pytest.mark.parametrize("text", HARD)
@pytest.mark.parametrize("piece", [1, 3, 9])
def test_what_does_not_look_ahead_is_known_at_once(name, text, piece):
    whole = make(text, piece=piece)
    full = _values(name, whole)
    for length in range(1, len(whole) + 1):
        assert _values(name, prefix(whole, length)) == full[:length]


@pytest.mark.parametrize("name", ["word", "length", "suffix", "from_end", "occurrences", "rank"])
def test_what_looks_ahead_does(name):
    whole = make("3.14 unhappy 3", piece=3)
    full = _values(name, whole)
    parts = [_values(name, prefix(whole, length)) for length in range(1, len(whole))]
    assert any(part != full[: len(part)] for part in parts)
    assert all(ATTRIBUTES[field].looks_ahead for field, one in ATTRIBUTES.items() if one.needs)


@given(
    st.one_of(conditions, numbers),
    st.sampled_from(HARD),
    st.integers(2, 12),
    st.sampled_from([CAUSAL, Visibility(True, 3)]),
)
@settings(max_examples=120, deadline=None)
def test_relations_that_do_not_look_ahead_keep_the_prefix_property(source, text, length, mask):
    relation = parse(source)
    assume(not relation.looks_ahead and not relation.needs)
    whole = make(text, piece=3)
    part = prefix(whole, length)
    np.testing.assert_array_equal(
        relation.dense(part, mask), relation.dense(whole, mask)[:length, :length]
    )


HAND = {
    "index": (STORY, list(range(13))),
    "from_end": (STORY, [None, *range(10, -1, -1), None]),
    "earlier": (STORY, [*[0] * 8, 1, 1, 0, 0, 0]),
    "occurrences": (STORY, [1, 2, 2, 1, 1, 1, 1, 1, 2, 2, 1, 1, 1]),
    "rank": (
        make("7 x 10 2 7 3.5 0", piece=9),
        [None, 4, None, 6, 1, 5, 2, None, 3, 0, None],
    ),
    "lower": (
        STORY,
        [None, "the", "cat", "saw", "unha", "ppy", "dogs", ",", "the", "cat", "ran", ".", None],
    ),
    "text": (
        QUOTE,
        [
            None,
            "He",
            "saw",
            "Ann",
            "(",
            "in",
            "12",
            ")",
            ".",
            "She",
            '"',
            "ran",
            '"',
            "off",
            ".",
            None,
        ],
    ),
    "suffix": (
        STORY,
        [None, "the", "cat", "saw", "ppy", "ppy", "ogs", ",", "the", "cat", "ran", ".", None],
    ),
    "length": (STORY, [None, 3, 3, 3, 7, 7, 4, 1, 3, 3, 3, 1, None]),
    "word": (STORY, [None, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, None]),
    "run": (STORY, [None, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 9, None]),
    "clause": (STORY, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2]),
    "opening": (QUOTE, [None] * 7 + [4] + [None] * 4 + [10] + [None] * 3),
    "head": (STORY, [None, 1, 2, None, 4, 4, 2, 8, 7, 8, 2, 2, None]),
    "grandparent": (STORY, [None, 2, None, None, 2, 2, None, 2, 8, 2, None, None, None]),
    "depth": (STORY, [None, 2, 1, 0, 2, 2, 1, 2, 3, 2, 1, 1, None]),
    "children": (STORY, [None, 0, 1, 4, 0, 0, 1, 0, 0, 1, 2, 0, None]),
    "phrase": (STORY, [None, 1, 1, 2, 4, 4, 4, 5, 7, 7, 8, 9, None]),
    "number": (QUOTE, [None, "Sing", None, "Sing", *[None] * 5, "Sing", *[None] * 6]),
    "sentence": (QUOTE, [None, *[0] * 8, *[1] * 6, None]),
    "is_line_break": (LINES, [index in {4, 7, 8} for index in range(11)]),
    "is_digit": (QUOTE, [index == 6 for index in range(16)]),
    "is_upper": (QUOTE, [index in {1, 3, 9} for index in range(16)]),
    "is_punct": (QUOTE, [index in {4, 7, 8, 10, 12, 14} for index in range(16)]),
    "is_word_start": (STORY, [index not in {0, 5, 12} for index in range(13)]),
    "is_special": (STORY, [index in {0, 12} for index in range(13)]),
    "is_bos": (STORY, [index == 0 for index in range(13)]),
    "is_eos": (STORY, [index == 12 for index in range(13)]),
}


@pytest.mark.parametrize("name", HAND)
def test_by_hand(name):
    passage, expected = HAND[name]
    assert _values(name, passage) == expected


@pytest.mark.parametrize("name", ["upos", "xpos", "dep", "lemma", "entity", "morph", "base_dep"])
def test_columns_of_words(name):
    field = "dep" if name == "base_dep" else name
    passage = make("unhappy .", **{field: ["acl:relcl", ""]})
    first = "acl" if name == "base_dep" else "acl:relcl"
    assert _values(name, passage) == [None, first, first, None, None]


def test_every_attribute_is_described_and_tested():
    assert all(one.sentence and one.later != "" for one in ATTRIBUTES.values())
    columns = {"upos", "xpos", "dep", "lemma", "entity", "morph", "base_dep", "id"}
    assert set(HAND) | columns == set(ATTRIBUTES)


def test_circles_of_heads_end():
    passage = make("a b c", head=[1, 0, 1], dep=["det", "det", "det"], special=False)
    assert _values("depth", passage) == [None, None, None]
    assert _values("phrase", passage) == [None, None, None]


def test_a_token_of_blanks_has_them_for_its_text():
    breaks = [False, False, False, False, True, False, False, True, True, False, False]
    assert _values("text", LINES) == [
        None, "Cats", "ran", ".", "\n", "They", "hid", "\n", "\n", "Far", None,
    ]  # fmt: skip
    assert _values("is_line_break", LINES) == breaks
    assert not any(_values("is_punct", LINES)[at] for at in np.flatnonzero(breaks))
    related = parse('key.text == "\\n" and distance == -1').dense(LINES, CAUSAL)
    assert np.argwhere(related > 0).tolist() == [[5, 4], [8, 7], [9, 8]]
    assert [LINES.label(at) for at in (0, 1, 4)] == ["[CLS]", "Cats", "\\n"]


def test_nested_brackets_and_unclosed_ones():
    passage = make('( [ x ) " y " ]', special=False)
    assert _values("opening", passage) == [None, None, None, 0, None, None, 4, None]


def test_apostrophes_open_nothing():
    passage = make("it's 'so' 5\" \"big\"", special=False)
    assert passage.tokens == ("it", "'", "s", "'", "so", "'", "5", '"', '"', "big", '"')
    assert _values("opening", passage) == [*[None] * 5, 3, *[None] * 4, 8]
