"""The page: whole, safe, and made from what runs have. A browser tests what it looks like."""

import base64
import json
import re
import subprocess
import sys
import unicodedata
import zlib

import numpy as np
import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.report import packing
from headscribe.report.document import document
from headscribe.report.page import asset, colors, page, policy, write_page
from headscribe.report.parts import examples, survey
from headscribe.results.queries import scores
from headscribe.results.run import Run
from tests.unit.report.synthetic import HOSTILE, make_run
from tests.unit.report.synthetic_fit import make_fit

_DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


def read(content: str) -> dict:
    """The document of a page, as a browser would read it."""
    found = _DATA.findall(content)
    assert len(found) == 1
    return json.loads(found[0])


def unpack(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), kind)


@pytest.fixture(scope="module")
def fit(tmp_path_factory) -> Run:
    return make_fit(tmp_path_factory.mktemp("fit") / "fit")


def test_a_survey_and_a_fit_of_one_model_are_one_subject(run: Run, fit: Run):
    subjects = read(page([run, fit]))["subjects"]
    assert [one["name"] for one in subjects] == ["bundled:stories"]
    assert subjects[0]["missing"] == []
    assert [one["kind"] for one in subjects[0]["runs"]] == ["survey", "fit"]
    assert set(subjects[0]["fit"]["formulas"]) == {f"{n}.{h}" for n in range(3) for h in range(4)}


def test_a_second_survey_is_a_subject_of_its_own(run: Run, tmp_path):
    other = make_run(tmp_path / "other", name="another", seed=1)
    assert len(document([run, run])["subjects"]) == 2
    assert [one["name"] for one in document([run, other])["subjects"]] == [
        "bundled:stories", "another",
    ]  # fmt: skip


def test_packed_scores_are_those_of_the_run(run: Run):
    subject = document([run])["subjects"][0]
    block = subject["survey"]["scores"]["blocks"]["jsd|raw|all"]
    names = [pattern["name"] for pattern in subject["survey"]["about"]["patterns"]]
    packed = {name: unpack(block[name], "<i2").reshape(len(names), 3, 4) for name in
              ("score", "gain", "gain_low", "coverage")}  # fmt: skip
    found = scores(run)
    assert len(found) == len(names) * 12
    assert any(score.margin.gain != score.gain for score in found)
    for score in found:
        at = names.index(score.pattern), score.head_id.layer, score.head_id.head
        expected = {
            "score": score.score, "gain": score.margin.gain, "gain_low": score.margin.low,
            "coverage": score.coverage,
        }  # fmt: skip
        for name, value in expected.items():
            if value is None:
                assert packed[name][at] == packing.MISSING
            else:
                assert packed[name][at] / packing.GRID == pytest.approx(value, abs=6.2e-5)


def test_a_large_model_shows_less_of_each_head(run: Run, monkeypatch):
    monkeypatch.setattr(survey, "LARGE", 11)
    found = document([run])["subjects"][0]["survey"]
    assert [one["name"] for one in found["about"]["metrics"]] == ["jsd", "iou"]
    assert set(found["scores"]["blocks"]) == {
        f"{metric}|{view}|all" for metric in ("jsd", "iou") for view in ("raw", "content")
    }


def test_numbers_off_the_grid_are_marked_not_wrapped():
    values = np.array([np.nan, np.inf, 100.0, -100.0, 0.0, -3.5])
    found = unpack(packing.numbers(values), "<i2") / packing.GRID
    assert found.tolist() == pytest.approx([-4.0, -4.0, 3.99, -3.99, 0.0, -3.5], abs=1e-4)


def test_packed_attention_is_that_of_the_examples(run: Run):
    from headscribe.results.examples import read_examples

    text = document([run])["subjects"][0]["survey"]["examples"]["texts"][0]
    example = read_examples(run)[text["id"]]
    known = {f"head:{name}": row for name, row in example.heads.items()}
    known |= {f"pattern:{name}": row for name, row in example.patterns.items()}
    for pack in text["packs"]:
        cells = unpack(pack["data"], "u1").reshape(-1, 15, 15)
        for name, matrix in zip(pack["matrices"], cells, strict=True):
            real = known.pop(name).matrix()
            assert np.sqrt(real) * text["levels"] == pytest.approx(matrix, abs=0.501)
    assert known == {}


def test_a_long_text_is_packed_whole(tmp_path):
    rng = np.random.default_rng(0)
    words = [f"w{n}" for n in rng.integers(0, 99, 130)]
    made = make_run(tmp_path / "long", layers=2, heads=12, texts={"long": words})
    [text] = document([made])["subjects"][0]["survey"]["examples"]["texts"]
    assert text["levels"] == 15 != packing.levels(15)
    packs = [unpack(pack["data"], "u1") for pack in text["packs"]]
    assert len(text["packs"][0]["data"]) > packing.MAX_TEXT // 2
    assert [len(cells) for cells in packs] == [24 * 130**2, 15 * 130**2]


