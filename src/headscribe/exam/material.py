"""Models whose heads are known: texts, what every head attends to on them, and its truth.

The material lies beside this file as recordings: `NAME.json` has the texts and the truth of every
head as a relation, `NAME.npz` for each model an array `(texts, heads, T, T)` in units of 1/250,
padded to the longest text. `benchmarks/exam/compile_programs.py` and `train_toys.py` make it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped

from headscribe.core.arrays import Attention, HeadsAttention
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.models.calls import AttentionCall, Observer
from headscribe.patterns.relational import shared_evaluator
from headscribe.relations import parse
from headscribe.relations.syntax import Logic, canonical, children
from headscribe.text.alignment import align
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage

UNIT = 250
"""What 1 is stored as."""

FRESH = 0.375
"""The share of a model's texts that no formula is fitted on."""

BOS = "BOS"

KINDS = ("compiled", "trained")
"""Compiled from programs; trained on tasks that leave a head one thing to do."""


@dataclass(frozen=True)
class Truth:
    """What a head is known to do.

    Attributes:
        head: where it stands in its own model, `LAYER.HEAD`.
        relation: it reads the related keys that are not special evenly, and the start of the text
            where there are none; the start itself reads itself.
        and_start: it reads the start as one of them always.
        model: its model.
    """

    head: str
    relation: str
    and_start: bool = False
    model: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """The things that it does, where these are several."""
        expression = parse(self.relation).expression
        several = isinstance(expression, Logic) and expression.operator == "or"
        return tuple(map(canonical, children(expression))) if several else ()

    @property
    def terms(self) -> int:
        """Terms that a formula may take to say it: its own, one for the start, one for its row."""
        return max(len(self.parts), 1) + 2

    def rows(self, passage: Passage, visibility: Visibility) -> Attention:
        """What it reads, `(T, T)`."""
        cells = shared_evaluator(passage, visibility).cells(parse(self.relation))
        weight = np.zeros((len(passage), len(passage)))
        weight[cells.query, cells.key] = 1
        weight[:, passage.is_special] = 0
        weight[:, 0] = 1 if self.and_start else np.maximum(weight[:, 0], weight.sum(1) == 0)
        weight[0] = np.eye(len(passage))[0]
        rows: Float[np.ndarray, "T T"] = weight / weight.sum(1, keepdims=True)
        return rows


@dataclass(frozen=True)
class Known:
    """A model whose heads are known; a source of attention, its heads in one layer.

    Attributes:
        name: the program.
        kind: `compiled`, `trained` or `negative`.
        passages: its texts.
        truths: of every head; None where nothing is known, which goes for negatives.
        attention: of every text, `(H, T, T)`.
        seen: what its heads see.
    """

    name: str
    kind: str
    passages: tuple[Passage, ...]
    truths: tuple[Truth | None, ...]
    attention: tuple[HeadsAttention, ...]
    seen: Visibility

    layers = 1

    @property
    def heads(self) -> int:
        """Its heads."""
        return len(self.truths)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {passage.text_id: i for i, passage in enumerate(self.passages)}

    @property
    def parts(self) -> tuple[tuple[Passage, ...], tuple[Passage, ...]]:
        """Texts to fit to, and fresh ones."""
        fresh = round(len(self.passages) * FRESH)
        return self.passages[:-fresh], self.passages[-fresh:]

    def visibility(self, layer: int) -> Visibility:
        """What its heads see."""
        return self.seen

    def of(self, passage: Passage) -> HeadsAttention:
        """What its heads attend to on one of its texts."""
        return self.attention[self._place[passage.text_id]]

    def run(self, batch: Sequence[Passage], observer: Observer) -> None:
        """Show `observer` the attention on a batch."""
        lengths = torch.tensor([len(passage) for passage in batch])
        width = int(lengths.max())
        padded = np.zeros((len(batch), self.heads, width, width), np.float32)
        for b, passage in enumerate(batch):
            padded[b, :, : len(passage), : len(passage)] = self.of(passage)
        weights = torch.from_numpy(padded)
        observer.observe(AttentionCall(0, lengths, tuple(batch), lambda: weights, None))


def passages_of(texts: Sequence[str], prefix: str) -> tuple[Passage, ...]:
    """Texts of single words as passages, every word a token, the start before them."""
    words = sorted({*chain.from_iterable(text.split() for text in texts)})
    number = {word: i for i, word in enumerate([BOS, *words])}
    sources = [Text(f"{prefix}{i}", f"{prefix}{i}", text) for i, text in enumerate(texts)]
    passages = []
    for source, annotated in zip(sources, Plain().annotate(sources), strict=True):
        tokens, spans, at = source.text.split(), [(0, 0)], 0
        for token in tokens:
            spans.append((at, at + len(token)))
            at += len(token) + 1
        encoding = Encoding(
            (BOS, *tokens),
            np.array([number[token] for token in (BOS, *tokens)], np.int64),
            np.array(spans, np.int64),
            np.arange(len(tokens) + 1) == 0,
        )
        passages.append(align(source, encoding, annotated))
    return tuple(passages)


@cache
def known(kind: str) -> tuple[Known, ...]:
    """The models of a kind that is kept; there are `KINDS`."""
    folder = Path(__file__).parent
    described: dict[str, Any] = json.loads((folder / f"{kind}.json").read_text("utf-8"))
    texts = {name: passages_of(own, f"{name}-") for name, own in described["texts"].items()}
    with (folder / f"{kind}.npz").open("rb") as file, np.load(file) as arrays:
        return tuple(_model(one, kind, texts[one["texts"]], arrays) for one in described["models"])


def together(models: Sequence[Known]) -> list[Known]:
    """The heads of models that read the same texts and see alike as those of one model."""
    groups: dict[tuple[int, Visibility], list[Known]] = {}
    for model in models:
        groups.setdefault((id(model.passages), model.seen), []).append(model)
    return [
        replace(
            group[0],
            truths=tuple(chain.from_iterable(model.truths for model in group)),
            attention=tuple(map(np.concatenate, zip(*(m.attention for m in group), strict=True))),
        )
        for group in groups.values()
    ]


def _model(
    one: dict[str, Any],
    kind: str,
    passages: tuple[Passage, ...],
    arrays: Any,  # noqa: ANN401
) -> Known:
    stored: Shaped[np.ndarray, "texts H W W"] = arrays[one["name"]]
    attention = []
    for passage, padded in zip(passages, stored, strict=True):
        values = padded[:, : len(passage), : len(passage)].astype(np.float32)
        attention.append(values / values.sum(-1, keepdims=True))
    truths = tuple(Truth(**truth, model=one["name"]) for truth in one["heads"])
    seen = CAUSAL if one["causal"] else FULL
    return Known(one["name"], kind, passages, truths, tuple(attention), seen)
