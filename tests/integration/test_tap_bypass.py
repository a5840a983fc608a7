"""Architectures that bypass the attention interface: noticed, and surveyed otherwise or refused."""

import numpy as np
import pytest
import torch
import transformers as hf

from headscribe.core.errors import UsageError
from headscribe.models.loading import load
from headscribe.models.support import examine
from headscribe.models.tap import tap
from tests.integration.families import build
from tests.integration.tapping import LENGTHS, Memory, Tapped, tokens
from tests.integration.test_tap_families import _encoding
from tests.unit.models.tokenizers import word_tokenizer

_WIDTH = {"vocab_size": 61, "hidden_size": 32, "pad_token_id": 0}
_BERT = _WIDTH | {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
_ENDS = {"bos_token_id": 1, "eos_token_id": 2}
BYPASSING = {
    "deberta_v2": lambda: hf.DebertaV2ForMaskedLM(
        hf.DebertaV2Config(
            **_BERT, relative_attention=True, pos_att_type=["c2p", "p2c"], position_buckets=8
        )
    ),
    "bloom": lambda: hf.BloomForCausalLM(hf.BloomConfig(**_WIDTH, **_ENDS, n_layer=2, n_head=4)),
    "falcon": lambda: hf.FalconForCausalLM(
        hf.FalconConfig(**_WIDTH, **_ENDS, num_hidden_layers=2, num_attention_heads=4)
    ),
    "gpt_neo": lambda: hf.GPTNeoForCausalLM(
        hf.GPTNeoConfig(
            **_WIDTH,
            **_ENDS,
            num_layers=2,
            num_heads=4,
            attention_types=[[["global", "local"], 1]],
            max_position_embeddings=64,
            window_size=4,
        )
    ),
    "gptj": lambda: hf.GPTJForCausalLM(
        hf.GPTJConfig(
            vocab_size=61, n_embd=32, n_layer=2, n_head=4, n_positions=64, rotary_dim=4, **_ENDS
        )
    ),
    "mpt": lambda: hf.MptForCausalLM(
        hf.MptConfig(vocab_size=61, d_model=32, n_layers=2, n_heads=4, max_seq_len=64, **_ENDS)
    ),
    "xlnet": lambda: hf.XLNetLMHeadModel(
        hf.XLNetConfig(vocab_size=61, d_model=32, n_layer=2, n_head=4, d_inner=48, **_ENDS)
    ),
}
ENCODERS = {"deberta_v2", "xlnet"}


def _bypassing(name: str) -> hf.PreTrainedModel:
    torch.manual_seed(5)
    return BYPASSING[name]().eval()


@pytest.mark.parametrize("name", BYPASSING)
def test_noticed_and_surveyed_through_returned_attentions(name):
    model = _bypassing(name)
    support, stack = examine(model)
    assert (support.honoured, support.survey, support.replacement) == (False, True, False)
    assert (support.layers, support.heads) == (2, 4)
    assert "bypasses the attention interface" in support.notes[0]
    assert stack is not None
    assert all(visible.causal == (name not in ENCODERS) for visible in stack.visibility)
    if name == "gpt_neo":
        assert [visible.window for visible in stack.visibility] == [None, 4]

    ids, _ = tokens()
    batch = [_encoding(ids[row, :length]) for row, length in enumerate(LENGTHS.tolist())]
    whole = load((model, word_tokenizer()))
    assert whole.support == support
    together = Memory()
    before = model.config._attn_implementation
    whole.run(batch, together)
    assert model.config._attn_implementation == before
    assert len(together.probabilities) == 2
    for row, text in enumerate(batch):
        alone, length = Memory(), len(text)
        whole.run([text], alone)
        for layer, one in enumerate(alone.probabilities):
            rows = together.probabilities[layer][row, :, :length, :length]
            assert (one[0] - rows).abs().max() <= 3e-6
            np.testing.assert_allclose(rows.sum(-1), 1, atol=1e-5)
            hidden = ~torch.from_numpy(stack.visibility[layer].dense(length))
            assert not rows[:, hidden].any()


def test_a_bypassing_model_cannot_be_tapped():
    stack = examine(_bypassing("bloom"))[1]
    assert stack is not None
    with (
        pytest.raises(UsageError, match="BloomForCausalLM bypasses the attention interface"),
        tap(Tapped(stack)),
    ):
        pass


@pytest.mark.parametrize(
    "model,reason",
    [
        (
            lambda: hf.FNetForMaskedLM(
                hf.FNetConfig(**_WIDTH, num_hidden_layers=2, intermediate_size=48)
            ),
            "returns no attention of every token over every token",
        ),
        (
            lambda: hf.LongformerModel(hf.LongformerConfig(**_BERT, attention_window=4)),
            "returns no attention of every token over every token",
        ),
    ],
)
def test_refused_with_a_reason(model, reason):
    support, stack = examine(model().eval())
    assert stack is None
    assert not support.survey
    assert not support.replacement
    assert reason in support.notes[0]


def test_code_that_differs_from_its_eager_form_is_not_trusted(monkeypatch):
    """An eager function with a bias of its own: the fused kernel and the closed form lack it."""
    from transformers.models.llama import modeling_llama

    plain = modeling_llama.eager_attention_forward

    def biased(module, query, key, value, mask, **options):
        near = -0.3 * (torch.arange(key.shape[2]) - torch.arange(query.shape[2])[:, None]).abs()
        return plain(module, query, key, value, mask + near, **options)

    monkeypatch.setattr(modeling_llama, "eager_attention_forward", biased)
    fused = build("llama")
    support, stack = examine(fused)
    assert not support.honoured
    assert not support.replacement
    assert "3 calls that differ from its 3 layers" in support.notes[0]

    eager = build("llama")
    eager.set_attn_implementation("eager")
    support, stack = examine(eager)
    assert stack is not None
    assert (support.honoured, support.survey, support.replacement) == (True, True, False)
    assert stack.closed == (False, False, False)
    memory = Memory()
    ids, _ = tokens(torch.tensor([9]))
    with torch.inference_mode(), tap(Tapped(stack), memory):
        seen = eager(ids).logits
    with torch.inference_mode():
        plain_result = eager(ids, output_attentions=True)
    assert torch.equal(seen, plain_result.logits)
    for ours, theirs in zip(memory.probabilities, plain_result.attentions, strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(AttributeError, match="no closed form"):
        _ = memory.calls[0].query
    with (
        pytest.raises(UsageError, match=r"layer 0 of LlamaForCausalLM .* cannot be replaced"),
        tap(Tapped(stack), None, _Anything()),
    ):
        pass


class _Anything:
    def heads(self, layer):
        return (0,)

    def rows(self, call):
        return call.probabilities()[:, :1]