def test_matrices_of_a_text_that_a_fit_and_a_survey_share_are_kept_once(run: Run, fit: Run):
    subject = document([run, fit])["subjects"][0]
    alone = document([fit])["subjects"][0]["fit"]["examples"]["texts"][0]
    shared = subject["fit"]["examples"]["texts"][0]
    assert len(alone["packs"]) == 2
    assert [pack["matrices"][0] for pack in shared["packs"]] == ["formula:0.0"]


def test_text_beyond_the_budget_is_left_out_and_named(run: Run, monkeypatch):
    monkeypatch.setattr(examples, "BUDGET", 10)
    assert len(document([run])["subjects"][0]["survey"]["examples"]["texts"]) == 1
    monkeypatch.setattr(examples, "ALONE", 10)
    found = document([run])["subjects"][0]["survey"]["examples"]
    assert found == {"texts": [], "omitted": ["stories:1"]}


def test_a_hostile_run_ends_no_element_and_hides_nothing(tmp_path):
    names = {name: "lexical" for name in HOSTILE if name.isprintable() and name.strip()}
    made = make_run(
        tmp_path / "hostile",
        texts={"<script>id</script>\x1b": HOSTILE},
        name='</script><img src=x onerror=alert(1)>\u202e',
        patterns=names,
        skipped={"<b>": '<i onclick="x">\x07'},
        notes=["</style><script>1</script>"],
    )  # fmt: skip
    content = page([made])
    assert content.count("<script") == content.count("</script") == 2
    assert content.count("<style") == content.count("</style") == 1
    assert "onerror=alert" not in content.replace("onerror=alert(1)\\u003e", "").replace(
        "onerror=alert(1)&gt;", ""
    )
    bad = {c for c in content if unicodedata.category(c)[0] == "C"} - {"\n"}
    assert bad == set()
    words = json.dumps(read(content), ensure_ascii=False)
    assert "<script>alert(1)</script>" in words
    assert not any(unicodedata.category(c)[0] == "C" for c in words)


def test_the_policy_admits_this_style_and_script_alone(run: Run):
    content = page([run])
    style = f"{colors()}\n{asset('report.css')}"
    expected = policy(style, asset("report.js"))
    assert "'unsafe-inline'" not in expected
    assert expected.replace("'", "&#x27;") in content
    assert f"<style>{style}</style>" in content
    assert f"<script>{asset('report.js')}</script>" in content
    assert "http://" not in re.sub(r"http://www\.w3\.org/[0-9a-z/]+", "", content)


def test_the_bundle_carries_the_licences_of_what_it_holds():
    banner = asset("report.js").split("*/")[0]
    for part in ("d3-array", "d3-scale", "d3-shape", "Permission to use, copy, modify"):
        assert part in banner


def test_what_is_missing_or_damaged_is_named(tmp_path):
    made = make_run(tmp_path / "broken")
    made.manifest["complete"] = False
    made.manifest["tables"].remove("gate")
    (made.folder / "layers.parquet").write_bytes(b"no table")
    subject = document([made])["subjects"][0]
    assert {one["part"] for one in subject["missing"]} == {"gates", "layers"}
    assert "damaged" in " ".join(one["why"] for one in subject["missing"])
    assert not subject["runs"][0]["complete"]
    assert subject["survey"]["scores"]["blocks"]


def test_a_table_of_another_version_says_which_one_opens_it(tmp_path):
    made = make_run(tmp_path / "old", versions={"headscribe": "0.0.7"})
    made.write_table("gate", made.table("gate").drop_columns(["on_rows"]))
    [lack] = document([made])["subjects"][0]["missing"]
    assert lack["part"] == "gates"
    assert "on_rows, which headscribe 0.0.7 did not write" in lack["why"]


def test_a_manifest_of_odd_values_opens(tmp_path):
    made = make_run(tmp_path / "odd")
    made.manifest |= {"patterns": [{"name": 3}, "x"], "corpus": None, "versions": [], "config": 7}
    subject = document([made])["subjects"][0]
    assert subject["name"] == "bundled:stories"
    assert "scores" in {one["part"] for one in subject["missing"]}


def test_a_model_of_impossible_size_is_refused(tmp_path):
    made = make_run(tmp_path / "huge")
    made.manifest["model"] |= {"layers": 10**9}
    with pytest.raises(RunError, match="layers"):
        document([made])


def test_nothing_to_write_is_refused(tmp_path):
    with pytest.raises(UsageError, match="at least one run"):
        write_page([], tmp_path / "page.html")


def test_a_page_is_written_whole_or_not_at_all(run: Run, tmp_path):
    target = tmp_path / "page.html"
    write_page([run], target)
    assert target.stat().st_size < 5e5
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(RunError, match="cannot write"):
        write_page([run], tmp_path / "nowhere" / "page.html")


def test_a_report_needs_no_model_library():
    code = (
        "import sys, headscribe.report.page, headscribe.report.terminal; "
        "print([m for m in ('torch', 'transformers', 'spacy', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
