"""Heads of which nothing is to be said: whatever name they get is wrong.

Three kinds, made anew by seed from the texts of the compiled models: heads with random weights;
known heads whose keys were permuted row by row; and heads that read tokens, on another text of the
same length. That a head spreads its attention evenly may be true of any of them; it is no name
here. On another text places and the start stay what they were, and a head that reads the same keys
from everywhere still does: names for these, which ask for no word, are true of it.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from headscribe.core.arrays import Attention, HeadsAttention
from headscribe.exam.material import Known
from headscribe.relations import parse
from headscribe.text.passages import Passage

HEADS, WIDTH = 8, 16

EVEN = "spreads evenly"
"""What may be said of any negative."""

SWAPPED = "annotation of another text"
"""The kind of which names that ask for no word are true."""


def negatives(models: tuple[Known, ...], seed: int) -> Iterator[Known]:
    """One model of each kind, eight heads each."""
    draw = np.random.default_rng(seed)
    texts = models[int(draw.integers(len(models)))]
    yield _known("random weights", texts, _random(texts.passages, draw))
    some = [(models[i], h) for i in draw.permutation(len(models)) for h in range(models[i].heads)]
    yield from _altered("keys permuted", some, draw, permuted)
    reading = [(model, h) for model, h in some if not _of_positions(model, h)]
    yield from _altered(SWAPPED, reading, draw, swapped)


def _of_positions(model: Known, h: int) -> bool:
    truth = model.truths[h]
    return truth is None or parse(truth.relation).of_positions


def _known(name: str, like: Known, attention: tuple[HeadsAttention, ...]) -> Known:
    truths = (None,) * len(attention[0])
    return Known(name, "negative", like.passages, truths, attention, like.seen)


def _random(passages: tuple[Passage, ...], draw: np.random.Generator) -> tuple[HeadsAttention, ...]:
    """Attention of heads with random weights over random vectors of tokens and places."""
    size = max(map(len, passages))
    token = draw.normal(size=(1 + max(int(p.ids.max()) for p in passages), WIDTH))
    place = draw.normal(size=(size, WIDTH))
    score = draw.normal(size=(HEADS, WIDTH, WIDTH)) / WIDTH
    found = []
    for passage in passages:
        vectors = (token[passage.ids] + place[: len(passage)]) / np.sqrt(2)
        logits = np.einsum("ia,hab,jb->hij", vectors, score, vectors) / np.sqrt(WIDTH)
        weight = np.exp(logits - logits.max(-1, keepdims=True))
        found.append((weight / weight.sum(-1, keepdims=True)).astype(np.float32))
    return tuple(found)


def permuted(model: Known, h: int, draw: np.random.Generator) -> tuple[Attention, ...]:
    """A head's rows with their visible keys in another order each."""
    found = []
    for passage in model.passages:
        rows = model.of(passage)[h].copy()
        seen = model.seen.dense(len(passage))
        for row, keys in zip(rows, seen, strict=True):
            row[keys] = draw.permutation(row[keys])
        found.append(rows)
    return tuple(found)


def swapped(model: Known, h: int, draw: np.random.Generator) -> tuple[Attention, ...]:
    """A head's attention on another text of the same length, for every text that has one."""
    by_length: dict[int, list[int]] = {}
    for i, passage in enumerate(model.passages):
        by_length.setdefault(len(passage), []).append(i)
    other = np.arange(len(model.passages))
    for mine in by_length.values():
        order = draw.permutation(mine)
        other[order] = np.roll(order, 1)
    return tuple(model.attention[i][h] for i in other)


def _altered(
    name: str,
    heads: Sequence[tuple[Known, int]],
    draw: np.random.Generator,
    alter: Callable[[Known, int, np.random.Generator], tuple[Attention, ...]],
) -> Iterator[Known]:
    """Some heads of models that read the same texts and see alike, altered."""
    first = heads[0][0]
    like = [
        (model, h)
        for model, h in heads
        if model.passages is first.passages and model.seen == first.seen
    ][:HEADS]
    each = [alter(model, h, draw) for model, h in like]
    attention = tuple(np.stack(text) for text in zip(*each, strict=True))
    yield _known(name, first, attention)
