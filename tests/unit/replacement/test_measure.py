"""Losses, divergences and cosines against the slow ones, alone and in batches."""

import math

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.replacement.apply import Substituted
from headscribe.replacement.measure import Readings, collect, measure
from headscribe.replacement.passes import HIDDEN, masked, masked_positions
from headscribe.replacement.plan import ZERO, Plan
from tests.oracles import replacement as oracle
from tests.unit.replacement.tiny import (
    PREVIOUS,
    SAME,
    STORIES,
    UNIFORM,
    Handmade,
    passages,
    tiny,
)

PLANS = (
    Plan({HeadId(1, 0): SAME, HeadId(1, 3): PREVIOUS, HeadId(2, 2): ZERO}),
    Plan({HeadId(0, 1): UNIFORM}),
    Plan({}),
)


def _read(model, texts, plans=PLANS, **settings):
    return collect(model, texts, dict(measure(model, plans, texts, **settings)), len(plans))


def _logits(model, passage, plan=None):
    substitution = None if plan is None else Substituted(plan, model)
    return model.logits([passage], substitution)[0].double().numpy()


def test_causal_sums_equal_the_slow_ones():
    model = tiny("llama")
    texts = passages(model)
    found = _read(model, texts)
    assert found.tokens.tolist() == [len(text) - 1 for text in texts]
    assert found.words.tolist() == [len(text.words) - 1 for text in texts]
    for n, text in enumerate(texts):
        ids = text.ids.tolist()
        before = _logits(model, text)
        assert found.unaltered[n] == pytest.approx(sum(oracle.loss(before, ids)), abs=1e-4)
        for p, plan in enumerate(PLANS):
            after = _logits(model, text, plan)
            assert found.loss[p, n] == pytest.approx(sum(oracle.loss(after, ids)), abs=1e-4)
            apart = sum(oracle.divergence(before[k], after[k]) for k in range(len(ids) - 1))
            assert found.shift[p, n] == pytest.approx(apart, abs=1e-4)
    assert not found.shift[2].any()
    assert np.array_equal(found.loss[2], found.unaltered)


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2", "gemma2", "bert"])
def test_a_padded_batch_equals_one_at_a_time(family):
    model = tiny(family)
    texts = passages(model)
    alone = _read(model, texts, token_budget=1)
    together = _read(model, texts, token_budget=10_000)
    tokens = together.tokens
    for name in ("unaltered", "loss", "shift"):
        one, other = getattr(alone, name) / tokens, getattr(together, name) / tokens
        assert np.abs(one - other).max() <= 1e-5


def test_pseudo_losses_mask_each_token_in_turn():
    model = tiny("bert")
    (text,) = passages(model, STORIES[:1])
    found = _read(model, [text])
    mask = model.tokenizer.mask_token_id
    for p, plan in ((None, None), (0, PLANS[0])):
        total = 0.0
        for at in range(1, len(text) - 1):
            copy = masked(text, at, mask, "[MASK]")
            total -= oracle.log_probabilities(_logits(model, copy, plan)[at])[text.ids[at]]
        sums = found.unaltered if p is None else found.loss[p]
        assert sums[0] == pytest.approx(total, abs=1e-4)
    assert found.tokens[0] == len(text) - 2
    some = _read(model, [text], positions=3)
    assert some.tokens[0] == 3
    assert len(masked_positions(text, 3)) == 3
    assert masked_positions(text, 3).tolist() == masked_positions(text, 3).tolist()


def test_programs_do_not_see_the_masked_token():
    model = tiny("bert")
    (text,) = passages(model, STORIES[:1])
    copy = masked(text, 2, 4, "[MASK]")
    assert copy.ids[2] == 4
    assert copy.tokens[2] == "[MASK]"
    assert copy.text == f"w5 {HIDDEN * 2} w5 w12. w9 w30 w9"
    assert copy.words.form[:3] == ("w5", "[MASK]", "w5")
    seen = []
    watcher = Handmade(lambda p, v: seen.append(p) or UNIFORM.matrix(p, v), "watcher")
    _read(model, [text], [Plan({HeadId(0, 0): watcher})])
    assert len(seen) == len(text) - 2
    for passage, at in zip(seen, range(1, len(text) - 1), strict=True):
        assert passage.ids[at] == 4
        assert HIDDEN in passage.text


