"""Measured on the fit's own texts, or on another model: said above every figure."""

import dataclasses
import json

import pytest

import headscribe as hs
from headscribe.api.replace import replace
from headscribe.results.run import Run
from headscribe.text.corpora import from_strings
from headscribe.text.hashes import text_hash
from tests.integration.families import build
from tests.unit.replacement.tiny import tiny, tokenizer

FIT = [f"w{5 + k % 30} w{6 + k % 17} w{5 + k % 30} w{9 + k % 7} ." for k in range(25)]
NEW = [f"w{40 + k % 9} w{20 + k % 7} w{40 + k % 9} w{8 + k % 5}" for k in range(6)]
CONTROLS = ["w50 w51 w50 w52", "w33 w34 w35 w33"]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    out = tmp_path_factory.mktemp("overlap") / "fit"
    hs.fit(tiny("llama"), from_strings(FIT), terms=1, annotator="plain", out=out)
    return out


def measured(programs, texts, tmp_path, model=None, fit_texts=CONTROLS, **options):
    return replace(
        model or tiny("llama"), programs, from_strings(texts), from_strings(fit_texts),
        fractions=(1.0,), random_orders=0, alone=(), annotator="plain", out=tmp_path / "run",
        **options,
    )  # fmt: skip


def notes(found):
    return [line for line in found.findings if line.startswith("NOTE: ")]


def about(found, word):
    return [line for line in notes(found) if word in line]


def test_a_fit_lists_its_texts(fitted):
    table = Run.open(fitted).table("texts")
    assert table.column("hash").to_pylist() == [text_hash(text) for text in FIT]


@pytest.mark.parametrize(
    "texts,shared",
    [
        (NEW, 0),
        (FIT[:4], 4),
        ([*NEW, FIT[3]], 1),
        ([f"  {FIT[7]}\n", *NEW], 1),
        ([FIT[2].upper().replace(" ", "  "), *NEW], 1),
    ],
    ids=["none", "all", "one", "spaces", "case"],
)
@pytest.mark.parametrize("given", ["folder", "file"])
def test_texts_of_the_fit_are_known_again(fitted, tmp_path, texts, shared, given):
    programs = fitted if given == "folder" else fitted / "formulas.txt"
    found = measured(programs, texts, tmp_path)
    lines = about(found, "programs were fitted on")
    if not shared:
        assert lines == []
    else:
        (line,) = lines
        assert line.startswith(f"NOTE: {shared} of the {len(texts)} texts measured on are among")
        assert found.findings[0] == line, "above every figure"
    assert Run.open(tmp_path / "run").manifest["findings"]["lines"] == found.findings


def test_texts_of_the_controls_are_known_again(fitted, tmp_path):
    found = measured(fitted, [*NEW, CONTROLS[0]], tmp_path)
    (line,) = about(found, "--fit-text")
    assert line.startswith("NOTE: 1 of the 7 texts measured on are among the --fit-text")
    assert not about(measured(fitted, NEW, tmp_path / "2"), "--fit-text")


def test_formulas_of_another_model(fitted, tmp_path):
    other = hs.load((build("mistral"), tokenizer(False)))
    assert other.fingerprint != tiny("llama").fingerprint
    found = measured(fitted, NEW, tmp_path, model=other)
    (line,) = about(found, "another model")
    assert line == found.findings[0]
    assert tiny("llama").fingerprint in line
    assert other.fingerprint in line
    assert not about(measured(fitted, NEW, tmp_path / "own"), "another model")


def test_a_run_that_does_not_list_its_texts_says_so(fitted, tmp_path):
    """As fits of the last version were written."""
    import shutil

    old = tmp_path / "old"
    shutil.copytree(fitted, old)
    (old / "texts.parquet").unlink()
    manifest = json.loads((old / "run.json").read_text())
    manifest["tables"].remove("texts")
    (old / "run.json").write_text(json.dumps(manifest))
    (line,) = about(measured(old, NEW, tmp_path), "does not say which texts")
    assert str(old) in line


def test_programs_by_hand_have_no_fit(tmp_path):
    found = measured({"0.1": "previous"}, NEW, tmp_path)
    assert all("fitted on" not in line for line in notes(found))
    assert dataclasses.is_dataclass(found)
