"""The page on the heads of SmolLM2 is written from runs; here from those of a smaller model."""

import sys
from pathlib import Path

import pytest

import headscribe as hs
from benchmarks import smollm2_heads


def test_the_page_says_what_the_runs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = hs.corpus("bundled:samples", 24)
    found = hs.explain("bundled:stories", texts, max_tokens=16, out=tmp_path / "answer")
    replaced = hs.replace(
        "bundled:stories", {"1.2": "previous_token", "1.1": "self"}, texts.limit(4), texts.limit(2),
        fractions="0.5,1", random_orders=0, alone=(), max_tokens=12, annotator="plain",
        out=tmp_path / "replaced",
    )  # fmt: skip
    page = tmp_path / "page.md"
    arguments = ["--answer", found.folder, "--replaced", replaced.folder, "--heads", "1.2"]
    monkeypatch.setattr(sys, "argv", ["", *map(str, arguments), "--out", str(page)])
    smollm2_heads.main()
    said = page.read_text(encoding="utf-8")
    assert found.summary in said
    assert "L1H2  the previous token" in said
    assert replaced.findings[0] in said
    (point,) = (
        one for one in replaced.curve
        if (one["program"], one["order"], one["fraction"]) == ("zero", "own_best_first", 0.5)
    )  # fmt: skip
    row = next(line for line in said.splitlines() if line.startswith("| zero, in its own order"))
    assert row.split("|")[2].startswith(f" {100 * point['increase']:+.1f} % ")
