"""The standard study: every control, for the very heads of the programs."""

import pytest

from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.replacement.curves import curves
from headscribe.replacement.study import tuned, untuned
from headscribe.replacement.tuning import Schedule
from tests.unit.replacement.tiny import passages, tiny

HEADS = [HeadId(0, 1), HeadId(2, 3), HeadId(1, 0)]


@pytest.fixture(scope="module")
def formulas():
    terms = (Term("distance == 0", 1.0), Term("key.id == query.id", 0.5), Term("key.index", -0.1))
    return {head: Formula(str(head), terms) for head in HEADS}


@pytest.mark.parametrize("family", ["mistral", "bert"])
def test_every_control_has_the_programs_heads(family, formulas):
    model = tiny(family)
    texts = passages(model)
    found = untuned(model, formulas, texts[:2], random_orders=1)
    names = ["formula", "profile", "fixed", "shuffled", "zero", "mean"]
    assert [one.program for one in found] == names
    assert all(set(one.programs) == set(HEADS) for one in found)
    result = curves(model, found, HEADS, texts, fractions=(0.5, 1.0), positions=2)
    rows = {(r["program"], r["order"], r["fraction"]) for r in result.document()["curve"]}
    assert rows == {(n, "best_first", f) for n in names for f in (0.5, 1.0)} | {
        ("formula", "random", 0.5), ("formula", "random", 1.0)
    }  # fmt: skip


def test_controls_are_tuned_the_same_way(formulas):
    model = tiny("llama")
    texts = passages(model)
    told = []
    schedule = Schedule(steps=2, texts=2)
    found = tuned(model, formulas, texts, schedule, lambda *step: told.append(step))
    assert [one.program for one in found] == ["formula", "random_terms", "offsets"]
    assert all(one.tuned for one in found)
    assert told == [
        (f"tuning {name}", step, 2)
        for name in ("formula", "random_terms", "offsets")
        for step in (1, 2)
    ]
    for one in found:
        assert all(len(program.terms) == 3 for program in one.programs.values())
    document = curves(model, found, HEADS, texts).document()
    assert [(r["program"], r["tuned"], r["fraction"]) for r in document["curve"]] == [
        (name, True, 1.0) for name in ("formula", "random_terms", "offsets")
    ]
