"""Measure a causal language model: perplexity, previous-token heads, induction heads."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

HeadScores = Float[Tensor, "layers heads"]
WORDS = 80  # of each story, for the perplexities
UNIT = 50  # random tokens, repeated once


@dataclass(frozen=True)
class Perplexity:
    """exp(total negative log-likelihood / number of tokens or words)."""

    per_token: float
    per_word: float


@dataclass(frozen=True)
class BestHead:
    """The head with the highest mean attention to the place asked for (0-based)."""

    layer: int
    head: int
    attention: float


@torch.no_grad()
def perplexity(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stories: Sequence[str]
) -> Perplexity:
    """Perplexity on the first 80 whitespace-separated words of each story; BOS is given."""
    nll, tokens, words = 0.0, 0, 0
    for story in stories:
        kept = list(re.finditer(r"\S+", story))[:WORDS]
        ids = encode(tokenizer, story[: kept[-1].end()])
        logits = model(input_ids=ids).logits[0, :-1].float()
        nll += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        tokens += ids.shape[1] - 1
        words += len(kept)
    return Perplexity(per_token=math.exp(nll / tokens), per_word=math.exp(nll / words))


@torch.no_grad()
def previous_token_scores(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, stories: Sequence[str]
) -> HeadScores:
    """Each head's mean attention on the previous token, over all tokens but BOS of all stories."""
    total, rows = torch.zeros(()), 0
    for story in stories:
        ids = encode(tokenizer, story)[:, :512]
        attention = head_attention(model, ids)
        total = total + attention.diagonal(-1, dim1=2, dim2=3).sum(-1)
        rows += ids.shape[1] - 1
    return total / rows


@torch.no_grad()
def induction_scores(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sequences: int = 50,
    seed: int = 0,
) -> HeadScores:
    """Each head's mean attention from a repeated token to the token after its first occurrence.

    The text is BOS, 50 random tokens, and the same 50 again; query `1 + 50 + k` is asked for its
    attention to key `1 + k + 1`, for `k` in 0..49.
    """
    generator = torch.Generator().manual_seed(seed)
    special = set(tokenizer.all_special_ids)
    ordinary = torch.tensor([index for index in range(len(tokenizer)) if index not in special])
    total = torch.zeros(())
    query = torch.arange(1 + UNIT, 1 + 2 * UNIT)
    for _ in range(sequences):
        unit = ordinary[torch.randint(len(ordinary), (UNIT,), generator=generator)]
        ids = torch.cat([torch.tensor([tokenizer.bos_token_id]), unit, unit])[None]
        total = total + head_attention(model, ids)[:, :, query, query - UNIT + 1].mean(-1)
    return total / sequences


def best_head(scores: HeadScores) -> BestHead:
    """The head with the highest score."""
    layer, head = divmod(int(scores.argmax()), scores.shape[1])
    return BestHead(layer, head, float(scores[layer, head]))


def encode(tokenizer: PreTrainedTokenizerBase, text: str) -> Int[Tensor, "1 tokens"]:
    """The ids of a text, checked to begin with BOS."""
    ids = tokenizer(text, return_tensors="pt", verbose=False)["input_ids"]
    if ids[0, 0] != tokenizer.bos_token_id:
        raise ValueError(f"expected the tokenizer to put BOS first, got id {ids[0, 0]}")
    return ids


def head_attention(
    model: PreTrainedModel, ids: Int[Tensor, "1 tokens"]
) -> Float[Tensor, "layers heads query key"]:
    """Attention of every head; the model must be loaded with `attn_implementation='eager'`."""
    return torch.cat(model(input_ids=ids, output_attentions=True).attentions).float()
