"""The page of the run directory names every table and column that a run writes, and no other."""

import json
import re
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import pandas
import pyarrow.parquet as pq
import pytest

import headscribe as hs
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula
from headscribe.fitting.heads import ALL_METRICS
from headscribe.hinting.causal import Check
from headscribe.hinting.tables import ranking
from headscribe.replacement.curves import Arm
from headscribe.replacement.record import tuned_table
from headscribe.results.kinds import BUILT_IN
from headscribe.results.records import table_of

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "run-directory.md").read_text("utf-8")
QUESTIONS = [
    {"question": "What is big?", "choices": ["cat", "dog"], "answer": 0},
    {"question": "Who sat?", "choices": ["Tom", "Ann"], "answer": 1},
] * 3
RARE = {"tuned", "all_heads", "ranking", "causal"}
"""Tables that small runs do not write: tuning, accepted programs, ranked heads."""


def described() -> dict[str, dict[str, set[str]]]:
    """The columns of the page by section and table."""
    found: dict[str, dict[str, set[str]]] = {}
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title = section.split("\n")[0].rsplit(" ", 1)[-1]
        for part in re.split(r"^### ", section, flags=re.MULTILINE)[1:]:
            name = part.split("\n")[0].strip("`")
            rows = re.findall(r"^\| (`[^|]*) \|", part, re.MULTILINE)
            found.setdefault(title, {})[name] = {
                column for row in rows for column in re.findall(r"`([^`]+)`", row)
            }
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, story_fit: Path) -> dict[str, Path]:
    here = tmp_path_factory.mktemp("runs")
    model, texts = hs.load("bundled:stories"), hs.corpus("bundled:samples")
    few, rest = (replace(texts, texts=texts.texts[a:b]) for a, b in ((0, 20), (20, 26)))
    short = {"max_tokens": 12, "annotator": "plain"}
    hs.survey(model, few, max_tokens=16, out=here / "survey")
    copytree(story_fit, here / "fit")
    hs.replace(
        model, here / "fit", rest, few, fractions=(1.0,), random_orders=0, alone=("formula",),
        **short, out=here / "replacement",
    )  # fmt: skip
    hs.discover(
        model, few, heads="4.0", rounds=1, terms=1, **short, library=here / "library.jsonl",
        out=here / "discovery",
    )  # fmt: skip
    hs.describe(
        model, hs.corpus("bundled:samples", 60), heads="4.0", terms=1, **short, questions=4,
        out=here / "description",
    )  # fmt: skip
    hs.explain(model, texts, max_tokens=24, out=here / "explanation")
    hs.hints(model, QUESTIONS, answer="likelihood", causal=False, out=here / "hints")
    hs.effects(model, few, **short, matters=8, reads=8, out=here / "effects")
    hs.probe(model, probes="duplicate", pairs=8, out=here / "probes")
    names = (
        "survey", "fit", "replacement", "discovery", "description", "explanation", "effects",
        "probes", "hints",
    )  # fmt: skip
    return {name: here / name for name in names}


def test_every_column_is_described(runs: dict[str, Path]) -> None:
    page = described()
    shared = {"examples": page["survey"]["examples"], "texts": page["fit"]["texts"]}
    shared |= page["explanation"]  # a survey of the whole catalogue says what heads do
    for kind, folder in runs.items():
        tables = json.loads((folder / "run.json").read_text())["tables"]
        assert {path.stem for path in folder.glob("*.parquet")} == set(tables)
        known = page[kind] | shared
        assert set(page[kind]) - RARE - set(tables) <= {"texts"}, "the page has no table too many"
        for name in tables:
            columns = set(pq.read_schema(folder / f"{name}.parquet").names)
            if (kind, name) == ("fit", "formulas"):
                metrics = "|".join(ALL_METRICS)
                score = re.compile(rf"(formula|profile|gain)_(raw|content)_({metrics})_\w+")
                columns = {column for column in columns if not score.fullmatch(column)}
                known[name] = known[name] - {"WHAT_VIEW_METRIC_mean", "..._low", "..._high"}
            assert columns == known[name], (kind, name)


def test_every_column_of_rare_tables_is_described() -> None:
    page = described()
    tuned = tuned_table([Arm("formula", {HeadId(0, 1): Formula("L0H1", ())}, tuned=True)])
    assert set(tuned.column_names) == page["replacement"]["tuned"]
    assert set(ranking([], []).column_names) == page["hints"]["ranking"]
    assert set(table_of(Check, []).column_names) == page["hints"]["causal"]


def test_every_kind_opens_as_its_view(runs: dict[str, Path]) -> None:
    views = [hs.open(folder) for folder in runs.values()]
    assert [type(view) for view in views] == [
        hs.Survey, hs.Fit, hs.Replacement, hs.Discovery, hs.Descriptions, hs.Explained, hs.Effects,
        hs.Probed, hs.Hints,
    ]  # fmt: skip
    assert {view.run.kind for view in views} == {kind.name for kind in BUILT_IN}
    for view in views:
        manifest = json.loads((view.folder / "run.json").read_text())
        assert manifest["schema_version"] == 2
        assert manifest["config"]["model"] == manifest["model"]["name"] == "bundled:stories"
        assert re.fullmatch(r"[0-9a-f]{16,64}", manifest["model"]["fingerprint"])
        assert len(repr(view)) < 320
        assert str(view.folder) in repr(view)
        for table in view.tables:
            assert isinstance(view.frame(table), pandas.DataFrame)
        assert "<iframe" in view._repr_html_()
    with pytest.raises(hs.UsageError, match="expected a run that opens as Fit in"):
        hs.Fit.open(runs["survey"])


def test_a_card_says_what_the_head_writes(runs: dict[str, Path]) -> None:
    answer = hs.Explained.open(runs["explanation"])
    assert answer.effects is not None
    lines = [
        hs.Effects.open(runs["effects"]).line("3.5"), hs.Probed.open(runs["probes"]).line("3.5"),
    ]  # fmt: skip
    assert answer.writes(hs.HeadId(3, 5)) == "\n".join(lines)
    (entry,) = answer.to_json([hs.HeadId(3, 5)])
    assert entry["writes"].startswith("Writes: ")
    assert "without it the loss is" in entry["writes"]
    with pytest.raises(hs.UsageError, match=r"no head 9\.0"):
        answer.effects.line("9.0")


def test_one_page_of_all(runs: dict[str, Path], tmp_path: Path) -> None:
    page = hs.report([hs.open(runs["survey"]), runs["fit"]], tmp_path / "all.html")
    assert "<!doctype html>" in page.read_text("utf-8")[:100].lower()
    assert hs.open(runs["hints"]).report(tmp_path / "one.html").is_file()


def test_what_a_frame_cannot_be(runs: dict[str, Path]) -> None:
    survey = hs.open(runs["survey"])
    with pytest.raises(hs.UsageError, match=r"`scoers` is no table.*did you mean `scores`"):
        survey.frame("scoers")
    with pytest.raises(hs.UsageError, match="`excel` is no library of data frames"):
        survey.frame("scores", "excel")


def test_it_is_read_without_headscribe(runs: dict[str, Path]) -> None:
    """The two examples of the page, run as they stand."""
    codes = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    found: dict[str, object] = {}
    for code in codes:
        exec(code.replace("runs/survey", str(runs["survey"])), found)  # noqa: S102
    attention = found["attention"]
    assert abs(attention.sum(axis=1) - 1).max() < 1e-3
    assert "scores" in found
