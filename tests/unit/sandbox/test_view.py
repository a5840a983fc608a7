"""The program's view says what the passage knows, after a trip through JSON."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.sandbox.encoding import columns
from headscribe.sandbox.inside.view import Passage as View
from headscribe.text.passages import WORD_FIELDS
from tests.passages import make, random_passage, split


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), length=st.integers(1, 20), special=st.booleans())
def test_nothing_is_lost(seed: int, length: int, special: bool) -> None:
    passage = random_passage(seed, length, special)
    view = View(json.loads(json.dumps(columns(passage))))
    assert len(view) == len(passage)
    assert (view.text, view.tokens) == (passage.text, passage.tokens)
    np.testing.assert_array_equal(view.spans, passage.read_spans)
    for name in ("ids", "is_special", "is_bos", "is_eos", "word"):
        np.testing.assert_array_equal(getattr(view, name), getattr(passage, name))
        assert not getattr(view, name).flags.writeable
    assert view.words_of == tuple(tuple(row.tolist()) for row in passage.words_of)
    assert view.tokens_of == tuple(tuple(row.tolist()) for row in passage.tokens_of)
    assert len(view.words) == len(passage.words)
    for name in ("form", "spans", *WORD_FIELDS):
        np.testing.assert_array_equal(getattr(view.words, name), getattr(passage.words, name))
    upos = [None if w < 0 else passage.words.upos[w] for w in passage.word]
    assert view.by_token("upos") == tuple(upos)


def test_pieces_of_a_character_do_not_show_it_before_the_last() -> None:
    passage = split("a\U0001f600b", 3)
    view = View(columns(passage))
    shown = [view.text[a:b] for a, b in view.spans]
    assert "".join(shown) == passage.text
    assert [view.text[a:b] for a, b in passage.spans] != shown


def test_odd_characters_travel() -> None:
    passage = make("naïve 𝔘nicode \u2028 \x00 \x1b")
    assert View(json.loads(json.dumps(columns(passage)))).text == passage.text


def test_texts_cannot_be_told_apart_by_name() -> None:
    assert columns(make("a b", text_id="x")) == columns(make("a b", text_id="y"))


def test_it_is_read_only_and_says_what_is_missing() -> None:
    view = View(columns(make("One two.")))
    with pytest.raises(AttributeError, match="read-only: cannot set `tokens`"):
        view.tokens = ()
    with pytest.raises(ValueError, match="read-only"):
        view.ids[0] = 1
    with pytest.raises(AttributeError, match="no `upos`"):
        _ = view.words.upos
    with pytest.raises(AttributeError, match="no `tags`; they have form, spans"):
        _ = view.words.tags
