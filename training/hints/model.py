"""The model's shape, and how it begins."""

from __future__ import annotations

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from training.hints.tokenizer import CONTEXT

WIDTH = 64
LAYERS = 4
HEADS = 8


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A fresh Llama of 0.12 million parameters.

    Queries and keys begin alike, so that tokens attend to their like: what the search for the
    wanted thing among the choices needs.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=CONTEXT,
        rope_theta=100.0,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        nn.init.normal_(model.model.embed_tokens.weight, std=0.3)
        for layer in model.model.layers:
            attention = layer.self_attn
            nn.init.normal_(attention.q_proj.weight, std=WIDTH**-0.5)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            nn.init.normal_(attention.v_proj.weight, std=WIDTH**-0.5)
            nn.init.normal_(attention.o_proj.weight, std=0.3 * WIDTH**-0.5)
    return model
