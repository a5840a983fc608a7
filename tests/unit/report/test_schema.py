"""What the page gets: tables whose rows fit their columns, facts, or nothing."""

import pyarrow as pa
import pytest

from headscribe.core.errors import RunError
from headscribe.report.document import document
from headscribe.report.schema import check, of_table, rows
from headscribe.results.kinds import Kind, kinds
from headscribe.results.run import Run


@pytest.fixture
def made(tmp_path) -> Run:
    run = Run.create(tmp_path / "run", "survey", {})
    run.write_table("numbered", pa.table({
        "layer": [7, 0], "head": [10, 1], "by_layer": [1, 2], "by_head": [0, 3], "loss": [0.1, 0.2],
    }))  # fmt: skip
    run.write_table("named", pa.table({"layer": [7], "head": ["7.10"]}))
    return run


def test_heads_by_number_and_by_name_look_the_same(made: Run):
    assert of_table("numbered", ("loss", "head", "by_head"))(made) == {
        "columns": ["loss", "head", "by_head"],
        "rows": [[0.1, "7.10", "1.0"], [0.2, "0.1", "2.3"]],
    }
    assert of_table("named", ("head",))(made) == {"columns": ["head"], "rows": [["7.10"]]}


def test_what_a_run_lacks_is_named_or_nothing(made: Run):
    assert of_table("causal", ("head",), optional=True)(made) is None
    with pytest.raises(RunError, match="gain, p"):
        rows(made, "numbered", ("head", "gain", "p"))


@pytest.mark.parametrize(
    "part, where",
    [
        ({"columns": ["a", "b"], "rows": [[1, 2], [3]]}, "part: expected 2 cells"),
        ({"deep": [{"columns": [1], "rows": []}]}, r"part.deep\[0\]"),
        ({"facts": {1, 2}}, "part.facts: expected a table or facts, got set"),
        (object(), "got object"),
    ],
)
def test_parts_that_no_script_could_read_are_refused(part, where):
    with pytest.raises(RunError, match=where):
        check(part, "part")


def test_tables_facts_and_nothing_pass():
    check(None)
    check({"columns": ["a"], "rows": [[[1, "x", None]]]})
    check({"of": {"head": [{"gain": 0.1}], "text": "x"}, "flag": True})


def odd(run: Run) -> object:
    return object()


PARTS = {"odd": odd, "table": of_table("numbered", ("head",))}


def test_a_part_of_another_package_that_gives_something_else_is_left_out(made: Run, monkeypatch):
    kind = Kind("other", "", "numbered", "others", (f"{__name__}:PARTS",))
    monkeypatch.setattr("headscribe.report.document.kinds", lambda: kinds() | {"other": kind})
    made.manifest["kind"] = "other"
    made.manifest["model"] = {"name": "m", "layers": 8, "heads": 12}
    subject = document([made])["subjects"][0]
    assert subject["others"][0]["table"]["rows"] == [["7.10"], ["0.1"]]
    assert [one["part"] for one in subject["missing"]] == ["odd"]
