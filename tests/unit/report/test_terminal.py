"""The terminal shows text only: no markup, no control characters, no line too wide."""

import dataclasses
import io
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.report.changes import changes_table
from headscribe.report.matrix_text import matrix_text
from headscribe.report.reading import worth_showing
from headscribe.report.terminal import (
    head_table,
    print_head,
    print_top,
    print_whole,
    relations_table,
    together,
    top_table,
)
from headscribe.results.comparison import Change, Comparison
from headscribe.results.queries import Score, of_head, top
from headscribe.results.relations import HalfAccuracy, relation_accuracy
from headscribe.results.run import Run
from tests.unit.report.synthetic import HOSTILE

TOKENS = st.lists(st.text(st.characters(codec=None), max_size=12), min_size=1, max_size=40)


def shown(draw, *arguments, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, color_system=None)
    draw(*arguments, console)
    return console.file.getvalue()


def score(
    pattern: str, gain: float | None = 0.1, ends: tuple[float, float] | None = (0.05, 0.15),
    *, score: float = 0.5, coverage: float = 0.9, head: str = "0.1",
) -> Score:  # fmt: skip
    low, high = ends or (None, None)
    return Score(
        pattern, "jsd", "raw", "all", head, score, score - 0.1, score + 0.1, coverage, 12,
        "profile", gain, low, high,
    )  # fmt: skip


def on_terminal(table: Table, width: int = 80) -> list[str]:
    """The lines of a table in a terminal."""
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_whole(table, console)
    return console.file.getvalue().splitlines()


def test_top_stars_what_is_better_and_says_what_it_shows(run: Run):
    text = shown(print_top, top(run))
    assert "★ 0.0" in text
    better = [s for s in top(run) if s.gain_low is not None and s.gain_low > 0]
    assert 0 < len(better) < len(top(run))
    assert text.count("★") == len(better)
    explaining = {s.pattern for s in better}
    below = {s.pattern for s in top(run)} - explaining
    assert below
    assert all(f"{name} (closest" in " ".join(text.split()) for name in below)
    said = f"{len(explaining)} of {len({s.pattern for s in top(run)})} patterns say more"
    assert text.startswith(said)
    assert text.split("★")[0].split()[-1] in explaining
    for fact in ("Jensen–Shannon", "lower is better", "view raw", "split all", "300 texts"):
        assert fact in " ".join(text.split())


@pytest.mark.parametrize(
    "gain, ends, starred",
    [(0.1, (0.05, 0.15), True), (-0.643, (-0.7, -0.6), False), (0.1, (-0.02, 0.2), False),
     (0.1, None, False), (None, None, False)],
)  # fmt: skip
def test_only_a_gain_whose_interval_is_above_zero_has_a_star(gain, ends, starred):
    one = score("some_pattern", gain, ends)
    for table in (top_table([one]), head_table(HeadId(0, 1), [one])):
        assert sum("★" in line for line in on_terminal(table)) == 1 + starred


def test_what_was_scored_on_a_sample_is_named_with_its_share():
    dense = dataclasses.replace(score("uniform"), scored=0.32)
    whole = dataclasses.replace(score("self", score=0.7), scored=1.0)
    for table in (top_table([dense, whole]), head_table(HeadId(0, 1), [dense, whole])):
        text = " ".join(" ".join(on_terminal(table)).split())
        assert "scored on a sample of its rows, as it points at most keys: uniform 32 %" in text
    for table in (top_table([whole]), top_table([score("self")])):
        assert "sample" not in " ".join(on_terminal(table))


def test_patterns_that_say_the_same_are_shown_once():
    same = [score(name, -0.5, (-0.6, -0.4), score=0.9) for name in ("last_token", "self", "next")]
    other = score("induction", 0.2, (0.1, 0.3), score=0.4)
    named, shown = top_table([*same, other]), head_table(HeadId(0, 1), [other, *same])
    for table in (named, shown, top_table(same)):
        text = " ".join(" ".join(on_terminal(table)).split())
        assert text.count("0.800–1.000") == (table is not named)
        assert text.startswith("1 of 2 patterns say more") == (
            table.row_count > 1 or table is named
        )
        assert "last_token = self = next" in text
    apart = [score("self", score=0.9), score("next", score=0.9001)]
    assert len(together({s.pattern: s for s in apart}, lambda s: s.score)) == 2


