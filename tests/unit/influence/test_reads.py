"""From whom heads read: the textbook case, and attention as hooks written by hand give it."""

import numpy as np
import pytest
import torch

import headscribe as hs
from headscribe.core.heads import HeadId
from headscribe.influence.reads import Inputs, reads_from, seen_behaviours
from headscribe.influence.ways import ways_of
from headscribe.models.inputs import model_inputs
from headscribe.relations.language import parse
from tests.integration.families import build
from tests.unit.models.tokenizers import word_tokenizer

BEFORE = ("what followed it before", parse("key.prev.id == query.id and distance < 0"))


def test_previous_token_heads_feed_the_keys_of_induction_heads() -> None:
    model = hs.load("bundled:stories")
    passages = model_inputs(model, hs.corpus("bundled:samples", 12), "plain", 64).passages
    ways = ways_of(model)
    seen = seen_behaviours(ways, passages)
    for head in ("3.3", "3.4", "3.5"):
        assert seen[HeadId.of(head)][0] == BEFORE[0]
    assert seen[HeadId(1, 2)][0] == seen[HeadId(1, 3)][0] == "the previous token"
    wanted = {HeadId.of(head): BEFORE for head in ("3.3", "3.4", "3.5")}
    found = reads_from(ways, passages, wanted, verified=3)
    for head in wanted:
        keys = [one for one in found if one.head == head and one.input == "key"]
        assert len(keys) == 3
        assert keys[0].source in {(1, 2), (1, 3)}
        assert keys[0].flagged
        assert keys[0].change < -0.2
        assert np.sign(keys[0].estimated) == -1


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_attention_is_what_hooks_by_hand_give(family: str) -> None:
    """Head 0.1 taken out of what layer 2 computes its keys of, and nothing else."""
    model = hs.load(build(family), word_tokenizer())
    text = model_inputs(model, hs.corpus(["the cat sat on the mat . the cat"]), "plain").passages[0]
    ids = torch.tensor(text.ids)[None]
    hf = model.hf
    if family == "gpt2":
        layers = hf.transformer.h
        output, norm = layers[0].attn.c_proj, layers[2].ln_1
        projection, width = layers[2].attn.c_attn, slice(32, 64)
        part = lambda z: z[..., 8:16] @ output.weight[8:16]  # noqa: E731
    else:
        layers = hf.model.layers
        output, norm = layers[0].self_attn.o_proj, layers[2].input_layernorm
        projection, width = layers[2].self_attn.k_proj, slice(None)
        size = output.weight.shape[1] // 4
        part = lambda z: z[..., size : 2 * size] @ output.weight[:, size : 2 * size].T  # noqa: E731
    shown: dict[str, torch.Tensor] = {}
    hooks = [
        output.register_forward_pre_hook(lambda _, a: shown.update(z=a[0])),
        norm.register_forward_pre_hook(lambda _, a: shown.update(x=a[0])),
    ]
    if family == "gemma2":  # a norm of its own, whose scale stays
        after = layers[0].post_attention_layernorm
        hooks.append(after.register_forward_hook(lambda _, a, o: shown.update(a=a[0], o=o)))

    def altered(_, __, result):
        added = part(shown["z"])
        if family == "gemma2":
            added = added * (shown["o"] / shown["a"])
        other = projection.forward(norm.forward(shown["x"] - added))
        result = result.clone()
        result[..., width] = other[..., width]
        return result

    hooks.append(projection.register_forward_hook(altered))
    hf.set_attn_implementation("eager")
    with torch.no_grad():
        expected = hf(ids, output_attentions=True).attentions[2][0]
    for hook in hooks:
        hook.remove()
    with torch.no_grad():
        plain = hf(ids, output_attentions=True).attentions[2][0]
        inputs = Inputs(ways_of(model), text)
        stream = inputs.stream(2)
        without = inputs.attention(2, stream - inputs.added(2)[0, 1])
        own = inputs.attention(2, stream)
    from dataclasses import replace

    ours = replace(own, key=without.key).weights()[0]
    torch.testing.assert_close(own.weights()[0], plain, atol=1e-5, rtol=0)
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=0)
    assert (ours - plain).abs().max() > 1e-4


def test_a_silent_head_feeds_nobody() -> None:
    model = hs.load("bundled:stories")
    passages = model_inputs(model, hs.corpus("bundled:samples", 8), "plain", 32).passages
    weight = model.hf.model.layers[1].self_attn.o_proj.weight
    own = weight.detach().clone()
    with torch.no_grad():
        weight[:, 64:128] = 0  # 1.2 and 1.3
    try:
        found = reads_from(ways_of(model), passages, {HeadId(3, 5): BEFORE}, verified=18)
    finally:
        with torch.no_grad():
            weight.copy_(own)
    silent = [one for one in found if one.source in {(1, 2), (1, 3)}]
    assert len(silent) == 4
    assert all(abs(one.change) < 1e-6 and not one.flagged for one in silent)


def test_heads_of_a_random_model_read_from_nobody() -> None:
    model = hs.load("bundled:stories")
    passages = model_inputs(model, hs.corpus("bundled:samples", 8), "plain", 32).passages
    torch.manual_seed(1)
    hf = type(model.hf)(model.hf.config).eval()
    for weight in hf.parameters():  # attention that is far from even
        weight.data.mul_(4 if weight.ndim == 2 else 1)
    ways = ways_of(hs.load((hf, model.tokenizer)))
    found = reads_from(ways, passages, {HeadId(3, head): BEFORE for head in range(6)}, verified=3)
    assert len(found) == 36
    assert not any(one.flagged for one in found)
