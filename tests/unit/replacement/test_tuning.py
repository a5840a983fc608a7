"""Tuning: gradients of the rows, the loss that falls, controls that read what they may."""

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.models.tap import tap
from headscribe.replacement.agreement import agreements
from headscribe.replacement.apply import Substituted
from headscribe.replacement.features import FeatureCache, Tunable
from headscribe.replacement.measure import collect, measure
from headscribe.replacement.plan import Plan
from headscribe.replacement.tuning import Schedule, loss_of, offset_terms, random_terms, tune
from headscribe.results import run as run_module
from headscribe.results.run import Run, Unfinished
from tests.unit.replacement.tiny import ITSELF, PREVIOUS, every_head, passages, tiny

TERMS = ("distance == 0", "key.id == query.id", "log1p(abs(distance))", "key.index == 0")
POOL = (*TERMS, "distance == -1", "distance == -2", "key.prev.id == query.id", "abs(distance)")


def _formulas(model, weight=0.3):
    return {
        head: Formula(
            str(head),
            tuple(Term(t, weight * (k + 1) - 0.1 * head.head) for k, t in enumerate(TERMS)),
        )
        for head in every_head(model)
        if head != HeadId(1, 1)
    }


@pytest.mark.parametrize("family", ["mistral", "bert"])
def test_tunable_rows_are_those_of_the_formulas(family):
    model = tiny(family)
    texts = passages(model)
    formulas = _formulas(model)
    tunable = Tunable({head: f.terms for head, f in formulas.items()}, model, texts)
    assert tunable.heads(1) == (0, 2, 3)
    lengths = torch.tensor([len(text) for text in texts])
    with tap(model, None, tunable, batch=tuple(texts), lengths=lengths), torch.no_grad():
        soft = model.hf(**model.inputs(texts)).logits
    hard = model.logits(texts, Substituted(Plan(formulas), model))
    for text, passage in enumerate(texts):
        assert torch.allclose(soft[text, : len(passage)], hard[text, : len(passage)], atol=1e-4)
    for head, terms in tunable.terms().items():
        for ours, theirs in zip(terms, formulas[head].terms, strict=True):
            assert ours.weight == pytest.approx(theirs.weight, rel=1e-5)


def test_features_keep_within_their_budget():
    model = tiny("llama")
    texts = passages(model)
    relations = {t.relation: t.parsed for t in _formulas(model)[HeadId(0, 0)].terms}
    cache = FeatureCache(budget=1)
    first = cache.columns(relations, texts[0], model.visibility(0))
    assert cache.columns(relations, texts[0], model.visibility(0)) is first
    cache.columns(relations, texts[1], model.visibility(0))
    again = cache.columns(relations, texts[0], model.visibility(0))
    assert again is not first
    assert all(torch.equal(again[k].cell, first[k].cell) for k in first)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_tuning_lowers_the_loss_and_changes_weights_alone(family):
    model = tiny(family)
    texts = passages(model)
    formulas = _formulas(model)
    before = {name: weight.clone() for name, weight in model.hf.named_parameters()}
    told = []
    schedule = Schedule(steps=30, texts=3, rate=0.1)
    tuned = tune(model, formulas, texts, schedule, lambda *step: told.append(step))
    assert told == [("tuning", step, 30) for step in range(1, 31)]
    assert all(torch.equal(before[n], w) for n, w in model.hf.named_parameters())
    assert all(weight.grad is None for weight in model.hf.parameters())
    for head, formula in tuned.items():
        assert [t.relation for t in formula.terms] == [t.relation for t in formulas[head].terms]
    plans = [Plan(formulas), Plan(tuned)]
    found = collect(model, texts, dict(measure(model, plans, texts)), 2)
    assert found.loss[1].sum() < found.loss[0].sum()
    again = tune(model, formulas, texts, schedule)
    assert [str(f) for f in again.values()] == [str(f) for f in tuned.values()]


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_an_interrupted_tuning_ends_as_if_nothing_had_been(family, tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "KEEP_EVERY", 0.0)
    monkeypatch.setattr(run_module, "KEEP_SHARE", 1e9)
    model = tiny(family)
    texts = passages(model)
    formulas = _formulas(model)
    schedule = Schedule(steps=12, texts=2, rate=0.1, seed=3)
    whole = tune(model, formulas, texts, schedule)
    run = Run.create(tmp_path / "run", "replacement", {})
    steps = []

    def stopped(stage, step, total):
        steps.append(step)
        if len(steps) == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(model, formulas, texts, schedule, stopped, Unfinished(run, "tuned"))
    again = tune(model, formulas, texts, schedule, stopped, Unfinished(run, "tuned"))
    assert steps == [*range(1, 8), *range(7, 13)], "the step that was interrupted is done anew"
    assert again == whole


