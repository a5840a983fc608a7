"""The column profiles of one question: what each head reads of it, with a hint and without."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float

from headscribe.core.heads import HeadId
from headscribe.hinting.conditions import Condition
from headscribe.hinting.measures import profiles_of
from headscribe.hinting.reading import Unit
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model

SHOWN: tuple[Condition, ...] = ("none", "wrong", "note")

Part = Literal["shared", "insertion", "aside"]
"""A token that all conditions have, one of the insertion, or one merged with its edge."""


@dataclass(frozen=True, eq=False)
class ColumnProfile:
    """One head's profile of one text: the share of each token in what its rows read.

    Attributes:
        shared: index among the tokens that the text without insertion has; -1 for others.
        weight: mean attention of the compared rows, sums to 1.
    """

    head: HeadId
    condition: Condition
    tokens: tuple[str, ...]
    shared: tuple[int, ...]
    part: tuple[Part, ...]
    weight: Float[np.ndarray, " T"]


def profiles(model: Model, unit: Unit, heads: Sequence[HeadId]) -> list[ColumnProfile]:
    """The profiles of some heads on one question, from one pass over three of its conditions."""
    observer = _Profiler(unit, heads)
    model.logits([unit.text(condition) for condition in SHOWN], observer=observer, last=True)
    made = []
    for head in heads:
        for at, condition in enumerate(SHOWN):
            tokens, shared, part = _described(model, unit, condition)
            weight = observer.found[head][at][: len(tokens)]
            made.append(ColumnProfile(head, condition, tokens, shared, part, weight))
    return made


def _described(
    model: Model, unit: Unit, condition: Condition
) -> tuple[tuple[str, ...], tuple[int, ...], tuple[Part, ...]]:
    ids = unit.text(condition).ids.tolist()
    tokens = tuple(str(token) for token in model.tokenizer.convert_ids_to_tokens(ids))
    shared = np.full(len(ids), -1)
    if condition == "none":
        shared[:] = np.arange(len(ids))
    else:
        first, second, _ = unit.shared(condition)
        shared[second] = first
    begin, end = unit.asked.prompts[condition].tokens.inserted
    part: list[Part] = [
        "insertion" if begin <= at < end else "shared" if shared[at] >= 0 else "aside"
        for at in range(len(ids))
    ]
    return tokens, tuple(shared.tolist()), tuple(part)


class _Profiler:
    def __init__(self, unit: Unit, heads: Sequence[HeadId]) -> None:
        self._heads = heads
        self._rows = []
        for condition in SHOWN:
            first, second, after = unit.shared("wrong" if condition == "none" else condition)
            positions = first if condition == "none" else second
            self._rows.append(torch.from_numpy(positions[len(positions) - after :]))
        self.found: dict[HeadId, list[np.ndarray]] = {head: [] for head in heads}

    def observe(self, call: AttentionCall) -> None:
        chosen = [head for head in self._heads if head.layer == call.layer]
        if not chosen:
            return
        attention = call.probabilities()[:, [head.head for head in chosen]]
        for text, rows in enumerate(self._rows):
            read = profiles_of(attention[text], rows.to(attention.device))
            for head, weight in zip(chosen, read.double().cpu().numpy(), strict=True):
                self.found[head].append(weight)
