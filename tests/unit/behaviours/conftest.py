"""Stories with words, tags and trees, and heads that do what we say."""

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from headscribe.behaviours.answer import Answer
from headscribe.behaviours.budget import Accountant
from headscribe.behaviours.card import Card
from headscribe.behaviours.measure import Collector
from headscribe.core.progress import silent
from headscribe.core.visibility import FULL
from headscribe.models.inputs import open_inputs
from headscribe.models.recorded import Recording
from headscribe.relations.language import parse
from headscribe.scoring.engine import Engine
from headscribe.text.corpora import SAMPLES, read
from headscribe.text.passages import Passage

TOKENS = 40


@pytest.fixture(scope="package")
def stories() -> tuple[tuple[Passage, ...], frozenset[str]]:
    """The sample stories, annotated; and the word fields that all of them have."""
    inputs = open_inputs("bundled:stories", read(SAMPLES), None, None, TOKENS, silent)
    return inputs.passages, inputs.provides


def planted(
    passage: Passage, relations: Sequence[str], strength: float, chance: np.random.Generator
) -> np.ndarray:
    """Heads that give a share to a relation's keys where there are any, the rest by distance.

    `A[h] = strength * uniform over related keys + (1 - strength) * noisy decay`, shape `(H, T, T)`.
    """
    length = len(passage)
    distance = np.abs(np.arange(length)[:, None] - np.arange(length)[None, :])
    heads = []
    for relation in relations:
        noise = chance.gamma(2.0, size=(length, length)) / (1 + distance)
        noise /= noise.sum(1, keepdims=True)
        related = np.asarray(parse(relation).dense(passage, FULL), bool)
        related[:, passage.is_special] = False
        count = related.sum(1, keepdims=True)
        share = np.where(count > 0, strength, 0.0)
        heads.append(share * related / np.maximum(count, 1) + (1 - share) * noise)
    return np.array(heads, np.float32)


def read_all(
    reader: Collector | Accountant, items: Iterable[tuple[Passage, np.ndarray]], heads: int = 3
) -> None:
    """Let texts be read one by one, some heads at a time, as if they were layers."""
    for passage, attention in items:
        reading = reader.reading([passage])
        for first in range(0, len(attention), heads):
            reading.read(attention[None, first : first + heads], first)
        reading.commit()


def explained(
    source: Recording, passages: Sequence[Passage], provides: frozenset[str]
) -> tuple[Card, ...]:
    """The cards of all heads of a recording."""
    engine = Engine(source, passages, (), companion=Answer(source, passages, provides))
    progress = engine.start()
    engine.run(progress, lambda now, done: None)
    assert isinstance(progress.companion, Answer)
    return progress.companion.cards()
