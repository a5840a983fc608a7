"""Which names of heads hold on another corpus."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from headscribe.behaviours.card import UNNAMED, Card, Figure
from headscribe.behaviours.tables import run_tables
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.report.changes import print_names
from headscribe.results.comparison import as_json
from headscribe.results.names import names_of
from headscribe.results.run import Run


def figure(name: str, family: str, listed: bool = True) -> Figure:
    half = {"share": 0.5, "expected": 0.1, "excess": 0.4, "low": 0.3, "high": 0.5}
    return Figure(name, "On a word", "words", "distance == 1", family, 90, 0.1, **half, hit=0.5,
                  confirmed=half, sinks_here=0.2, part=0.1, listed=listed)  # fmt: skip


def answered(folder: Path, names: dict[str, list[tuple[str, str, bool]]]) -> Run:
    """A run whose heads have these behaviours, that of the name first."""
    cards = []
    for head, has in names.items():
        figures = tuple(figure(*one) for one in has)
        name, family = (has[0][0], has[0][1]) if has else (UNNAMED, "")
        cards.append(Card(HeadId.parse(head), name, "It does.", family, 0.2, (("sinks", 1.0),),
                          figures, 0.01))  # fmt: skip
    run = Run.create(folder, "explain", {}, model={"name": "m"}, corpus={"name": folder.name})
    for name, table in run_tables(cards).items():
        run.write_table(name, table)
    run.finish(named=sum(bool(has) for has in names.values()))
    return run


DET, NOUNS = ("determiner → its noun", "syntax", True), ("reads nouns", "word class", True)
UNLISTED = ("reads nouns", "word class", False)


def test_every_name_holds_is_there_too_or_is_gone(tmp_path: Path) -> None:
    first = answered(
        tmp_path / "stories",
        {"0.0": [DET], "0.1": [NOUNS], "0.2": [NOUNS, DET], "1.0": [NOUNS], "1.1": [], "1.2": []},
    )
    second = answered(
        tmp_path / "treebank",
        {"0.0": [DET], "0.1": [DET, NOUNS], "0.2": [DET, UNLISTED], "1.0": [], "1.1": [NOUNS],
         "1.2": []},
    )  # fmt: skip
    found = names_of(first, second)
    assert found is not None
    assert {pair.head: pair.holds for pair in found.pairs} == {
        "0.0": "same name", "0.1": "does it too", "0.2": "not there", "1.0": "not there",
    }  # fmt: skip
    assert found.heads == 6
    assert found.new == 1
    assert found.sentence == (
        "1 of 4 heads named in stories keep their name in treebank (25 %). 1 (25 %) do the same "
        "there under another name, 2 (50 %) do not; of these 0 have another name of the same "
        "family. Named in treebank alone: 1."
    )
    assert {family: counts.total() for family, counts in found.families.items()} == {
        "word class": 3, "syntax": 1,
    }  # fmt: skip
    document = json.loads(as_json(None, found, first, second))
    assert document["kind"] == "explain"
    assert document["names"]["not_there"] == 2
    assert document["names"]["pairs"][1] == {
        "head": "0.1", "first": "reads nouns", "second": "determiner → its noun",
        "family": "word class", "second_family": "syntax", "holds": "does it too",
    }  # fmt: skip
    out = Console(file=io.StringIO(), width=100)
    print_names(found, console=out)
    said = out.file.getvalue()  # type: ignore[attr-defined]
    assert said.startswith("1 of 4 heads named in stories")
    assert "2 (67 %)" in said
    assert "0.2" in said
    same = names_of(first, first)
    assert same is not None
    assert same.counts == {"same name": 4}


def test_runs_without_names_or_heads_in_common(tmp_path: Path) -> None:
    first = answered(tmp_path / "a", {"0.0": [DET]})
    bare = Run.create(tmp_path / "b", "survey", {}, model={"name": "m"}, corpus={"name": "b"})
    bare.finish()
    assert names_of(first, bare) is None
    with pytest.raises(UsageError, match="no head in common"):
        names_of(first, answered(tmp_path / "c", {"5.0": [DET]}))
