"""The standard study: every control, for the very heads of the programs."""

import pytest

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.replacement import study
from headscribe.replacement.agreement import agreements
from headscribe.replacement.curves import Arm, curves
from headscribe.replacement.measure import collect, measure
from headscribe.replacement.plan import ZERO, Plan
from headscribe.replacement.study import tuned, untuned
from headscribe.replacement.tuning import Schedule
from headscribe.results.run import Run
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
    orders = [(n, "best_first") for n in names] + [(n, "own_best_first") for n in names[1:]]
    assert rows == {(*one, f) for one in orders for f in (0.5, 1.0)} | {
        ("formula", "random", 0.5), ("formula", "random", 1.0)
    }  # fmt: skip


def test_controls_are_tuned_the_same_way(formulas):
    model = tiny("llama")
    texts = passages(model)
    told = []
    schedule = Schedule(steps=2, texts=2)
    found = tuned(model, formulas, texts, schedule, on_progress=lambda *step: told.append(step))
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


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_controls_stand_in_their_own_best_first_order(family, formulas):
    """Best first is by IoU with the head; silence by what silencing each head alone costs."""
    model = tiny(family)
    texts = passages(model)
    found = {one.program: one for one in untuned(model, formulas, texts)}
    assert found["formula"].own_order is None
    for name in ("profile", "fixed", "shuffled", "mean"):
        iou = agreements(model, [found[name].programs], texts)[0]
        assert list(found[name].own_order) == sorted(HEADS, key=lambda head: (-iou[head], head))
    plans = [Plan({head: ZERO}) for head in sorted(HEADS)]
    readings = collect(model, texts, dict(measure(model, plans, texts, positions=4)), 3)
    cost = dict(zip(sorted(HEADS), readings.loss.sum(axis=1), strict=True))
    assert list(found["zero"].own_order) == sorted(HEADS, key=lambda head: cost[head])


def test_what_silencing_costs_is_kept(formulas, tmp_path, monkeypatch):
    """An interrupted run does not silence heads again on texts that it has read."""
    model = tiny("llama")
    texts = passages(model)
    run = Run.create(tmp_path / "run", "replace", {})
    told = []

    def tell(stage, done, of):
        told.append((stage, done, of))

    whole = untuned(model, formulas, texts, stages=run, on_progress=tell)
    passes = len(texts) * (len(HEADS) + 1)
    assert ("silencing heads", passes, passes) in told
    told.clear()
    again = untuned(model, formulas, texts, stages=Run.open(run.folder), on_progress=tell)
    assert [one.own_order for one in again] == [one.own_order for one in whole]
    assert not any(stage == "silencing heads" for stage, *_ in told)
    monkeypatch.setattr(study, "SILENCING_TEXTS", 8)
    monkeypatch.setattr(study, "SILENCING_PASSES", len(HEADS))
    untuned(model, formulas, texts, on_progress=tell)
    assert max(of for stage, _, of in told if stage == "silencing heads") == 2 * (len(HEADS) + 1)


def test_both_orders_of_a_control_are_measured(formulas):
    """At a third of the heads each order has its own head, at all of them both are one plan."""
    model = tiny("llama")
    texts = passages(model)
    order = [HEADS[0], HEADS[1], HEADS[2]]
    own = (HEADS[2], HEADS[1], HEADS[0])
    control = Arm("zero", dict.fromkeys(HEADS, ZERO), own_order=own)
    result = curves(model, [control], order, texts, fractions=(1 / 3, 1.0))
    value = {(r["order"], r["fraction"]): r["value"] for r in result.document()["curve"]}
    plans = [Plan({order[0]: ZERO}), Plan({own[0]: ZERO}), Plan(dict.fromkeys(HEADS, ZERO))]
    alone = collect(model, texts, dict(measure(model, plans, texts)), 3)
    for key, plan in {
        ("best_first", 1 / 3): 0, ("own_best_first", 1 / 3): 1,
        ("best_first", 1.0): 2, ("own_best_first", 1.0): 2,
    }.items():  # fmt: skip
        assert value[key] == pytest.approx(alone.estimate(plan).value)
    assert value["best_first", 1 / 3] != value["own_best_first", 1 / 3]
    wrong = Arm("zero", control.programs, own_order=own[:2])
    with pytest.raises(UsageError, match="zero: expected its own order to have the same heads"):
        curves(model, [wrong], order, texts)
