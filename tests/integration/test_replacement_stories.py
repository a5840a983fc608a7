"""The trained storyteller: what replacement costs on real stories, within known bounds."""

import numpy as np
import pytest

from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.models.loading import load
from headscribe.patterns.registry import baselines
from headscribe.replacement.apply import generated_ids
from headscribe.replacement.controls import estimate
from headscribe.replacement.measure import collect, measure
from headscribe.replacement.plan import ZERO, Plan
from headscribe.text.alignment import align
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import read


@pytest.fixture(scope="module")
def told(stories):
    model = load(stories)
    every = list(read("bundled:samples"))

    def passages(texts):
        encodings = model.encode([text.text for text in texts], 160)
        words = Plain().annotate(texts)
        return [align(*three) for three in zip(texts, encodings, words, strict=True)]

    return model, passages(every[:16]), passages(every[16:32])


def test_controls_cost_what_is_known_of_them(told):
    model, fit, test = told
    found = estimate(model, fit, baselines())
    heads = sorted(found.profile)
    half = heads[::2]
    plans = [
        Plan(found.profile),
        Plan(found.profile).only(half),
        Plan(found.fixed),
        Plan(found.mean),
        Plan(dict.fromkeys(heads, ZERO)),
    ]
    readings = collect(model, test, dict(measure(model, plans, test)), len(plans))
    untouched = readings.estimate(0).unaltered
    assert 110 < untouched < 120
    profile, part, fixed, mean, zero = (readings.estimate(k).increase for k in range(5))
    assert -0.1 < part < 0.02 < 0.3 < profile < 0.4
    assert profile < fixed < 0.6 < 2.2 < zero < 2.8
    assert abs(mean - profile) < 0.06
    alone = collect(model, test[:4], dict(measure(model, plans, test[:4], token_budget=1)), 5)
    for name in ("unaltered", "loss"):
        one = getattr(alone, name)[..., :4] / alone.tokens
        other = getattr(readings, name)[..., :4] / readings.tokens[:4]
        assert np.abs(one - other).max() <= 1e-5


def test_all_heads_replaced_talk_alike_with_and_without_a_cache(told):
    model, _, _ = told
    terms = (
        Term("key.index == 0", 1.0),
        Term("distance == -1", 2.0),
        Term("key.lower == query.lower and distance < 0", 1.0),
        Term("key.prev.id == query.id", 2.0),
        Term("last(key.is_punct)", 0.5),
    )
    every = [HeadId(layer, head) for layer in range(6) for head in range(6)]
    plan = Plan({head: Formula(str(head), terms[head.head % 3 :]) for head in every})
    prompt = "Once upon a time, there was a little girl named Lily. She didn't"
    cached = generated_ids(model, plan, prompt, 16, True)
    assert cached == generated_ids(model, plan, prompt, 16, False)
