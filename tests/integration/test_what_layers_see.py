"""What layers see beyond the probe, which texts may share a batch, hybrids, and true refusals."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers as hf
from transformers.masking_utils import (
    and_masks,
    causal_mask_function,
    chunked_causal_mask_function,
    sliding_window_bidirectional_mask_function,
    sliding_window_causal_mask_function,
)

import headscribe as hs
from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.models.loading import load
from headscribe.models.seeing import Seen, seen_by_rule, seen_in
from headscribe.models.support import examine
from tests.integration.families import build
from tests.integration.tapping import Memory
from tests.unit.models.tokenizers import word_tokenizer

CPU = torch.device("cpu")
TEXTS = ["the cat sat on the mat.", "a dog.", "the cats sat on the dog and a cat sat.", "dog sat."]
SIZE = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GROUPED = SIZE | {"num_key_value_heads": 2}


def sharp(model: hf.PreTrainedModel, by: float = 8.0) -> hf.PreTrainedModel:
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(by)
    return model.eval()


def made(kind: str, config: hf.PretrainedConfig, by: float = 8.0) -> hf.PreTrainedModel:
    torch.manual_seed(3)
    model = sharp(getattr(hf, kind)(deepcopy(config)), by)
    with torch.no_grad():  # what is padded is not nothing
        model.get_input_embeddings().weight[0].normal_()
    return model


# --- rules -----------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 2, 9, 100, 4000, 70_000])
def test_a_rule_is_followed_beyond_any_probe(window):
    one_way, both = sliding_window_causal_mask_function, sliding_window_bidirectional_mask_function
    assert seen_by_rule(one_way(window), None, CPU) == Seen(Visibility(True, window))
    assert seen_by_rule(both(window), None, CPU) == Seen(Visibility(False, window + 1))
    assert seen_by_rule(one_way(window), max(window, 2), CPU).limit is None


@pytest.mark.parametrize("chunk", [3, 8, 500, 8192])
def test_chunks_are_plain_in_texts_of_a_chunk(chunk):
    rule = chunked_causal_mask_function(chunk, torch.zeros(1, dtype=torch.long))
    assert seen_by_rule(rule, None, CPU) == Seen(CAUSAL, chunk)
    assert seen_by_rule(rule, chunk, CPU) == Seen(CAUSAL)


def test_rules_that_ask_tables_of_the_probe_are_left_alone():
    table = torch.ones(11, dtype=torch.bool)
    rule = and_masks(causal_mask_function, lambda b, h, q, k: table[k])
    assert seen_by_rule(rule, 100, CPU) is None


def test_what_a_matrix_shows():
    for visible in (FULL, CAUSAL, Visibility(True, 5), Visibility(False, 4)):
        assert seen_in(visible.dense(23)) == Seen(visible)
    blocks = np.kron(np.eye(4), np.ones((6, 6))) > 0
    assert seen_in(blocks) == Seen(FULL, 6)
    assert seen_in(np.tril(blocks)) == Seen(CAUSAL, 6)


# --- windows ---------------------------------------------------------------------------------


def test_windows_that_the_layers_do_not_state():
    """The window of a module is set behind the mask's back: what the mask does is what counts."""
    config = hf.MistralConfig(**GROUPED, sliding_window=40)
    model = made("MistralForCausalLM", config)
    for layer in model.model.layers:
        layer.self_attn.sliding_window = 9
    assert {seen.window for seen in load(model, word_tokenizer()).stack.visibility} == {40}


@pytest.mark.parametrize("window", [20, 100])
def test_long_windows_of_models_that_make_their_own_masks(window):
    config = hf.GPTNeoConfig(
        vocab_size=61, hidden_size=32, num_layers=2, num_heads=4, window_size=window,
        attention_types=[[["global", "local"], 1]], max_position_embeddings=512,
    )  # fmt: skip
    stack = examine(made("GPTNeoForCausalLM", config))[1]
    assert stack is not None
    assert stack.visibility == (CAUSAL, Visibility(True, window))


def test_a_window_that_nothing_states(monkeypatch):
    """A model whose own masks hide what its configuration does not tell."""
    from transformers.models.gptj import modeling_gptj

    plain = modeling_gptj.GPTJAttention._attn

    def narrowed(self, query, key, value, attention_mask=None):
        index = torch.arange(key.shape[2])
        hidden = (index[None, :] <= index[-query.shape[2] :, None] - 30) * -1e9
        mask = hidden if attention_mask is None else attention_mask + hidden
        return plain(self, query, key, value, mask)

    monkeypatch.setattr(modeling_gptj.GPTJAttention, "_attn", narrowed)
    config = hf.GPTJConfig(vocab_size=61, n_embd=32, n_layer=2, n_head=4, rotary_dim=4)
    stack = examine(made("GPTJForCausalLM", config, 1.0))[1]
    assert stack is not None
    assert stack.visibility == (Visibility(True, 30),) * 2


