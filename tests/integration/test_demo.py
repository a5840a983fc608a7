"""The demonstration on one small model and few texts: every run, and a page that shows them."""

import dataclasses
import math

import pytest

from headscribe.api.demo import demo, sample_texts
from headscribe.core.errors import UsageError
from headscribe.replacement import record
from headscribe.results.run import Run


def test_the_demonstration_fits_and_replaces(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "NEW_TOKENS", 4)
    texts = sample_texts()
    few = dataclasses.replace(
        texts,
        texts=tuple(
            dataclasses.replace(one, text=" ".join(one.text.split()[:14]))
            for one in texts.texts[:24]
        ),
    )
    found = demo(tmp_path / "demo", answered=("bundled:stories",), texts=few)
    kinds = [Run.open(run).manifest["kind"] for run in found.runs]
    assert kinds == ["explain", "survey", "fit", "replacement"]
    assert "36 heads of bundled:stories" in found.answers[0]
    assert all(Run.open(run).complete for run in found.runs)
    fitted, replaced = (Run.open(run).manifest for run in found.runs[2:])
    assert fitted["corpus"]["texts"] == 11
    assert replaced["corpus"]["texts"] == 4
    curve = replaced["replacement"]["curve"]
    assert {p["program"] for p in curve} == {
        "formula", "profile", "fixed", "shuffled", "zero", "mean"
    }  # fmt: skip
    assert sorted({p["fraction"] for p in curve}) == [0.1, 0.25, 0.5, 1.0]
    assert all(math.isfinite(p["increase"]) for p in curve)
    page = found.report.read_text(encoding="utf-8")
    assert "stories-fit" in page
    assert "stories-replaced" in page
    with pytest.raises(UsageError, match="not empty"):
        demo(tmp_path / "demo")
    with pytest.raises(UsageError, match="at least 20 texts"):
        demo(tmp_path / "other", texts=texts.limit(3))
