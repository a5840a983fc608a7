"""Attention that is read twice: what a model gave is kept on disk in between, as far as it may."""

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import torch

from headscribe.core.visibility import Visibility
from headscribe.models.calls import AttentionCall
from headscribe.models.recorded import Recording
from headscribe.scoring.observer import LayerAttention, LayerObserver, Observers, Source
from headscribe.text.passages import Passage

KEPT = 1 << 31
"""Bytes of attention that are kept at most, and never more than a quarter of the free disk; texts
beyond them take a second forward pass."""


@dataclass
class Rereading:
    """A source that shows texts a second time without the model.

    Attributes:
        source: the model; a recording is read again as it is.
        file: an empty one to keep attention in.
    """

    source: Source
    file: IO[bytes]
    _kept: dict[str, dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        free = shutil.disk_usage(tempfile.gettempdir()).free
        self._room = 0 if isinstance(self.source, Recording) else min(KEPT, free // 4)
        self._end = 0

    @property
    def layers(self) -> int:
        """Number of layers."""
        return self.source.layers

    @property
    def heads(self) -> int:
        """Heads of every layer."""
        return self.source.heads

    def visibility(self, layer: int) -> Visibility:
        """The keys that a query of the layer sees."""
        return self.source.visibility(layer)

    def run(self, batch: Sequence[Passage], observer: LayerObserver) -> None:
        """Show the attention of every layer on a batch, layer by layer."""
        kept = [self._kept.get(passage.text_id, {}) for passage in batch]
        if not all(len(places) == self.layers for places in kept):
            self.source.run(batch, Observers([_Keeper(self, batch), observer]))
            return
        lengths = torch.tensor([len(passage) for passage in batch])
        width = int(lengths.max())
        for layer in range(self.layers):
            padded = np.zeros((len(batch), self.heads, width, width), np.float32)
            for b, (passage, places) in enumerate(zip(batch, kept, strict=True)):
                inside = self._inside(layer, len(passage))
                self.file.seek(places[layer])
                data = self.file.read(4 * self.heads * int(inside.sum()))
                part = padded[b, :, : len(passage), : len(passage)]
                part[:, inside] = np.frombuffer(data, np.float32).reshape(self.heads, -1)
            weights = torch.from_numpy(padded)
            observer.observe(AttentionCall(layer, lengths, tuple(batch), weights.float, None))

    def _inside(self, layer: int, length: int) -> np.ndarray:
        """The cells that are kept."""
        causal = self.visibility(layer).causal
        return np.tri(length, dtype=bool) if causal else np.ones((length, length), bool)

    def keep(self, layer: int, passage: Passage, attention: np.ndarray) -> None:
        """Keep a layer of a text, while there is room."""
        part = attention[:, self._inside(layer, len(passage))]
        if self._end + part.nbytes > self._room:
            return
        try:
            self.file.seek(self._end)
            self.file.write(np.ascontiguousarray(part).data)
        except OSError:  # the disk is full: the model is asked again
            self._room = 0
            return
        self._kept.setdefault(passage.text_id, {})[layer] = self._end
        self._end += part.nbytes


@dataclass(frozen=True)
class _Keeper:
    """Keeps what a batch shows."""

    reading: Rereading
    batch: Sequence[Passage]

    def observe(self, call: LayerAttention) -> None:
        """Keep one layer."""
        attention = call.probabilities().float().cpu().numpy()
        for b, passage in enumerate(self.batch):
            size = len(passage)
            self.reading.keep(call.layer, passage, attention[b, :, :size, :size])