def test_the_loss_mixes_divergence_and_tokens():
    """Against the measurement's own sums over the altered and the untouched model."""
    model = tiny("llama")
    texts = passages(model)
    formulas = _formulas(model)
    found = collect(model, texts, dict(measure(model, [Plan(formulas)], texts)), 1)
    tokens = found.tokens.sum()
    loss, apart = found.loss[0].sum() / tokens, found.shift[0].sum() / tokens
    assert apart > 1e-3
    for share in (0.0, 0.3, 1.0):
        tunable = Tunable({head: one.terms for head, one in formulas.items()}, model, texts)
        reached = loss_of(model, texts, tunable, np.random.default_rng(0), share)
        assert float(reached.detach()) == pytest.approx(
            share * apart + (1 - share) * loss, rel=1e-4
        )


def test_the_rate_rises_and_falls_to_nothing():
    rates = [Schedule(steps=200, rate=0.1).rate_at(step) for step in range(200)]
    assert rates[0] == pytest.approx(0.01)
    assert rates.index(max(rates)) == 9
    assert rates[100] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-4
    assert Schedule(steps=1, rate=0.1).rate_at(0) == pytest.approx(0.1)


def test_the_gradient_is_that_of_finite_differences():
    model = tiny("llama")
    texts = passages(model)
    tunable = Tunable({h: f.terms for h, f in _formulas(model).items()}, model, texts)
    lengths = torch.tensor([len(text) for text in texts])

    def loss():
        with tap(model, None, tunable, batch=tuple(texts), lengths=lengths):
            return model.hf(**model.inputs(texts)).logits[0, 3, 7]

    (slope,) = torch.autograd.grad(loss(), tunable.weights)
    step = 3e-3
    for k in np.argsort(slope.abs().numpy())[-3:].tolist():
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                tunable.weights[k] += sign * step
                values.append(float(loss()))
                tunable.weights[k] -= sign * step
        assert float(slope[k]) == pytest.approx((values[0] - values[1]) / (2 * step), rel=0.1)


def test_controls_have_as_many_terms():
    model = tiny("llama")
    formulas = _formulas(model)
    chance = random_terms(formulas, POOL, seed=1)
    assert chance.keys() == formulas.keys()
    assert all(len(f.terms) == 4 and not f.looks_ahead for f in chance.values())
    assert len({tuple(t.relation for t in f.terms) for f in chance.values()}) > 1
    assert all(t.weight == 0 for f in chance.values() for t in f.terms)
    with pytest.raises(UsageError, match="a pool of at least 4 relations, got 2"):
        random_terms(formulas, POOL[:2])
    offsets = offset_terms(model, formulas)
    assert [t.relation for t in offsets[HeadId(0, 0)].terms] == [
        "key.index == 0",
        "log1p(abs(distance))",
        "distance == 0",
        "distance == -1",
    ]
    assert not any(f.looks_ahead for f in offsets.values())
    both = offset_terms(tiny("bert"), {HeadId(0, 0): Formula("f", tuple(Term(t, 0) for t in POOL))})
    assert both[HeadId(0, 0)].terms[4].relation == "distance == 1"


def test_agreement_by_hand():
    model = tiny("llama")
    texts = passages(model)
    seen = []

    class Recorded:
        def observe(self, call):
            if call.layer == 2:
                seen.append(call.probabilities()[0, 1].double().numpy())

    for text in texts:
        model.run([text], Recorded())
    found = agreements(model, [{HeadId(2, 1): ITSELF, HeadId(0, 0): PREVIOUS}], texts)[0]
    expected = []
    for real in seen:
        shared = sum(min(real[i, i], 1.0) for i in range(len(real)))
        expected.append(shared / (2 * len(real) - shared))
    assert found[HeadId(2, 1)] == pytest.approx(np.mean(expected), abs=1e-6)
    assert 0 <= found[HeadId(0, 0)] < 1
    with pytest.raises(UsageError, match="at least one text"):
        agreements(model, [{}], [])
