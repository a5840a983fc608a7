"""Attention that is read twice: what a model gave is kept on disk in between, as far as it may."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO

import numpy as np
from jaxtyping import Float

from headscribe.fitting.sources import Source
from headscribe.models.recorded import Recording, attention_of
from headscribe.text.passages import Passage

KEPT = 1 << 31
"""Bytes of attention that are kept at most, and never more than a quarter of the free disk; texts
beyond them take a second forward pass."""


class Rereading:
    """The attention of all layers on some texts, to be read as often as is needed."""

    def __init__(self, source: Source, passages: Sequence[Passage], file: IO[bytes]) -> None:
        """Read nothing yet; `passages` are the texts, `file` is an empty one to keep them in."""
        self._source, self.passages = source, passages
        self._lower = all(source.visibility(layer).causal for layer in range(source.layers))
        self._file = file
        free = shutil.disk_usage(tempfile.gettempdir()).free
        self._room = 0 if isinstance(source, Recording) else min(KEPT, free // 4)
        self._kept: list[tuple[int, ...]] = []
        self._whole = False

    def read(self) -> Iterator[tuple[Passage, Float[np.ndarray, "L H T T"]]]:
        """Every text with its attention, in order."""
        self._file.seek(0)
        for passage, shape in zip(self.passages, self._kept, strict=False):
            yield passage, self._restored(shape)
        self._whole = self._whole or bool(self._kept)
        for passage, attention in attention_of(self._source, self.passages[len(self._kept) :]):
            if not self._whole:
                self._keep(attention)
            yield passage, attention
        self._whole = True

    def _keep(self, attention: Float[np.ndarray, "L H T T"]) -> None:
        size = attention.shape[-1]
        part = attention[:, :, np.tri(size, dtype=bool)] if self._lower else attention
        self._room -= part.nbytes
        self._whole = self._room < 0
        if self._whole:
            return
        try:
            self._file.write(np.ascontiguousarray(part).data)
        except OSError:  # the disk is full: the model is asked again
            self._whole = True
            return
        self._kept.append(attention.shape)

    def _restored(self, shape: tuple[int, ...]) -> Float[np.ndarray, "L H T T"]:
        layers, heads, size, _ = shape
        inside = np.tri(size, dtype=bool) if self._lower else np.ones((size, size), bool)
        part = np.frombuffer(
            self._file.read(4 * layers * heads * int(inside.sum())), np.float32
        ).reshape(layers, heads, -1)
        found = np.zeros(shape, np.float32)
        found[:, :, inside] = part
        return found
