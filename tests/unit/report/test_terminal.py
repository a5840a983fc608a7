"""The terminal shows text only: no markup, no control characters, no line too wide."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.report.terminal import matrix_text, print_head, print_top
from headscribe.results.queries import Score, of_head, top
from headscribe.results.run import Run
from tests.unit.report.synthetic import HOSTILE

TOKENS = st.lists(st.text(st.characters(codec=None), max_size=12), min_size=1, max_size=40)


def shown(draw, *arguments, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    draw(*arguments, console)
    return console.file.getvalue()


def score(pattern: str, gain: float | None = 0.1) -> Score:
    return Score(pattern, "jsd", "raw", "all", "0.1", 0.5, 0.4, 0.6, 0.9, 12, "profile", gain)


def test_top_stars_the_best_and_says_what_it_shows(run: Run):
    text = shown(print_top, top(run))
    assert "★ 0.0" in text
    assert text.count("★") == len({s.pattern for s in top(run)})
    for fact in ("Jensen–Shannon", "lower is better", "view raw", "split all", "300 texts"):
        assert fact in " ".join(text.split())


def test_names_are_text_and_never_markup():
    text = shown(print_top, [score("[red]x[/red]"), score("a\x1b[31mb\u202e", None)])
    assert "[red]x[/red]" in text
    assert r"a\x1b[31mb\u202e" in text
    assert "\x1b" not in text


def test_a_head_with_hostile_tokens(run: Run):
    real = np.eye(len(HOSTILE))
    scores = of_head(run, HeadId(0, 0))
    text = shown(print_head, HeadId(0, 0), scores, HOSTILE, {f"on {HOSTILE[0]}": real})
    assert not any(c in text for c in "\x1b\x00\u202e\ud800")
    assert "previous_token" in text
    assert "on " in text


def test_a_matrix_by_hand():
    matrix = np.array([[0.0, 0, 0], [0.3, 0.7, 0], [0.1, 0.0, 0.9]])
    assert matrix_text(["a", "bc", "."], matrix, width=80).splitlines() == [
        "     b",
        "   a c .",
        " a ------",
        "bc ▒▒▓▓··",
        " . ░░··██",
        "",
        "rows: queries, columns: keys   · < 0.02   ░ < 0.25   ▒ < 0.5   ▓ < 0.75   █ more",
        "- uncovered",
    ]


@given(TOKENS, st.integers(24, 120))
@settings(max_examples=60, deadline=None)
def test_no_line_is_too_wide_and_nothing_is_invisible(labels, width):
    text = matrix_text(labels, np.eye(len(labels)), width=width)
    for line in text.split("\n"):
        assert line.isprintable()
        assert cell_len(line) <= width
    assert text.count("█") >= len(labels)


def test_wrong_shapes_are_named():
    with pytest.raises(UsageError, match="2 x 2"):
        matrix_text(["a", "b"], np.eye(3))
    with pytest.raises(UsageError, match="at least 1"):
        matrix_text([], np.zeros((0, 0)))
