"""Terms chosen in the altered model: gradients by text, costs of dropping, what stays."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.models.tap import tap
from headscribe.replacement.features import FeatureCache, Tunable
from headscribe.replacement.measure import collect, measure
from headscribe.replacement.plan import Plan
from headscribe.replacement.tuning import Schedule, descend, tune
from tests.unit.replacement.tiny import every_head, passages, tiny

_SPEC = spec_from_file_location(
    "narrowing", Path(__file__).parents[3] / "benchmarks" / "narrowing.py"
)
narrowing = module_from_spec(_SPEC)
_SPEC.loader.exec_module(narrowing)

MANY = (
    *("distance == 0", "distance == -1", "key.id == query.id", "key.index == 0", "abs(distance)"),
    *("key.index", "key.is_punct", "query.is_punct and key.index == 0", "distance == -2"),
    '(key.lower in {"w5", "w9"}) - (key.lower in {"w12"})',
    *("log1p(abs(distance))", "key.id == query.prev.id", "distance == -3", "distance == -4"),
)


def candidates(model):
    return {
        head: [Term(one, 0.2 * (head.head - k % 3)) for k, one in enumerate(MANY)]
        for head in every_head(model)
    }


def test_gradients_by_text_are_each_texts_part_of_finite_differences():
    model = tiny("llama")
    texts = passages(model)
    schedule = Schedule(steps=1, texts=len(texts), rate=0.0, distilled=0.0)
    tunable = Tunable(candidates(model), model, texts)
    slopes = descend(model, tunable, texts, schedule, watched=1)
    assert slopes.shape == (len(texts), len(tunable.weights))
    order = np.random.default_rng(0).permutation(len(texts)).tolist()
    tokens = sum(len(text) - 1 for text in texts)
    for k in slopes.abs().sum(0).argsort()[-3:].tolist():
        for row, text in enumerate(order):
            values = []
            for sign in (1, -1):
                with torch.no_grad():
                    tunable.weights[k] += sign * 1e-2
                    values.append(_loss(model, texts[text], tunable))
                    tunable.weights[k] -= sign * 1e-2
            expected = (values[0] - values[1]) / 2e-2 / tokens
            assert float(slopes[row, k]) == pytest.approx(expected, rel=0.1, abs=2e-5)


def _loss(model, text, tunable):
    lengths = torch.tensor([len(text)])
    with torch.no_grad(), tap(model, None, tunable, batch=(text,), lengths=lengths):
        logits = model.hf(**model.inputs([text])).logits[0, :-1].double()
    target = torch.from_numpy(np.asarray(text.ids[1:])).long()[:, None]
    return -float(torch.log_softmax(logits, -1).gather(1, target).sum())


def test_watching_changes_no_step():
    model = tiny("llama")
    texts = passages(model)
    found = []
    for watched in (0, 4):
        tunable = Tunable(candidates(model), model, texts)
        slopes = descend(model, tunable, texts, Schedule(steps=4, texts=2), watched=watched)
        assert len(slopes) == 2 * watched
        found.append(tunable.weights.detach().clone())
    assert torch.allclose(*found, atol=1e-5)


def test_fewer_terms_share_the_features_of_more():
    model = tiny("llama")
    texts = passages(model)
    cache = FeatureCache()
    Tunable(candidates(model), model, texts, cache)
    few = {head: terms[:2] for head, terms in candidates(model).items()}
    shared, own = Tunable(few, model, texts, cache), Tunable(few, model, texts)
    assert torch.equal(shared.scale, own.scale)
    assert _loss(model, texts[0], shared) == pytest.approx(_loss(model, texts[0], own))


def test_what_dropping_costs_against_solving_for_the_others():
    rng = np.random.default_rng(3)
    slopes = rng.normal(size=(30, 5)) @ rng.normal(size=(5, 5))
    weights = rng.normal(size=5)
    fisher = slopes.T @ slopes / 30
    fisher += narrowing._RIDGE * np.diag(np.diag(fisher))
    found = narrowing.drop_costs(torch.from_numpy(weights), torch.from_numpy(slopes))
    for k in range(5):
        rest = [i for i in range(5) if i != k]
        moved = np.zeros(5)
        moved[k] = -weights[k]
        moved[rest] = np.linalg.solve(fisher[np.ix_(rest, rest)], -fisher[rest, k] * moved[k])
        assert float(found[k]) == pytest.approx(moved @ fisher @ moved / 2)


@pytest.mark.parametrize("family", ["llama", "bert"])
def test_few_terms_stay_and_the_loss_is_lower_than_of_the_first_few(family):
    model = tiny(family)
    texts = passages(model)
    told = []
    how = narrowing.Narrowing(terms=3, first=12, on_the_way=(6,), steps=8, watched=6)
    schedule = Schedule(steps=20, texts=3, rate=0.1)
    given = candidates(model)
    chosen = narrowing.narrowed(model, given, texts, how, schedule, lambda *step: told.append(step))
    assert len(told) == 12 + 8
    assert chosen.keys() == given.keys()
    for formula in chosen.values():
        assert len(formula.terms) == 3
        places = [MANY.index(term.relation) for term in formula.terms]
        assert places == sorted(places)
    first = {head: Formula(str(head), tuple(terms[:3])) for head, terms in given.items()}
    tuned = [tune(model, one, texts, schedule) for one in (chosen, first)]
    found = collect(model, texts, dict(measure(model, list(map(Plan, tuned)), texts)), 2)
    assert found.loss[0].sum() < found.loss[1].sum()


def test_refusals():
    model = tiny("llama")
    texts = passages(model)
    with pytest.raises(UsageError, match="expected candidate terms and fit texts, got 0 texts"):
        narrowing.narrowed(model, candidates(model), [])
    with pytest.raises(UsageError, match="and 0 terms"):
        narrowing.narrowed(model, {HeadId(0, 0): []}, texts)
    ahead = {HeadId(0, 0): [Term("key.index", 0.0)] * 5 + [Term("key.id == query.next.id", 0.0)]}
    with pytest.raises(UsageError, match="ahead"):
        narrowing.narrowed(model, ahead, texts)