def test_cosines_of_an_encoder():
    model = tiny("bert")
    encoder = type(model)(
        model.name, model.hf.base_model, model.tokenizer, model.stack, model.support
    )
    assert encoder.kind == "encoder"
    texts = passages(encoder)
    found = _read(encoder, texts)
    for n, text in enumerate(texts):
        inputs = encoder.inputs([text])
        with torch.inference_mode():
            before = encoder.stack.body(**inputs)[0][0].double().numpy()
        from headscribe.models.tap import tap

        with torch.inference_mode(), tap(
            encoder, None, Substituted(PLANS[0], encoder), batch=(text,),
            lengths=torch.tensor([len(text)]),
        ):  # fmt: skip
            after = encoder.stack.body(**inputs)[0][0].double().numpy()
        expected = sum(oracle.cosine(a, b) for a, b in zip(before, after, strict=True))
        assert found.shift[0, n] == pytest.approx(expected, abs=1e-5)
    same = found.estimate(2)
    assert (same.unaltered, same.value) == (1.0, pytest.approx(1.0))
    with pytest.raises(UsageError, match="`perplexity` is no metric of a encoder model"):
        found.estimate(0, "perplexity")


def _readings(change=0.1):
    tokens, words = np.array([10.0, 30.0, 20.0, 20.0]), np.array([5.0, 20.0, 10.0, 15.0])
    unaltered = tokens * np.array([1.0, 1.2, 1.1, 0.9])
    loss = unaltered + tokens * np.array([0.5, 1.5, 1.0, 1.0]) * change
    return Readings(
        "causal", ("a", "b", "c", "c"), tokens, words, unaltered, loss[None], (tokens / 100)[None]
    )


def test_estimates():
    found = _readings()
    one = found.estimate(0)
    before = math.exp(found.unaltered.sum() / 80)
    after = math.exp(found.loss.sum() / 80)
    assert (one.unaltered, one.value) == (pytest.approx(before), pytest.approx(after))
    assert one.increase == pytest.approx(after / before - 1)
    assert one.low < one.increase < one.high
    word = found.estimate(0, "word_perplexity")
    assert word.value == pytest.approx(math.exp(found.loss.sum() / 50))
    assert word.increase == pytest.approx(word.value / word.unaltered - 1)
    loss = found.estimate(0, "loss")
    assert loss.value == pytest.approx(found.loss.sum() / 80)
    assert loss.increase == pytest.approx(loss.value / loss.unaltered - 1)
    kl = found.estimate(0, "kl")
    assert (kl.unaltered, kl.value, kl.increase) == (0, pytest.approx(0.01), pytest.approx(0.01))


def test_intervals_are_paired_and_clustered():
    """The linearised variance of a ratio over groups, by hand; no spread, no interval."""
    found = _readings()
    change, tokens = (found.loss[0] - found.unaltered), found.tokens
    totals = [change[0], change[1], change[2] + change[3]]
    counts = [tokens[0], tokens[1], tokens[2] + tokens[3]]
    mean = sum(totals) / sum(counts)
    square = sum((t - mean * n) ** 2 for t, n in zip(totals, counts, strict=True))
    width = 4.30265273 * math.sqrt(3 / 2 * square) / sum(counts)
    one = found.estimate(0)
    assert one.low == pytest.approx(math.expm1(mean - width))
    assert one.high == pytest.approx(math.expm1(mean + width))
    same = _readings(change=0.0).estimate(0)
    assert same.increase == 0
    assert np.isnan([same.low, same.high]).all()


def test_nothing_to_predict():
    model = tiny("llama")
    texts = passages(model, ("w5",))
    found = _read(model, texts)
    assert found.tokens.tolist() == [0]
    with pytest.raises(UsageError, match="texts of at least two tokens"):
        found.estimate(0)
    with pytest.raises(UsageError, match="text text:0 has not been read"):
        collect(model, texts, {}, 3)


def test_plans_are_checked_before_any_text_is_read():
    model = tiny("llama")
    ahead = Handmade(UNIFORM.matrix, "peeking", looks_ahead=True)
    for plan in (Plan({HeadId(0, 9): UNIFORM}), Plan({HeadId(0, 0): ahead})):
        with pytest.raises(UsageError, match=r"head 0\.[09]"):
            next(measure(model, [Plan({}), plan], passages(model)))
