"""Labels hold nothing invisible, and nothing that the figures' font lacks."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.visible import shortened, visible, visible_lines
from headscribe.report.labels import (
    interval,
    number,
    plottable,
    plottable_tokens,
    short_name,
    token_label,
)

ANY_TEXT = st.text(st.characters(codec=None), max_size=30)


@given(ANY_TEXT)
@settings(max_examples=200, deadline=None)
def test_visible_text_is_printable_and_encodable(text):
    shown = visible(text)
    assert shown.isprintable()
    shown.encode("utf-8")
    assert not any(unicodedata.category(c)[0] == "C" for c in shown)
    assert visible(shown) == shown


@pytest.mark.parametrize(
    "text, shown",
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("\u202eabc\u2066", r"\u202eabc\u2066"),
        ("a\nb\tc", r"a\nb\tc"),
        ("a\u00a0b", "a b"),
        ("\x9b", r"\x9b"),
        ("\ud800", r"\ud800"),
        ("\U000e0041", r"\U000e0041"),
        ("naïve 漢字 😀 $x_1$", "naïve 漢字 😀 $x_1$"),
    ],
)
def test_what_is_written_out(text, shown):
    assert visible(text) == shown


@given(ANY_TEXT)
@settings(max_examples=100, deadline=None)
def test_token_labels_are_short_and_never_blank(text):
    label = token_label(text, 9)
    assert 0 < len(label) <= 9
    assert label.strip()


def test_characters_without_a_glyph_become_a_box():
    assert plottable("ab漢c") == "ab▯c"
    assert plottable_tokens(["", "  "]) == ["␣", "␣␣"]


def test_numbers_have_a_true_minus_and_intervals_an_unambiguous_dash():
    assert number(-0.1234) == "−0.123"
    assert number(None) == "–"
    assert interval(0.1, 0.2) == "0.100–0.200"
    assert interval(-0.1, 0.2) == "−0.100 to 0.200"
    assert interval(None, 0.2) == ""


def test_names_for_cells():
    assert short_name("previous_token") == "previous"
    assert short_name("next_token_only") == "next only"
    assert short_name("part_of_speech") == "part of speech"
    assert shortened("abcdef", 4) == "abc…"


def test_lines_stay_and_nothing_else():
    assert visible_lines("one\ntwo\x1b[2J\r\n\u202ethree") == (
        "one\n" + r"two\x1b[2J\r" + "\n" + r"\u202ethree"
    )
