"""Tiny random models of every supported family."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass

import torch
import transformers as hf

VOCABULARY = 61
WINDOW = 4
_SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_GROUPED = _SIZE | {"num_key_value_heads": 2, "max_position_embeddings": 64}
_BERT = _SIZE | {"max_position_embeddings": 64, "type_vocab_size": 2}
_MIXED = ["sliding_attention", "full_attention", "sliding_attention"]


@dataclass(frozen=True)
class Family:
    """One architecture: how to build it and what is true of it.

    `windows` is the sliding window of each layer; `stacks` the stacks that can be surveyed.
    """

    build: Callable[[], hf.PreTrainedModel]
    causal: bool
    windows: tuple[int | None, ...] = (None, None, None)
    stacks: tuple[str | None, ...] = (None,)
    layers: int = 3


def _model(kind: str, config: hf.PretrainedConfig) -> Callable[[], hf.PreTrainedModel]:
    return lambda: getattr(hf, kind)(deepcopy(config))


def _t5() -> hf.PreTrainedModel:
    return hf.T5ForConditionalGeneration(
        hf.T5Config(
            vocab_size=VOCABULARY,
            d_model=32,
            d_kv=8,
            d_ff=48,
            num_layers=2,
            num_decoder_layers=3,
            num_heads=4,
            relative_attention_num_buckets=8,
            relative_attention_max_distance=12,
            decoder_start_token_id=0,
        )
    )


def _bart() -> hf.PreTrainedModel:
    return hf.BartForConditionalGeneration(
        hf.BartConfig(
            vocab_size=VOCABULARY,
            d_model=32,
            encoder_layers=2,
            decoder_layers=3,
            encoder_attention_heads=4,
            decoder_attention_heads=4,
            encoder_ffn_dim=48,
            decoder_ffn_dim=48,
            max_position_embeddings=64,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            decoder_start_token_id=2,
            forced_eos_token_id=2,
        )
    )


FAMILIES: dict[str, Family] = {
    "bert": Family(_model("BertForMaskedLM", hf.BertConfig(**_BERT)), False),
    "roberta": Family(_model("RobertaForMaskedLM", hf.RobertaConfig(**_BERT)), False),
    "distilbert": Family(
        _model(
            "DistilBertForMaskedLM",
            hf.DistilBertConfig(
                vocab_size=VOCABULARY,
                dim=32,
                hidden_dim=48,
                n_layers=3,
                n_heads=4,
                max_position_embeddings=64,
                pad_token_id=0,
            ),
        ),
        False,
    ),
    "albert": Family(
        _model(
            "AlbertForMaskedLM", hf.AlbertConfig(**_BERT, embedding_size=16, num_hidden_groups=1)
        ),
        False,
    ),
    "electra": Family(
        _model("ElectraForMaskedLM", hf.ElectraConfig(**_BERT, embedding_size=16)), False
    ),
    "modernbert": Family(
        _model(
            "ModernBertForMaskedLM",
            hf.ModernBertConfig(
                **_SIZE | {"num_hidden_layers": 4},
                max_position_embeddings=64,
                local_attention=2 * (WINDOW - 1),
                global_attn_every_n_layers=3,
                cls_token_id=1,
                sep_token_id=2,
            ),
        ),
        False,
        (None, WINDOW, WINDOW, None),
        layers=4,
    ),
    "gpt2": Family(
        _model(
            "GPT2LMHeadModel",
            hf.GPT2Config(
                vocab_size=VOCABULARY,
                n_embd=32,
                n_layer=3,
                n_head=4,
                n_positions=64,
                bos_token_id=1,
                eos_token_id=2,
            ),
        ),
        True,
    ),
    "gpt_neox": Family(
        _model("GPTNeoXForCausalLM", hf.GPTNeoXConfig(**_SIZE, max_position_embeddings=64)), True
    ),
    "opt": Family(
        _model(
            "OPTForCausalLM",
            hf.OPTConfig(
                vocab_size=VOCABULARY,
                hidden_size=32,
                ffn_dim=48,
                num_hidden_layers=3,
                num_attention_heads=4,
                max_position_embeddings=64,
                word_embed_proj_dim=32,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
            ),
        ),
        True,
    ),
    "llama": Family(_model("LlamaForCausalLM", hf.LlamaConfig(**_GROUPED)), True),
    "mistral": Family(
        _model("MistralForCausalLM", hf.MistralConfig(**_GROUPED, sliding_window=WINDOW)),
        True,
        (WINDOW,) * 3,
    ),
    "qwen3": Family(_model("Qwen3ForCausalLM", hf.Qwen3Config(**_GROUPED, head_dim=8)), True),
    "qwen3_windows": Family(
        _model(
            "Qwen3ForCausalLM",
            hf.Qwen3Config(
                **_GROUPED,
                head_dim=8,
                use_sliding_window=True,
                sliding_window=WINDOW,
                max_window_layers=0,
                layer_types=_MIXED,
            ),
        ),
        True,
        (WINDOW, None, WINDOW),
    ),
    "gemma2": Family(
        _model(
            "Gemma2ForCausalLM",
            hf.Gemma2Config(
                **_GROUPED,
                head_dim=8,
                query_pre_attn_scalar=8,
                sliding_window=WINDOW,
                attn_logit_softcapping=0.5,
                layer_types=_MIXED,
            ),
        ),
        True,
        (WINDOW, None, WINDOW),
    ),
    "gemma3": Family(
        _model(
            "Gemma3ForCausalLM",
            hf.Gemma3TextConfig(
                **_GROUPED,
                head_dim=8,
                query_pre_attn_scalar=8,
                sliding_window=WINDOW,
                layer_types=_MIXED,
            ),
        ),
        True,
        (WINDOW, None, WINDOW),
    ),
    "phi3": Family(_model("Phi3ForCausalLM", hf.Phi3Config(**_GROUPED)), True),
    "phi3_window": Family(
        _model("Phi3ForCausalLM", hf.Phi3Config(**_GROUPED, sliding_window=WINDOW)),
        True,
        (WINDOW,) * 3,
    ),
    "olmo2": Family(_model("Olmo2ForCausalLM", hf.Olmo2Config(**_GROUPED)), True),
    "smollm3": Family(
        _model("SmolLM3ForCausalLM", hf.SmolLM3Config(**_GROUPED)),
        True,
    ),
    "gpt_oss": Family(
        _model(
            "GptOssForCausalLM",
            hf.GptOssConfig(
                **_GROUPED,
                head_dim=8,
                num_local_experts=2,
                num_experts_per_tok=1,
                sliding_window=WINDOW,
                layer_types=_MIXED,
            ),
        ),
        True,
        (WINDOW, None, WINDOW),
    ),
    "t5": Family(_t5, False, (None, None), ("encoder", "decoder"), layers=2),
    "bart": Family(_bart, False, (None, None), ("encoder", "decoder"), layers=2),
}


def build(name: str) -> hf.PreTrainedModel:
    """A family's model, the same at every call, with attention that is far from uniform."""
    torch.manual_seed(7)
    model = FAMILIES[name].build().eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.mul_(1 if name == "t5" else 10)
        for module in model.modules():
            if hasattr(module, "sinks"):
                module.sinks.normal_()
    return model
