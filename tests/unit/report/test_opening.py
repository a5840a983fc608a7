"""Runs of which only a part is left."""

import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.report.document import document
from headscribe.report.opening import open_to_show
from tests.unit.report.synthetic import PATTERNS, make_run
from tests.unit.report.synthetic_fit import make_fit
from tests.unit.report.synthetic_more import make_discovery, make_hints, make_replacement


def test_a_whole_run_is_opened_as_it_is(run):
    assert open_to_show(run.folder).manifest == run.manifest


@pytest.mark.parametrize("left", [b"", b'{"schema": 1, "kind"', b"[1]", b"\xff\xfe"])
def test_a_survey_without_its_description_shows_its_tables(tmp_path, left):
    made = make_run(tmp_path / "survey")
    (made.folder / "run.json").write_bytes(left)
    [subject] = document([open_to_show(made.folder)])["subjects"]
    assert (subject["layers"], subject["heads"]) == (3, 4)
    assert {one["name"] for one in subject["survey"]["about"]["patterns"]} == set(PATTERNS)
    assert "jsd|raw|all" in subject["survey"]["scores"]["blocks"]
    assert "expected" in subject["runs"][0]["damaged"]


@pytest.mark.parametrize("make", [make_fit, make_replacement, make_discovery, make_hints])
def test_other_runs_without_their_description_open(tmp_path, make):
    made = make(tmp_path / "run")
    (made.folder / "run.json").write_text("{")
    [subject] = document([open_to_show(made.folder)])["subjects"]
    assert subject["runs"][0]["damaged"]


@pytest.mark.parametrize("name", ["scores", "layers", "gate", "containment", "examples"])
def test_every_table_may_be_cut_short(tmp_path, name):
    made = make_run(tmp_path / "cut")
    path = made.folder / f"{name}.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    [subject] = document([open_to_show(made.folder)])["subjects"]
    part = {"gate": "gates"}.get(name, name)
    assert [one["part"] for one in subject["missing"]] == [part]
    assert "damaged" in subject["missing"][0]["why"]


def test_what_holds_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"run\.json"):
        open_to_show(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunError, match="damaged"):
        open_to_show(tmp_path)


def test_a_newer_version_is_named(tmp_path):
    made = make_run(tmp_path / "new", versions={"headscribe": "9.1"})
    made.manifest["schema_version"] = 99
    made.save()
    with pytest.raises(UsageError, match=r"headscribe 9\.1: update to open it"):
        open_to_show(made.folder)
