"""A Llama written out in float64, whose heads can be kept from reading chosen tokens.

Nothing of the library is used: no tap, no attention interface, no batch.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Weights = dict[str, np.ndarray]


def last_logits(
    weights: Weights,
    heads: int,
    theta: float,
    epsilon: float,
    ids: np.ndarray,
    blocked: Mapping[tuple[int, int], float],
    hidden: tuple[int, int] = (0, 0),
) -> np.ndarray:
    """Predictions behind one text of a Llama with tied embeddings and as many key heads as heads.

    Heads `(layer, head)` in `blocked` do not read tokens `hidden[0]` to `hidden[1] - 1` from any
    later token: their scores there are minus infinity. Where `blocked` says a strength `s` and not
    1, their attention is `(1 - s)` times their own and `s` times that.
    """
    embedding = weights["model.embed_tokens.weight"]
    state = embedding[ids]
    length, width = state.shape
    later = np.arange(length)[:, None] < np.arange(length)[None, :]
    first, last = hidden
    cut = np.zeros_like(later)
    cut[last:, first:last] = True
    layer = 0
    while f"model.layers.{layer}.self_attn.q_proj.weight" in weights:
        name = f"model.layers.{layer}."
        normed = _norm(state, weights[name + "input_layernorm.weight"], epsilon)
        query, key, value = (
            (normed @ weights[f"{name}self_attn.{part}_proj.weight"].T)
            .reshape(length, heads, width // heads)
            .transpose(1, 0, 2)
            for part in "qkv"
        )
        query, key = _rotated(query, theta), _rotated(key, theta)
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(width // heads)
        attention = _softmax(np.where(later, -np.inf, scores))
        for head in range(heads):
            if (layer, head) in blocked:
                without = _softmax(np.where(later | cut, -np.inf, scores[head]))
                attention[head] += blocked[layer, head] * (without - attention[head])
        mixed = (attention @ value).transpose(1, 0, 2).reshape(length, width)
        state = state + mixed @ weights[name + "self_attn.o_proj.weight"].T
        normed = _norm(state, weights[name + "post_attention_layernorm.weight"], epsilon)
        gate = normed @ weights[name + "mlp.gate_proj.weight"].T
        up = normed @ weights[name + "mlp.up_proj.weight"].T
        down = weights[name + "mlp.down_proj.weight"]
        state = state + (gate / (1 + np.exp(-gate)) * up) @ down.T
        layer += 1
    return _norm(state[-1], weights["model.norm.weight"], epsilon) @ embedding.T


def _softmax(scores: np.ndarray) -> np.ndarray:
    raised = np.exp(scores - scores.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


def _norm(state: np.ndarray, weight: np.ndarray, epsilon: float) -> np.ndarray:
    return state / np.sqrt((state**2).mean(-1, keepdims=True) + epsilon) * weight


def _rotated(vectors: np.ndarray, theta: float) -> np.ndarray:
    """Rotary positions: the first half of a head's dimensions turned against the second."""
    half = vectors.shape[-1] // 2
    angle = np.arange(vectors.shape[1])[:, None] * theta ** (-np.arange(half) / half)
    one, other = vectors[..., :half], vectors[..., half:]
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.concatenate([one * cosine - other * sine, other * cosine + one * sine], -1)
