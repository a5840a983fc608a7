"""Untrusted text made safe to look at: no controls, no direction marks, no lost glyphs."""

import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

MISSING_GLYPH = "▯"
"""Stands for a character that the figures' font lacks."""

ELLIPSIS = "…"


def visible(text: str) -> str:
    r"""Return `text` with everything that is not a visible character written out.

    Controls, direction marks, zero-width characters, line separators, private and unassigned code
    points and lone surrogates become `\x1b`, `\u202e`, ...; every kind of blank becomes a space.
    """
    return "".join(_shown(character) for character in text)


def visible_lines(text: str) -> str:
    """Return `text` made visible line by line; its line breaks stay."""
    return "\n".join(visible(line) for line in text.split("\n"))


def shortened(text: str, width: int) -> str:
    """Cut `text` to at most `width` (at least 1) characters, the last one an ellipsis if it was."""
    return text if len(text) <= width else text[: width - 1] + ELLIPSIS


def token_label(text: str, width: int = 16) -> str:
    """Return a token as a label: visible, at most `width` characters, blanks alone shown as `␣`."""
    label = shortened(visible(text), width)
    return label if label.strip() else "␣" * max(len(label), 1)


def plottable(text: str) -> str:
    """Return visible `text` with characters that DejaVu Sans lacks replaced by a box."""
    glyphs = _glyphs()
    return "".join(c if ord(c) in glyphs else MISSING_GLYPH for c in visible(text))


def plottable_tokens(labels: Sequence[str], width: int = 16) -> list[str]:
    """Tokens as labels of a figure."""
    return [plottable(token_label(label, width)) for label in labels]


def short_name(pattern: str) -> str:
    """Return a pattern's name for a narrow cell: `previous_token` becomes `previous`."""
    return visible(pattern).replace("_token", "").replace("_", " ")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with a true minus sign, an en dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.{digits}f}".replace("-", "−")


def signed(value: float | None, digits: int = 3) -> str:
    """Return a number with its sign, plus too."""
    return f"{'+' if value is not None and value > 0 else ''}{number(value, digits)}"


def percent(share: float) -> str:
    """Return a share as a percentage, such as `95 %`."""
    return f"{share:.0%}".replace("%", " %")


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return the ends of an interval, empty where it has none."""
    if low is None or high is None:
        return ""
    between = "–" if low >= 0 else " to "
    return f"{number(low, digits)}{between}{number(high, digits)}"


@cache
def _shown(character: str) -> str:
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    if character in "\n\r\t":
        return repr(character)[1:-1]
    return character.encode("ascii", "backslashreplace").decode() if ord(character) > 127 else (
        f"\\x{ord(character):02x}"
    )  # fmt: skip


@cache
def _glyphs() -> frozenset[int]:
    """Code points that the font which ships with matplotlib can draw."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    return frozenset(font.get_charmap())
