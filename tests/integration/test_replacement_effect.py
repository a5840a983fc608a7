"""`replace` with formulas that are fitted on the spot to do what the heads do."""

from pathlib import Path

import pytest

from headscribe.api.replace import FORMULAS, replace, talk
from headscribe.core.errors import UsageError
from headscribe.fitting.formula import Formula
from headscribe.fitting.stored import stored_formulas
from headscribe.replacement import standins
from headscribe.replacement.agreement import agreements
from headscribe.replacement.standins import effect_formulas
from headscribe.results.run import Run
from headscribe.text.corpora import from_strings
from headscribe.text.splits import bucket_of, split_of
from tests.unit.replacement.tiny import STORIES, passages, tiny

FIT = [f"{story} {extra}" for extra in ("w3 w4", "w9 w3 w9", "w7") for story in STORIES]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standins, "CANDIDATES", 5)


def test_formulas_stand_in_the_run_and_are_read_again(tmp_path: Path) -> None:
    model, seen = tiny("llama"), []
    options = {
        "programs": "effect", "texts": from_strings(["w5 w9 w5 w12 w9", "w8 w7 w6 w8"]),
        "fit_texts": from_strings(FIT), "fractions": (0.5, 1.0), "random_orders": 0, "alone": (),
        "annotator": "plain", "out": tmp_path / "run",
    }  # fmt: skip

    def report(task: str, done: int, total: int) -> None:
        seen.append(task)
        if task == "replacing" and seen.count(task) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(model, **options, on_progress=report)
    assert {"candidate terms", "fitting to the effect"} <= set(seen)
    held = stored_formulas(tmp_path / "run" / FORMULAS)
    assert len(held) == model.layers * model.heads
    for formula in held.values():
        assert len(formula.terms) <= 12
        assert formula.atoms <= 36
        assert not formula.looks_ahead
    done = replace(
        model, **options, resume=True, on_progress=lambda task, *_: seen.append(f"2 {task}")
    )
    assert "2 candidate terms" not in seen, "they were not fitted again"
    assert stored_formulas(tmp_path / "run" / FORMULAS) == held
    assert Run.open(tmp_path / "run").complete
    assert {row["program"] for row in done.document["curve"]} >= {"formula", "profile", "zero"}
    with pytest.raises(UsageError, match=r"replace with them first, then give RUN/formulas.txt"):
        talk(model, "effect", "w5")
    before, _ = talk(model, tmp_path / "run" / FORMULAS, "w5 w9", max_new_tokens=3)
    assert before.startswith("w5 w9")


def test_best_explained_first_and_better_than_uniform() -> None:
    model = tiny("llama")
    texts = passages(model, FIT)
    found = effect_formulas(model, texts, terms=3)
    ordering = [p for p in texts if split_of(bucket_of(p.group, 0)) == "select"]
    iou = agreements(model, [found], ordering)[0]
    assert [iou[head] for head in found] == sorted(iou.values(), reverse=True)
    uniform = agreements(model, [{head: Formula("uniform", ()) for head in found}], ordering)[0]
    assert sum(iou.values()) > sum(uniform.values())
    assert max(len(formula.terms) for formula in found.values()) == 3


def test_texts_of_one_split_are_too_few() -> None:
    model = tiny("llama")
    with pytest.raises(UsageError, match=r"expected fit texts of several groups, got 1"):
        effect_formulas(model, passages(model, FIT[:1]))