def test_chunks_limit_the_texts():
    config = hf.Llama4TextConfig(
        **GROUPED, intermediate_size_mlp=48, head_dim=8, num_local_experts=2,
        attention_chunk_size=16, layer_types=["chunked_attention"] * 3 + ["full_attention"],
    )  # fmt: skip
    model = load(made("Llama4ForCausalLM", config, 1.0), word_tokenizer())
    assert model.max_tokens == 16
    assert model.stack.visibility == (CAUSAL,) * 4
    assert "texts are cut at 16 tokens" in model.support.notes[0]
    (text,) = model.encode([" ".join(["the cat sat on a dog."] * 5)])
    assert (len(text), text.cut > 0) == (16, True)


def test_block_sparse_attention_is_full_in_short_texts():
    config = hf.BigBirdConfig(**SIZE | {"max_position_embeddings": 256}, block_size=4)
    model = load(made("BigBirdForMaskedLM", config), word_tokenizer())
    assert model.max_tokens == (5 + 2 * 3) * 4
    assert model.stack.visibility == (FULL,) * 4


# --- batches ---------------------------------------------------------------------------------


class Batched:
    """Convolutions read what is padded; the texts of equal length may share a batch."""

    convbert = ("ConvBertForMaskedLM", hf.ConvBertConfig(**SIZE, embedding_size=16))
    mobilebert = (
        "MobileBertForMaskedLM",
        hf.MobileBertConfig(**SIZE, embedding_size=16, intra_bottleneck_size=32),
    )


@pytest.mark.parametrize("name", ["convbert", "mobilebert"])
def test_a_text_is_what_it_is_alone(name):
    model = load(made(*getattr(Batched, name)), word_tokenizer())
    assert model.stack.together == "equal"
    assert not model.support.replacement
    assert "share its batch" in model.support.notes[-1]
    batch = model.encode(TEXTS)
    together = Memory()
    model.run(batch, together)
    for row, text in enumerate(batch):
        alone, length = Memory(), len(text)
        model.run([text], alone)
        for one, other in zip(alone.probabilities, together.probabilities, strict=True):
            assert (one[0] - other[row, :, :length, :length]).abs().max() <= 5e-6
    with pytest.raises(UsageError, match="one by one"):
        model.logits(batch)
    assert model.logits(batch[:1]).shape[:2] == (1, len(batch[0]))


def test_plain_encoders_share_their_batches():
    for name in ("bert", "t5", "gpt2", "modernbert", "gpt_oss"):
        stack = examine(build(name))[1]
        assert stack is not None
        assert stack.together == "any"


