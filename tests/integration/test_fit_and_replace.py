"""`fit` and `replace` from the command line: stable shapes, resumption, what the numbers say."""

import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import headscribe as hs
from headscribe.cli import fit as fit_page
from headscribe.core.heads import HeadId
from headscribe.fitting.stored import stored_formulas
from headscribe.results.examples import read_examples
from headscribe.results.run import Run
from tests.commands import Command, headscribe, wrong


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, stories: Path, story_lines: list[str]) -> Path:
    """A small fit of the bundled story model, and texts that it has not seen."""
    here = tmp_path_factory.mktemp("fit")
    (here / "train.jsonl").write_text("".join(story_lines[:30]))
    (here / "test.jsonl").write_text("".join(story_lines[30:]))
    (here / "model").symlink_to(stories)
    done = headscribe(
        "fit", "model", "--text", "train.jsonl", "--max-tokens", 24, "--annotator", "plain",
        "--terms", 2, "--out", "atlas", "--json", cwd=here,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (here / "fit.json").write_text(done.stdout)
    return here


def test_the_document_of_a_fit(folder: Path) -> None:
    document = json.loads((folder / "fit.json").read_text())
    assert sorted(document) == ["by_head", "folds", "heads", "scored", "terms", "test"]
    assert (document["terms"], document["heads"], document["folds"]) == (2, 36, 5)
    assert sorted(document["test"]) == ["gain", "iou", "jsd"]
    assert {"mean", "median", "low", "high"} <= set(document["test"]["iou"])
    assert document["test"]["gain"]["mean"] > 0, "formulas beat the profile on unseen texts"
    said = fit_page.finding(hs.open(folder / "atlas"))
    assert said.startswith(
        f"On unseen texts formulas share {document['test']['iou']['mean']:.1%} of"
    )
    better = sum(one["gain"] > 0 for one in document["by_head"])
    assert 0 < int(said.split(" of 36 formulas")[0].rsplit(" ", 1)[1]) <= better
    first = document["by_head"][0]
    assert sorted(first) == ["formula", "gain", "head", "in_words", "iou", "jsd", "labels"]
    assert all(len(one["formula"]["terms"]) <= 2 for one in document["by_head"])
    assert not (folder / "atlas" / "stages").exists()


def test_the_tables_of_a_fit(folder: Path) -> None:
    done = headscribe("decompose", "atlas", "2.0", "--json", cwd=folder)
    document = json.loads(done.stdout)
    assert document["head"] == "2.0"
    weights = [part["weight"] for part in document["parts"]]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1)
    assert sorted(document["parts"][0]) == ["gain", "high", "low", "pattern", "weight"]
    assert "L2H0" in headscribe("decompose", "atlas", "2.0", cwd=folder).stdout
    graph = json.loads(headscribe("decompose", "atlas", "--json", cwd=folder).stdout)
    assert len({edge["head"] for edge in graph}) == 36
    tables = json.loads((folder / "atlas" / "run.json").read_text())["tables"]
    assert set(tables) == {
        "formulas", "layers", "mixtures", "labels", "similarity", "dendrogram", "covers",
        "profiles", "examples", "texts",
    }  # fmt: skip


def test_the_examples_of_a_fit(folder: Path) -> None:
    """Rows sum to 1, nothing is predicted for later keys, and formulas are near their heads."""
    texts = read_examples(Run.open(folder / "atlas"))
    assert len(texts) == 4
    for example in texts.values():
        assert len(example.heads) == len(example.formulas) == 36
        overlap = []
        for head, real in example.heads.items():
            a, p = real.matrix(), example.formulas[head].matrix()
            np.testing.assert_allclose(p.sum(axis=1), 1, atol=1e-3)
            assert not np.triu(p, 1).any()
            overlap.append(np.minimum(a, p).sum() / len(a))
        assert np.mean(overlap) > 0.4


