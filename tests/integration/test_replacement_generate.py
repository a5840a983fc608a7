"""The altered model talks, with its cache and without."""

import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.models.loading import load
from headscribe.replacement.apply import Substituted, generate, generated_ids
from headscribe.replacement.plan import Plan
from tests.unit.replacement.tiny import (
    PREVIOUS,
    SAME,
    UNIFORM,
    Handmade,
    every_head,
    passages,
    tiny,
)

PROMPT = "w5 w9 w5 w12 w9"


def _last(passage, visibility):
    matrix = UNIFORM.matrix(passage, visibility)
    matrix[:, passage.ids == passage.ids[-1]] += 3
    return matrix * visibility.dense(len(passage))


LIAR = Handmade(_last, "liar")
"""Its rows depend on the last token, and it does not say so."""


@pytest.mark.parametrize("family", ["gpt2", "llama", "mistral", "qwen3_windows", "gemma3"])
def test_the_cache_changes_no_token(family):
    model = tiny(family)
    programs = [SAME, PREVIOUS, UNIFORM]
    plan = Plan({h: programs[(h.layer + h.head) % 3] for h in every_head(model)})
    cached = generated_ids(model, plan, PROMPT, 12, True)
    assert cached == generated_ids(model, plan, PROMPT, 12, False)
    assert len(cached) == 5 + 12
    assert cached != generated_ids(model, Plan({}), PROMPT, 12, True)


def test_the_untouched_story(stories):
    model = load(stories)
    prompt = "Once upon a time, there was a little girl named Lily."
    text = generate(model, Plan({}), prompt, 20)
    assert text.startswith(prompt + " She loved to play with her toys and eat yummy snacks.")
    previous = Plan(dict.fromkeys(every_head(model), PREVIOUS))
    altered = generated_ids(model, previous, prompt, 12, True)
    assert altered == generated_ids(model, previous, prompt, 12, False)


def test_seeing_the_future_is_found_out():
    """The text is looked at at another cut with every token that is written."""
    model = tiny("llama")
    plan = Plan({HeadId(2, 1): LIAR})
    with pytest.raises(UsageError, match=r"head 2.1, text given:1: liar sees the future: row"):
        generate(model, plan, PROMPT, 5)
    encoder = tiny("bert")
    encoder.logits(passages(encoder), Substituted(plan, encoder))


def test_who_cannot_talk():
    with pytest.raises(UsageError, match="only causal models generate"):
        generate(tiny("bert"), Plan({}), PROMPT)
    with pytest.raises(UsageError, match="expected a prompt"):
        generate(tiny("llama"), Plan({}), "")
    with pytest.raises(UsageError, match="expected 1 to 59 new tokens after this prompt, got 60"):
        generate(tiny("llama"), Plan({}), PROMPT, 60)
    assert not torch.is_inference_mode_enabled()
