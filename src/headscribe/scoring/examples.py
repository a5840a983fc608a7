"""A few texts whose attention is kept whole, so that a report needs no model."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from jaxtyping import UInt16

from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.plan import BatchPlan
from headscribe.text.passages import Passage

LEGIBLE = range(8, 65)
"""Lengths at which a matrix can be read; texts of such lengths are preferred as examples."""

FULL_SCALE = 65535
"""What a probability of 1 is stored as."""


@dataclass(frozen=True)
class Example:
    """One text with its real and predicted attention, quantised to 16 bits.

    Attributes:
        heads: attention of each head by its name, `7.10`.
        patterns: predictions of each pattern by its name; rows of zeros are uncovered.
    """

    passage: Passage
    heads: dict[str, UInt16[np.ndarray, "T T"]]
    patterns: dict[str, UInt16[np.ndarray, "T T"]]


def choose_examples(passages: Sequence[Passage], number: int) -> set[str]:
    """Pick texts by a hash of their identity, legible ones first."""

    def order(passage: Passage) -> tuple[bool, bytes]:
        name = passage.text_id.encode("utf-8", "surrogatepass")
        return len(passage) not in LEGIBLE, blake2b(name, digest_size=8).digest()

    return {passage.text_id for passage in sorted(passages, key=order)[:number]}


class ExampleCollector:
    """Copies the attention of the wanted texts of a batch, layer by layer."""

    def __init__(self, plan: BatchPlan, wanted: set[str]) -> None:
        self._plan = plan
        self._wanted = {
            b: passage for b, passage in enumerate(plan.passages) if passage.text_id in wanted
        }
        self._heads: dict[int, dict[str, UInt16[np.ndarray, "T T"]]] = {b: {} for b in self._wanted}

    def observe(self, call: LayerAttention) -> None:
        """Keep one layer."""
        attention = call.probabilities()
        for b, passage in self._wanted.items():
            length = len(passage)
            real = attention[b, :, :length, :length].float().cpu().numpy()
            for head, matrix in enumerate(real):
                self._heads[b][f"{call.layer}.{head}"] = _quantised(matrix)

    def examples(self, names: Sequence[str]) -> dict[str, Example]:
        """The kept texts by id, with what the patterns called `names` predict for them."""
        return {
            passage.text_id: Example(
                passage,
                self._heads[b],
                {
                    name: _quantised(line[b].to_dense())
                    for name, line in zip(names, self._plan.predictions, strict=True)
                },
            )
            for b, passage in self._wanted.items()
        }


def _quantised(matrix: np.ndarray) -> UInt16[np.ndarray, "T T"]:
    return np.rint(np.clip(matrix, 0, 1) * FULL_SCALE).astype(np.uint16)