def test_a_killed_fit_ends_with_the_same_bytes(folder: Path) -> None:
    """Same seed and threads, same tables; a fit that was killed and resumed as well."""
    arguments = [
        "fit", "model", "--text", "train.jsonl", "--max-tokens", 24, "--annotator", "plain",
        "--terms", 1, "--limit", 12,
    ]  # fmt: skip
    whole = headscribe(*arguments, "--out", "whole", cwd=folder)
    assert "two halves of the texts agree" in whole.stdout
    assert "kinds of head" in whole.stdout
    stages = folder / "killed" / "stages"
    running = Command(*arguments, "--out", "killed", cwd=folder)
    while running.running() and not (stages / "fold0-of-5.json").exists():
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait().returncode == -signal.SIGKILL
    assert stages.exists(), "killed before its end"
    assert "unfinished" in wrong(folder, "decompose", "killed", "2.0")
    resumed = headscribe(*arguments, "--out", "killed", "--resume", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    for table in sorted((folder / "whole").glob("*.parquet")):
        assert table.read_bytes() == (folder / "killed" / table.name).read_bytes(), table.name


def test_the_document_of_a_replacement(folder: Path) -> None:
    arguments = [
        "replace", "model", "--programs", "atlas", "--text", "test.jsonl", "--fit-text",
        "train.jsonl", "--max-tokens", 24, "--annotator", "plain", "--fractions", "0.25,1",
        "--random-orders", 0, "--alone", "", "--out", "replaced",
    ]  # fmt: skip
    done = headscribe(*arguments, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert sorted(document) == ["curve", "metric", "unaltered"]
    assert document["metric"] == "perplexity"
    point = document["curve"][0]
    assert sorted(point) == sorted(
        ["program", "order", "tuned", "fraction", "heads", "value", "increase", "low", "high"]
    )
    at = {
        (p["program"], p["fraction"]): p["increase"]
        for p in document["curve"]
        if p["order"] == "best_first"
    }
    assert {program for program, _ in at} == {
        "formula", "profile", "fixed", "shuffled", "zero", "mean"
    }  # fmt: skip
    for fraction in (0.25, 1.0):
        assert at["formula", fraction] < at["fixed", fraction] < at["zero", fraction]
    again = headscribe(*arguments, "--resume", "--json", cwd=folder)
    assert json.loads(again.stdout) == document


def test_the_altered_model_talks(folder: Path) -> None:
    done = headscribe(
        "replace", "model", "--programs", "atlas", "--generate", "Once upon a time", "--json",
        cwd=folder,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert all(text.startswith("Once upon a time") for text in found.values())
    assert found["unaltered"] != found["replaced"]


def test_a_formula_is_edited_and_used_wherever_a_pattern_can(folder: Path) -> None:
    """`formulas.txt` of a run: best head first; edited it is scored again, and replaces heads."""
    written = (folder / "atlas" / "formulas.txt").read_text()
    stored = stored_formulas(folder / "atlas")
    assert list(stored) == list(stored_formulas(folder / "atlas" / "formulas.txt"))
    head, formula = next(iter(stored.items()))
    assert written.startswith(head.prose)
    (folder / "edited.txt").write_text(f"mine\n   +9.0  key.is_bos\n\n{formula}\n")
    assert "mine: ok" in headscribe("patterns", "check", "edited.txt", cwd=folder).stdout
    done = headscribe(
        "survey", "model", "--text", "test.jsonl", "--max-tokens", 32, "--annotator", "plain",
        "--patterns", "next", "--pattern-file", "edited.txt", "--out", "again", "--json",
        cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    best = {row["pattern"]: row["head"] for row in reversed(json.loads(done.stdout)["top"])}
    assert {"mine", head.prose} <= set(best)
    described = str(stored[HeadId.of(best[head.prose])])  # its own head, or one that does the same
    assert all(term.relation in described for term in formula.terms)
    told = headscribe(
        "replace", "model", "--programs", "atlas/formulas.txt", "--generate", "Once", "--json",
        cwd=folder,
    )  # fmt: skip
    assert json.loads(told.stdout)["replaced"].startswith("Once")


def test_wrong_use(folder: Path) -> None:
    assert "run.json" in wrong(folder, "replace", "model", "--programs", "nowhere",
                               "--text", "test.jsonl", "--fit-text", "train.jsonl")  # fmt: skip
    assert "--fit-text" in wrong(
        folder, "replace", "model", "--programs", "atlas", "--text", "test.jsonl"
    )
    assert "numbers between commas" in wrong(
        folder, "replace", "model", "--programs", "atlas", "--fractions", "half"
    )
    assert "no head 9.0 in" in wrong(folder, "decompose", "atlas", "9.0")
    assert "not empty" in wrong(
        folder, "fit", "model", "--text", "train.jsonl", "--annotator", "plain", "--out", "atlas"
    )
