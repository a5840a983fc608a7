"""Random passages, patterns and attention for the tests of scoring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
import torch

from headscribe.core.errors import UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import FULL, Visibility
from headscribe.models.calls import AttentionCall
from headscribe.patterns.contract import Family
from headscribe.patterns.relational import Group
from headscribe.scoring.observer import LayerObserver
from headscribe.text.passages import Encoding, Passage, Ragged, Words


def passage(name: str, length: int, special: bool = True, group: str | None = None) -> Passage:
    """A passage of so many tokens, its first and last special."""
    flags = np.zeros(length, bool)
    if special:
        flags[[0, -1]] = True
    tokens = tuple(f"{name}{i}" for i in range(length))
    spans = np.zeros((length, 2), np.int64)
    encoding = Encoding(tokens, np.arange(length), spans, flags)
    words = Words((), np.zeros((0, 2), np.int64))
    return Passage(name, group or name, "", encoding, words, Ragged.from_lists([[]] * length))


@dataclass(frozen=True)
class Fixed:
    """A pattern made of a function."""

    name: str
    rows: Callable[[Passage, Visibility], Rows]
    family: Family = "lexical"
    sentence: str = "A pattern for tests."
    source: str = "tests"
    needs: frozenset[str] = frozenset()
    looks_ahead: bool = True
    needs_later_keys: bool = False
    mirror: str | None = None
    group: Group = "custom"

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        return self.rows(passage, visibility)


def scattered(name: str, share: float, fail_on: str | None = None) -> Fixed:
    """A pattern of random keys and weights on a share of the rows, the same for a text always."""

    def rows(passage: Passage, visibility: Visibility) -> Rows:
        if passage.text_id == fail_on:
            raise UsageError("this pattern fails here")
        rng = np.random.default_rng(crc32(f"{name} {passage.text_id}".encode()))
        length = len(passage)
        weight = rng.random((length, length)) * (rng.random((length, length)) < 0.3)
        weight *= visibility.dense(length) & (rng.random((length, 1)) < share)
        return Rows.from_dense(weight)

    return Fixed(name, rows)


def baselines() -> list[Fixed]:
    """The fixed baselines, each covering every row."""

    def at(key: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]) -> Callable[..., Rows]:
        def rows(passage: Passage, visibility: Visibility) -> Rows:
            index = np.arange(len(passage))
            first, last = visibility.first(len(passage)), visibility.last(len(passage))
            return Rows.from_cells(index, key(index, first, last), len(passage))

        return rows

    def uniform(passage: Passage, visibility: Visibility) -> Rows:
        return Rows.empty(len(passage)).filled("uniform", visibility)

    return [
        Fixed("uniform", uniform, "positional", group="baseline"),
        Fixed("first_token", at(lambda i, first, last: first), "sink", group="baseline"),
        Fixed("last_token", at(lambda i, first, last: last), "sink", group="baseline"),
        Fixed("self", at(lambda i, first, last: i), "positional", group="baseline"),
        Fixed(
            "previous",
            at(lambda i, first, last: np.maximum(i - 1, first)),
            "positional",
            group="baseline",
        ),
        Fixed(
            "next",
            at(lambda i, first, last: np.minimum(i + 1, last)),
            "positional",
            group="baseline",
        ),
    ]


@dataclass
class Made:
    """A source of random attention, made anew for each text from its name."""

    layers: int = 2
    heads: int = 3
    seen: Visibility = FULL
    row_sum: float = 1.0

    def visibility(self, layer: int) -> Visibility:
        return self.seen

    def attention(self, passage: Passage) -> np.ndarray:
        rng = np.random.default_rng(crc32(passage.text_id.encode()))
        length = len(passage)
        scores = rng.normal(size=(self.layers, self.heads, length, length)) * 2
        weight = np.exp(scores) * self.seen.dense(length)
        return (weight / weight.sum(-1, keepdims=True) * self.row_sum).astype(np.float32)

    def run(self, batch: Sequence[Passage], observer: LayerObserver) -> None:
        lengths = torch.tensor([len(item) for item in batch])
        width = int(lengths.max())
        rng = np.random.default_rng(0)
        padded = rng.random((self.layers, len(batch), self.heads, width, width))
        for b, item in enumerate(batch):
            padded[:, b, :, : len(item), len(item) :] = 0
            padded[:, b, :, : len(item), : len(item)] = self.attention(item)
        for layer in range(self.layers):
            weights = torch.from_numpy(padded[layer].astype(np.float32))
            observer.observe(AttentionCall(layer, lengths, tuple(batch), weights.float, None))
