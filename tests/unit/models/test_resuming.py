"""Passes that begin in the middle give what whole passes give, or are not offered."""

import numpy as np
import pytest
import torch

from headscribe.core.heads import HeadId
from headscribe.models.loading import load
from headscribe.models.resuming import layer_modules, resumable
from headscribe.replacement import measure as module
from headscribe.replacement.measure import collect, measure
from headscribe.replacement.plan import ZERO, Plan
from tests.integration.families import build
from tests.unit.replacement.tiny import ONE_STACK, SAME, passages, tiny, tokenizer


@pytest.mark.parametrize("family", ONE_STACK)
def test_plans_read_alike_from_the_beginning_and_from_their_first_head(family, monkeypatch):
    model = tiny(family)
    texts = passages(model)
    last = model.layers - 1
    plans = [Plan({HeadId(1, 0): ZERO, HeadId(last, 2): SAME}), Plan({HeadId(last, 1): ZERO})]

    def read():
        settings = {"positions": 2, "token_budget": 24}
        return collect(model, texts, dict(measure(model, plans, texts, **settings)), 2)

    assert (resumable(model, range(model.layers)) is None) == (family == "albert")
    resumed = read()
    monkeypatch.setattr(module, "resumable", lambda *_: None)
    whole = read()
    for name in ("unaltered", "loss", "shift"):
        assert np.array_equal(getattr(resumed, name), getattr(whole, name)), name
    assert np.ptp(whole.loss[0] - whole.unaltered) > 0


def test_layers_that_read_what_earlier_ones_left_aside_are_run_from_the_beginning():
    hf = build("llama")
    model = load((hf, tokenizer(special=False)))
    first, _, last = layer_modules(model)
    own, begin, left = last.forward, first.forward, []

    def leaving(*given, **named):
        left.append(1.0)
        return begin(*given, **named)

    first.forward = leaving

    def forward(hidden, *rest, **named):
        return own(hidden + (left.pop() if left else 0.0), *rest, **named)

    last.forward = forward
    assert resumable(model, [1]) is None

    def broken(hidden, *rest, **named):
        return own(hidden + left.pop(), *rest, **named)

    left.clear()
    last.forward = broken
    assert resumable(model, [2]) is None, "what raises is not offered either"
    last.forward = own
    assert resumable(model, [1, 2]) == layer_modules(model)
    with torch.inference_mode():
        assert torch.isfinite(model.logits(passages(model))).all()
