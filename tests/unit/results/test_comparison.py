"""Two runs side by side."""

import io
import json
from dataclasses import asdict

import pytest
from rich.console import Console

from headscribe.core.errors import RunError, UsageError
from headscribe.report.changes import print_changes
from headscribe.results.comparison import as_json, compare
from headscribe.results.run import Run
from tests.unit.report.synthetic import HOSTILE, make_run
from tests.unit.report.synthetic_fit import make_fit
from tests.unit.report.synthetic_more import make_discovery, make_replacement


@pytest.fixture(scope="module")
def surveys(tmp_path_factory) -> tuple[Run, Run]:
    folder = tmp_path_factory.mktemp("surveys")
    return make_run(folder / "one"), make_run(folder / "two", seed=1)


def test_surveys_are_compared_head_by_head(surveys):
    found = compare(*surveys)
    tables = [
        {
            (row["pattern"], f"{row['layer']}.{row['head']}"): row
            for row in run.table("scores").to_pylist()
            if (row["metric"], row["view"]) == ("jsd", "raw") and row["coverage"] >= 0.05
        }
        for run in surveys
    ]
    assert found.by == "head"
    assert not found.higher_is_better
    assert len(found.changes) == len(tables[0])
    for change in found.changes:
        first, second = (table[change.what, change.where] for table in tables)
        assert change.first == first["score"]
        assert change.change == second["score"] - first["score"]
        apart = first["low"] > second["high"] or second["low"] > first["high"]
        assert change.apart == apart
    sizes = [abs(change.change) for change in found.changes]
    assert sizes == sorted(sizes, reverse=True)


def test_models_of_different_shapes_are_compared_pattern_by_pattern(surveys, tmp_path):
    other = make_run(tmp_path / "other", layers=2, heads=3, seed=3)
    found = compare(surveys[0], other)
    assert found.by == "pattern"
    assert len({change.what for change in found.changes}) == len(found.changes) == 14
    previous = next(change for change in found.changes if change.what == "previous_token")
    assert previous.where == previous.there == "0.0"


def test_fits_and_replacements(tmp_path):
    fits = make_fit(tmp_path / "a"), make_fit(tmp_path / "b", seed=1)
    found = compare(*fits)
    assert found.higher_is_better
    assert {change.where for change in found.changes} == {
        f"{n}.{h}" for n in range(3) for h in range(4)
    }
    replaced = make_replacement(tmp_path / "c"), make_replacement(tmp_path / "d")
    same = compare(*replaced)
    assert {change.what for change in same.changes} == {
        "formula, best_first", "profile, best_first", "zero, best_first",
    }  # fmt: skip
    assert all(change.change == 0 and change.apart is False for change in same.changes)


def test_json_and_table_say_the_same_and_hold_no_control_character(surveys, tmp_path):
    names = {name: "lexical" for name in HOSTILE if name.isprintable() and name.strip()}
    names["\x1b[31mred\u202e"] = "lexical"
    one, two = (make_run(tmp_path / f"h{n}", patterns=names, seed=n) for n in range(2))
    found = compare(one, two)
    document = json.loads(as_json(found, None, one, two))
    assert document["changes"][0] == asdict(found.changes[0])
    assert document["runs"] == [str(one.folder), str(two.folder)]
    console = Console(width=150, record=True, file=io.StringIO())
    print_changes(found, one, two, k=len(found.changes), console=console)
    words = console.export_text()
    assert r"\x1b[31mred\u202e" in words
    assert not any(character in words for character in "\x1b\u202e\x00")
    assert "<script>alert(1)</script>" in words


def test_what_cannot_be_compared_is_refused(surveys, tmp_path):
    fit = make_fit(tmp_path / "fit")
    with pytest.raises(UsageError, match="two runs of one kind"):
        compare(surveys[0], fit)
    with pytest.raises(UsageError, match="two runs of one kind"):
        compare(*(make_discovery(tmp_path / name) for name in ("x", "y")))
    stranger = make_run(tmp_path / "stranger", patterns={"alone": "lexical"})
    with pytest.raises(UsageError, match="nothing in common"):
        compare(surveys[0], stranger)
    fit.write_table("formulas", fit.table("formulas").drop_columns(["formula_raw_iou_low"]))
    with pytest.raises(RunError, match="formula_raw_iou_low"):
        compare(fit, fit)
    half = make_replacement(tmp_path / "half")
    half.manifest.pop("replacement")
    with pytest.raises(UsageError, match="unfinished"):
        compare(half, half)