def test_a_pattern_that_speaks_of_no_row_is_never_first(run: Run, tmp_path):
    table = run.table("scores").to_pylist()
    for row in table:
        if (row["pattern"], row["layer"], row["head"]) == ("induction", 0, 0):
            row.update(score=0.0, low=0.0, high=0.0, coverage=0.0, gain=0.9, gain_low=0.8)
    shutil.copytree(run.folder, tmp_path / "run")
    pq.write_table(pa.Table.from_pylist(table, run.table("scores").schema),
                   tmp_path / "run" / "scores.parquet")  # fmt: skip
    scores = of_head(Run.open(tmp_path / "run"), HeadId(0, 0))
    shown_last = [s.pattern for s in scores if s.coverage < 0.05]
    assert "induction" in shown_last
    assert [s.pattern for s in scores][-len(shown_last) :] == shown_last
    assert worth_showing(run, scores) == "previous_token"


def test_beside_a_head_stands_what_explains_it_not_what_is_closest(run: Run):
    closest = score("uniform", 0.3, (0.2, 0.4), score=0.1)
    weak = score("punctuation", -0.1, (-0.2, 0.0), score=0.2)
    best = score("induction", 0.2, (0.1, 0.3), score=0.4)
    assert worth_showing(run, [closest, weak, best]) == "induction"
    assert worth_showing(run, [weak, closest]) == "punctuation"
    rare = score("bos", 0.9, (0.8, 1.0), score=0.0, coverage=0.0)
    assert worth_showing(run, [rare, weak]) == "punctuation"


def half(relation: str, number: int) -> HalfAccuracy:
    return HalfAccuracy(relation, "to_dependent", number, "11.11", 0.83, 0.75, 0.92, -5, 0.76,
                        -0.08, -0.16, -0.01, 12345, few=False)  # fmt: skip


def test_tables_fit_a_terminal_of_80_columns(run: Run):
    long = ["repetition_without_self", "previous_punctuation_else_first", "key.word == query.head"]
    scores = [
        dataclasses.replace(
            score(name, -0.643, (-0.7, -0.6), head="11.11", score=0.4 + 0.1 * n),
            baseline="first_token",
        )
        for n, name in enumerate(long)
    ]
    change = Change(
        long[1], "11.11", "10.10", 0.902, 0.900, 0.905, 0.412, 0.405, 0.418, -0.49, True
    )
    found = Comparison("survey", "jsd, view raw", "head", False, (change,))
    for table in (
        top_table(scores), head_table(HeadId(11, 11), scores),
        relations_table([half(name, n) for name in ("nmod:poss", "det") for n in (0, 1)]),
        changes_table(found, run, run),
    ):  # fmt: skip
        lines = on_terminal(table)
        assert max(map(cell_len, lines)) <= 80
        assert "…" not in "".join(lines)


def test_the_halves_of_a_relation_stand_together_and_are_named():
    lines = on_terminal(relations_table([half("det", 0), half("det", 1)]))
    assert sum("det" in line for line in lines) == 1
    assert "a line a half" in " ".join(" ".join(lines).split())


def test_rare_relations_are_counted_and_gains_stay_within_their_range(tmp_path):
    run = Run.create(tmp_path / "run", "survey", {})
    rows = [
        {"relation": name, "direction": "to_head", "half": half, "layer": 1, "head": 2,
         "accuracy": 0.5, "accuracy_low": 0.1, "accuracy_high": 0.9, "offset": 1,
         "offset_accuracy": 0.4, "gain": 0.1, "gain_low": -4.27, "gain_high": 3.87,
         "instances": count}
        for name, counts in (("det", (200, 20)), ("appos", (5, 1)), ("iobj", (3, 3)))
        for half, count in enumerate(counts)
    ]  # fmt: skip
    run.write_table("relations", pa.Table.from_pylist(rows))
    found = relation_accuracy(run)
    assert {(one.gain_low, one.gain_high) for one in found} == {(-1.0, 1.0)}
    text = " ".join(" ".join(on_terminal(relations_table(found))).split())
    assert "det to head" in text
    assert "appos" not in text
    assert "2 rarer relations left out" in text
    assert "appos" in " ".join(on_terminal(relations_table(found[2:])))


def test_runs_that_say_the_same_differ_in_nothing(run: Run):
    same = Change("uniform", "0.1", "0.1", 0.5, 0.4, 0.6, 0.5, 0.4, 0.6, 0.0, apart=False)
    small = dataclasses.replace(same, change=0.0004)
    lines = on_terminal(
        changes_table(Comparison("survey", "jsd", "head", False, (same, small)), run, run)
    )
    assert "nothing differs" in lines[0]
    assert not any("uniform" in line for line in lines)


def test_in_a_pipe_a_row_is_one_line():
    text = shown(print_whole, top_table([score("previous_punctuation_else_first")]), width=80)
    assert "previous_punctuation_else_first" in text


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
