import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from headscribe.core.visible import shortened, visible, visible_line, visible_lines

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


@given(st.text(st.characters(codec=None)))
def test_nothing_unseen_is_left(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(c) in UNSEEN for c in shown)
    assert "\n" not in visible_line(text, 40)
    assert len(visible_line(text, 40)) <= 40


def test_what_is_visible_stays() -> None:
    assert visible("naïve 東京 é́ 🙂 →") == "naïve 東京 é́ 🙂 →"


def test_known_spellings() -> None:
    assert (
        visible("a\x1b[31m\u202e\u200b\u2028\ud800\n")
        == "a\\x1b[31m\\u202e\\u200b\\u2028\\ud800\\n"
    )
    assert visible("\x85\xad") == "\\x85\\xad"
    assert visible_lines("a\nb\x00") == "a\nb\\x00"
    assert visible_line("a\n\n b", 9) == "a b"
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"
