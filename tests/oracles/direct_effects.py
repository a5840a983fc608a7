"""Direct effects of a Llama's parts, written out in float64, row by row and token by token."""

from dataclasses import dataclass

import numpy as np

from tests.oracles.hint_blocking import Weights, _norm, _rotated, _softmax


@dataclass
class Apart:
    """A text taken apart: every part after the final norm with its scale frozen, `(..., T, d)`."""

    heads: np.ndarray
    mlps: np.ndarray
    embeddings: np.ndarray
    attention: np.ndarray
    logits: np.ndarray
    unembedding: np.ndarray


def taken_apart(
    weights: Weights, heads: int, theta: float, epsilon: float, ids: np.ndarray
) -> Apart:
    """Run a Llama of `heads` heads, grouped keys allowed, and keep what each part adds."""
    embedding = weights["model.embed_tokens.weight"]
    state = embedding[ids]
    length, added, mlps, seen = len(ids), [], [], []
    later = np.arange(length)[:, None] < np.arange(length)[None, :]
    layer = 0
    while f"model.layers.{layer}.self_attn.q_proj.weight" in weights:
        name = f"model.layers.{layer}."
        normed = _norm(state, weights[name + "input_layernorm.weight"], epsilon)
        parts = {part: normed @ weights[f"{name}self_attn.{part}_proj.weight"].T for part in "qkv"}
        size = parts["q"].shape[1] // heads
        split = {
            part: found.reshape(length, -1, size).transpose(1, 0, 2)
            for part, found in parts.items()
        }
        query, key, value = _rotated(split["q"], theta), _rotated(split["k"], theta), split["v"]
        output = weights[name + "self_attn.o_proj.weight"]
        mine, rows = [], []
        for head in range(heads):
            group = head // (heads // len(key))
            scores = query[head] @ key[group].T / np.sqrt(size)
            attention = _softmax(np.where(later, -np.inf, scores))
            rows.append(attention)
            mine.append(attention @ value[group] @ output[:, head * size : (head + 1) * size].T)
        state = state + sum(mine)
        normed = _norm(state, weights[name + "post_attention_layernorm.weight"], epsilon)
        gate = normed @ weights[name + "mlp.gate_proj.weight"].T
        up = normed @ weights[name + "mlp.up_proj.weight"].T
        mlp = (gate / (1 + np.exp(-gate)) * up) @ weights[name + "mlp.down_proj.weight"].T
        state = state + mlp
        added.append(mine)
        mlps.append(mlp)
        seen.append(rows)
        layer += 1
    scale = 1 / np.sqrt((state**2).mean(-1, keepdims=True) + epsilon)
    final = weights["model.norm.weight"]
    unembedding = weights.get("lm_head.weight", embedding)
    carried = [np.array(part) * scale * final for part in (added, mlps, embedding[ids])]
    return Apart(*carried, np.array(seen), state * scale * final @ unembedding.T, unembedding)


def figures(apart: Apart, ids: np.ndarray, content: float, others: int) -> dict:
    """By (head, target): rows, mean effect and mean effect on other tokens at the same distance.

    One text whose first token is its only sink; heads are numbered layer by layer.
    """
    centred = apart.unembedding - apart.unembedding.mean(0)
    heads = apart.heads.reshape(-1, *apart.heads.shape[2:])
    attention = apart.attention.reshape(-1, *apart.attention.shape[2:])
    length, found = len(ids), {}
    for number, (head, rows) in enumerate(zip(heads, attention, strict=True)):
        for target in range(3):
            values, expected = [], []
            for row in range(1, length):
                if rows[row, 1:].sum() < content:
                    continue
                read = 1 + int(rows[row, 1:].argmax())
                place = (read, row + 1, row)[target]
                if place >= length:
                    continue
                distance = row - place
                at = [
                    query - distance
                    for query in range(length)
                    if 1 <= query - distance < length and query != row
                ]
                if len(at) < others:
                    continue
                effect = [float(head[row] @ centred[ids[where]]) for where in (place, *at)]
                values.append(effect[0])
                expected.append(np.mean(effect[1:]))
            found[number, target] = len(values), np.mean(values), np.mean(expected)
    return found
