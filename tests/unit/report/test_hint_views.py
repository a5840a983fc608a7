"""The tables and figures of a run of hints whose heads are ranked."""

from pathlib import Path

import pytest
from rich.console import Console

import headscribe as hs
from headscribe.report.hint_figures import grid_figure, profile_figure
from headscribe.report.hint_tables import print_hints
from headscribe.results.run import Run

PLANTED = Path(__file__).parents[2] / "data" / "hints"


@pytest.fixture(scope="module")
def ranked(tmp_path_factory) -> Run:
    """A small model that copies hints, asked a hundred questions."""
    out = tmp_path_factory.mktemp("hints") / "run"
    questions = PLANTED / "questions.jsonl"
    hs.hints(PLANTED / "copier", questions, limit=110, answer="likelihood", top=3, out=out)
    return Run.open(out)


def test_everything_is_printed_whole(ranked: Run) -> None:
    console = Console(width=60, record=True, force_terminal=False, quiet=True)
    with console.capture() as captured:
        console.quiet = False
        print_hints(ranked, console)
    printed = captured.get()
    first = ranked.table("ranking").to_pylist()[0]
    assert "Heads whose reading of the hint moves the answer" in printed
    assert f"* {first['head']}" in printed
    assert f"{first['effect']:.2f}" in printed
    assert "Answers that change back, of" in printed
    top = next(
        one for one in ranked.table("causal").to_pylist()
        if (one["set"], one["how"]) == ("top", "block")
    )  # fmt: skip
    assert f"{top['share']:.0%}".replace("%", " %") in printed
    assert "…" not in printed


def test_an_opened_run_says_what_the_ranking_rests_on(ranked: Run) -> None:
    found = hs.open(ranked.folder).ranking
    assert found.refused is None
    assert found.follow.hits <= found.follow.changed
    assert found.follow.p < 0.05


def test_the_grid_shows_effects_and_flags(ranked: Run) -> None:
    figure = grid_figure(ranked)
    figure.canvas.draw()
    texts = [text.get_text() for text in figure.axes[0].texts]
    rows = ranked.table("ranking").to_pylist()
    assert len(texts) == len(rows) == 32
    assert sum(text.startswith("★") for text in texts) == sum(row["flagged"] for row in rows)
    first = rows[0]
    shown = texts[first["layer"] * 8 + first["index"]]
    assert shown == f"★{first['effect']:.2f}".replace("★0.", "★.")


def test_the_profile_stands_beside_its_text(ranked: Run) -> None:
    figure = profile_figure(ranked, theme="dark")
    figure.canvas.draw()
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    profile = [
        row for row in ranked.table("profile").to_pylist()
        if row["condition"] == "wrong" and row["head"] == ranked.table("ranking")["head"][0].as_py()
    ]  # fmt: skip
    assert len(labels) == len(profile)
    assert sum(row["weight"] for row in profile) == pytest.approx(1, abs=1e-5)
    for label, row in zip(labels, profile, strict=True):
        assert label.split(" / ")[0] == row["token"]
        assert (" / " in label) == (row["part"] == "insertion")