def test_experts_of_limited_capacity_are_run_one_by_one():
    """A model whose attention depends on any other text of its batch."""
    model = build("bert")

    class Shared(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def forward(self, *args, **kwargs):
            out = self.inner(*args, **kwargs)
            return out + out.mean(dim=0, keepdim=True)

    model.bert.embeddings.word_embeddings = Shared(model.bert.embeddings.word_embeddings)
    loaded = load(model, word_tokenizer())
    assert loaded.stack.together == "none"
    batch = loaded.encode(["the cat sat.", "a dog sat."])
    together, alone = Memory(), Memory()
    loaded.run(batch, together)
    loaded.run(batch[1:], alone)
    assert torch.equal(alone.probabilities[1][0], together.probabilities[1][1])


def test_a_survey_does_not_depend_on_the_batch(tmp_path):
    model = load(made(*Batched.convbert), word_tokenizer())
    whole = hs.survey(model, TEXTS, annotator="plain", out=tmp_path / "all")
    assert model.stack.together == "equal"
    plain = load(made(*Batched.convbert), word_tokenizer())
    mixed = replace(plain, stack=replace(plain.stack, together="none"))
    apart = hs.survey(mixed, TEXTS, annotator="plain", out=tmp_path / "apart")
    one, two = (dict(s.top("previous_token", k=16)) for s in (whole, apart))
    assert one == pytest.approx(two, abs=1e-6)


# --- hybrids ---------------------------------------------------------------------------------


def test_attention_layers_of_hybrids_are_surveyed_and_the_others_named(tmp_path):
    config = hf.Lfm2Config(
        **GROUPED, layer_types=["conv", "full_attention", "conv", "full_attention"]
    )
    own = made("Lfm2ForCausalLM", config, 1.0)
    model = load(own, word_tokenizer())
    assert (model.layers, model.heads, model.kind) == (2, 4, "causal")
    assert model.support.notes == (
        "attention is in 2 of its 4 layers, numbered from 0 here (the model's layers 1, 3); the "
        "others (conv) have none to survey",
    )
    batch, memory = model.encode(TEXTS), Memory()
    model.run(batch, memory)
    own.set_attn_implementation("eager")
    for row, text in enumerate(batch):
        ids, length = torch.as_tensor(text.ids)[None], len(text)
        with torch.inference_mode():
            returned = own.model(input_ids=ids, output_attentions=True, use_cache=False)
        expected = [item for item in returned.attentions if item is not None]
        for shown, right in zip(memory.probabilities, expected, strict=True):
            assert (shown[row, :, :length, :length] - right[0]).abs().max() <= 1e-6
    survey = hs.survey(model, TEXTS, annotator="plain", out=tmp_path / "run")
    assert {head.layer for head, _ in survey.top("previous_token", k=8)} == {0, 1}


# --- what is refused, in one true line -------------------------------------------------------


@pytest.mark.parametrize(
    "model, message",
    [
        (lambda: hf.ViTModel(hf.ViTConfig(hidden_size=32, num_hidden_layers=1, image_size=28,
         num_attention_heads=2, intermediate_size=32, patch_size=14)), "has no vocabulary"),
        (lambda: hf.CanineModel(hf.CanineConfig(hidden_size=32, num_hidden_layers=1,
         num_attention_heads=2, intermediate_size=32)), "has no vocabulary"),
        (lambda: hf.NystromformerForMaskedLM(hf.NystromformerConfig(**SIZE, num_landmarks=8,
         segment_means_seq_len=64)), "its own code breaks on 11 token ids"),
        (lambda: hf.DeepseekV3ForCausalLM(hf.DeepseekV3Config(**SIZE | {"num_key_value_heads": 2},
         q_lora_rank=16, kv_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=8,
         n_routed_experts=4, num_experts_per_tok=2, n_group=1, topk_group=1,
         moe_intermediate_size=16, first_k_dense_replace=1)), "breaks on 11 token ids"),
        (lambda: hf.LiltModel(hf.LiltConfig(**SIZE)), "breaks on 11 token ids"),
        (lambda: hf.CLIPVisionModel(hf.CLIPVisionConfig(hidden_size=32, num_hidden_layers=1,
         num_attention_heads=2, image_size=28, patch_size=14)), "has no vocabulary"),
        (lambda: hf.MambaForCausalLM(hf.MambaConfig(vocab_size=61, hidden_size=32, state_size=8,
         num_hidden_layers=2)), "nothing of it reaches the attention interface"),
        (lambda: hf.SqueezeBertModel(hf.SqueezeBertConfig(**SIZE, embedding_size=32)),
         "returns no attention of every token"),  # but scores before the softmax
        (lambda: hf.BrosModel(hf.BrosConfig(**SIZE)), "ids alone .You have to specify bbox"),
    ],
)  # fmt: skip
def test_refused_in_one_line(model, message):
    _refused(model().eval(), message)


@pytest.mark.parametrize("weight", [float("nan"), float("inf")])
@pytest.mark.parametrize("family", ["llama", "bert", "mistral"])
def test_weights_that_are_no_numbers_are_named(family, weight):
    own = build(family)
    with torch.no_grad():
        for name, values in own.named_parameters():
            if values.ndim > 1 and ("query" in name or "q_proj" in name):
                values.fill_(weight)
    _refused(own.eval(), "its attention is NaN")


def _refused(model, message):
    with pytest.raises(UsageError, match=message) as caught:
        hs.load(model, word_tokenizer())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("pad", [-1, 61, 10**6, None])
def test_padding_ids_fill_and_do_nothing_else(pad):
    own = build("llama")
    own.config.pad_token_id = pad
    model, usual = load(own, word_tokenizer()), load(build("llama"), word_tokenizer())
    seen, right = Memory(), Memory()
    model.run(model.encode(TEXTS), seen)
    usual.run(usual.encode(TEXTS), right)
    for one, other in zip(seen.probabilities, right.probabilities, strict=True):
        assert (one - other)[0].abs().max() <= 1e-6


@pytest.mark.parametrize("family", ["llama", "bert", "bart"])
def test_configurations_that_return_tuples(family):
    own = build(family)
    own.config.return_dict = False
    model = load(own, word_tokenizer())
    assert model.support.replacement
    if family != "bart":
        assert model.logits(model.encode(TEXTS)).ndim == 3


@pytest.mark.parametrize("family", ["Bart", "MBart", "Pegasus", "BlenderbotSmall", "Marian"])
def test_a_decoder_alone_with_fewer_layers_than_its_encoder(family):
    config = getattr(hf, f"{family}Config")(
        vocab_size=61, d_model=32, encoder_layers=2, decoder_layers=3, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48, pad_token_id=0,
        max_position_embeddings=64, eos_token_id=2, decoder_start_token_id=0, forced_eos_token_id=2,
    )  # fmt: skip
    model = load(made(f"{family}ForCausalLM", config, 1.0), word_tokenizer())
    assert (model.layers, model.kind) == (3, "causal")
