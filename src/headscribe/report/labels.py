"""Numbers, names and tokens as a reader sees them: in tables, figures and pages."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from headscribe.core.visible import shortened, visible

MISSING_GLYPH = "▯"
"""Stands for a character that the figures' font lacks."""


def token_label(text: str, width: int = 16) -> str:
    """Return a token as a label: visible, at most `width` characters, blanks alone shown as `␣`."""
    label = shortened(visible(text), width)
    return label if label.strip() else "␣" * max(len(label), 1)


def plottable(text: str) -> str:
    """Return visible `text` with characters that DejaVu Sans lacks replaced by a box."""
    glyphs = _glyphs()
    return "".join(c if ord(c) in glyphs else MISSING_GLYPH for c in visible(text))


def plottable_tokens(labels: Sequence[str]) -> list[str]:
    """Tokens as labels of a figure."""
    return [plottable(token_label(label)) for label in labels]


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


def with_ends(value: str, low: float | None, high: float | None, digits: int = 3) -> str:
    """Return a written value with the ends of its interval in brackets, where it has any."""
    ends = interval(low, high, digits)
    return f"{value} ({ends})" if ends else value


@cache
def _glyphs() -> frozenset[int]:
    """Code points that the font which ships with matplotlib can draw."""
    from matplotlib import get_data_path
    from matplotlib.ft2font import FT2Font

    font = FT2Font(str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"))
    return frozenset(font.get_charmap())
