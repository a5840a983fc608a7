"""Figures draw any label without a warning, and say what they show."""

import io
from xml.etree.ElementTree import fromstring

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.report.figures import matrix_figure, optimal_figure, uncovered_rows
from headscribe.report.overview import (
    containment_figure,
    gate_figure,
    grid_figure,
    layers_figure,
)
from headscribe.report.reading import baselines, findings, gates, provenance
from headscribe.report.theme import THEMES
from headscribe.results.queries import Score, scores
from headscribe.results.run import Run
from tests.unit.report.synthetic import HOSTILE, make_run

SVG_ELEMENTS = {
    "svg", "metadata", "RDF", "Work", "type", "format", "creator", "Agent", "title", "date",
    "defs", "style", "g", "path", "use", "image", "clipPath", "rect", "pattern",
}  # fmt: skip

BASELINES = frozenset({"first_token"})


def written(figure: Figure, kind: str = "svg") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=40)
    return buffer.getvalue()


def three(length: int) -> dict[str, np.ndarray]:
    real = np.full((length, length), 1 / length)
    predicted = np.eye(length, k=-1)
    return {"real": real, "predicted": predicted, "difference": (real - predicted) * 0.9}


def words_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("length", [1, 2, 8, 60, 150])
def test_any_length_draws(length):
    labels = [f"token{i}" for i in range(length)]
    figure = matrix_figure(labels, three(length), title="a title", note="a note")
    written(figure, "png")
    if length <= 60:
        assert {"a title", "a note", "token0"} <= set(words_of(figure))
        assert all(label in words_of(figure) for label in labels)
    ticks = figure.axes[0].get_xticklabels()
    inches = figure.axes[0].get_position().width * figure.get_figwidth() / len(ticks)
    assert inches * 72 >= min(ticks[0].get_fontsize(), 6) * 1.0


@pytest.mark.parametrize("theme", list(THEMES))
def test_hostile_labels_are_drawn_as_text(theme):
    labels = [*HOSTILE, "--><script>", "a_b^{", r"\frac{1}{2}", "$"]
    figure = matrix_figure(labels, three(len(labels)), theme=theme, title="$x_1$ \x1b", note="$_$")
    assert not any(text.get_parse_math() for text in figure.axes[0].get_xticklabels())
    kinds = {element.tag.rpartition("}")[2] for element in fromstring(written(figure)).iter()}
    assert kinds <= SVG_ELEMENTS
    assert not any(c in text for text in words_of(figure) for c in "\x1b\x00\u202e")


def test_small_multiples():
    matrices = {f"pattern_{i}": np.eye(9, k=i) for i in range(6)}
    figure = optimal_figure(list("abcdefghi"), matrices, columns=4)
    written(figure)
    assert set(matrices) <= set(words_of(figure))
    assert len(figure.axes) == 7


def test_uncovered_rows_of_a_difference_are_those_of_the_prediction():
    matrices = three(4)
    found = uncovered_rows(matrices)
    assert found["real"].tolist() == [False] * 4
    assert found["predicted"].tolist() == found["difference"].tolist() == [True] + [False] * 3


def test_a_difference_of_nothing_is_no_uncovered_row():
    same = {"real": np.eye(1), "predicted": np.eye(1), "difference": np.zeros((1, 1))}
    assert not any(rows.any() for rows in uncovered_rows(same).values())


@pytest.mark.parametrize(
    "labels, matrices, words",
    [
        ([], {"a": np.zeros((0, 0))}, "at least one token"),
        (["a"], {}, "one matrix"),
        (["a", "b"], {"m": np.eye(3)}, "2 x 2"),
        (["a"], {"m": np.array([[np.nan]])}, "finite"),
    ],
)
def test_wrong_input_is_named(labels, matrices, words):
    with pytest.raises(UsageError, match=words):
        matrix_figure(labels, matrices)


@pytest.mark.parametrize("theme", list(THEMES))
def test_figures_of_a_run_say_what_they_show(run: Run, theme):
    for figure in (
        grid_figure(run, theme=theme),
        layers_figure(run, theme=theme),
        containment_figure(run, theme=theme),
        gate_figure(run, theme=theme),
    ):
        written(figure)
        words = " ".join(words_of(figure))
        for fact in ("bundled:stories", "sample stories", "headscribe", "seed 0"):
            assert fact in words.replace("\n", " ")


def test_the_grid_names_the_best_pattern_and_hatches_the_rest(run: Run):
    figure = grid_figure(run)
    best = findings(scores(run), baselines(run))
    assert "previous\n0.39" in words_of(figure)
    hatched = [patch for patch in figure.axes[0].patches if patch.get_hatch()]
    assert len(hatched) == 12 - len(best)


def test_a_large_grid_has_no_names_in_its_cells(tmp_path):
    big = make_run(tmp_path / "big", layers=4, heads=32, patterns={"next_token": "positional"})
    assert not any(word.startswith("next") for word in words_of(grid_figure(big)))


def line(
    pattern="a",
    gain=0.1,
    low=0.05,
    coverage=0.9,
    profile=(None, None, None),
) -> Score:
    return Score(
        pattern, "jsd", "raw", "all", "0.0", 0.5, 0.4, 0.6, coverage, 10, "uniform", gain, low, 0.2,
        *profile,
    )  # fmt: skip


def test_findings_need_a_gain_that_is_sure():
    assert findings([line()], BASELINES)[HeadId(0, 0)].worth == pytest.approx(0.09)
    assert findings([line(low=-0.01)], BASELINES) == {}
    assert findings([line(gain=-0.1, low=None)], BASELINES) == {}
    assert findings([line(gain=None, low=None)], BASELINES) == {}
    assert findings([line(coverage=0.01)], BASELINES) == {}
    assert findings([line("first_token")], BASELINES) == {}


def test_a_head_that_its_profile_predicts_better_is_not_explained():
    assert findings([line(profile=(-0.2, -0.3, -0.1))], BASELINES) == {}
    assert findings([line(profile=(0.04, -0.01, 0.09))], BASELINES) == {}
    surer = line(profile=(0.3, 0.2, 0.4))
    assert surer.margin == (0.1, 0.05, 0.2, "uniform")
    closer = line(profile=(0.05, 0.02, 0.08))
    assert closer.margin == (0.05, 0.02, 0.08, "profile")
    assert findings([closer], BASELINES)[HeadId(0, 0)].worth == pytest.approx(0.045)


def test_findings_weigh_the_gain_by_coverage():
    found = findings([line("narrow", gain=0.3, coverage=0.1), line("broad", gain=0.1)], BASELINES)
    assert found[HeadId(0, 0)].pattern == "broad"


def test_gates_are_clear_sorted_and_one_a_head_and_place(run: Run):
    found = gates(run, 50)
    assert found
    assert all(gate.clear for gate in found)
    sizes = [abs(gate.difference) for gate in found]
    assert sizes == sorted(sizes, reverse=True)
    assert len({(gate.head, gate.place) for gate in found}) == len(found)


def test_provenance_of_a_bare_run(tmp_path):
    bare = Run.create(tmp_path / "bare", "survey", {})
    assert "not recorded" in provenance(bare)
