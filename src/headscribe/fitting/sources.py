"""Passages with the attention of every head on them, from live models and from recordings."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from headscribe.core.arrays import HeadsAttention
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import Visibility
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.models.recorded import Recording
from headscribe.text.passages import Passage

Source = Model | Recording


def head_ids(source: Source, layers: Sequence[int] | None = None) -> tuple[HeadId, ...]:
    """The heads of some layers (default all), in the order in which attention is laid out."""
    chosen = range(source.layers) if layers is None else layers
    count = [
        source.heads if isinstance(source.heads, int) else source.heads[layer] for layer in chosen
    ]
    return tuple(
        HeadId(layer, head) for layer, n in zip(chosen, count, strict=True) for head in range(n)
    )


def common_visibility(source: Source, layers: Sequence[int] | None = None) -> Visibility:
    """What some layers (default all) see.

    Raises:
        UsageError: they do not see the same keys (sliding windows in some layers).
    """
    chosen = range(source.layers) if layers is None else layers
    seen = {source.visibility(layer) for layer in chosen}
    if len(seen) != 1:
        windows = {source.visibility(layer).window for layer in chosen}
        raise UsageError(
            f"expected layers that see the same keys, got windows {sorted(map(str, windows))}; "
            "fit each kind of layer by itself"
        )
    return seen.pop()


class _Keeper:
    """Keeps the attention of some layers on one text."""

    def __init__(self, layers: Sequence[int]) -> None:
        self._place = {layer: i for i, layer in enumerate(layers)}
        self.parts: list[Tensor | None] = [None] * len(layers)

    def observe(self, call: AttentionCall) -> None:
        """Copy one layer."""
        if call.layer in self._place:
            self.parts[self._place[call.layer]] = call.probabilities()[0].detach().cpu().clone()


def attention_items(
    source: Source, passages: Sequence[Passage], layers: Sequence[int] | None = None
) -> Iterator[tuple[Passage, HeadsAttention, Visibility]]:
    """Yield every passage with its attention `(H, T, T)` and what the layers see.

    Args:
        source: a loaded model, or a recording that holds the passages.
        passages: the texts, aligned; one forward pass each.
        layers: layers that see the same keys; all by default.
    """
    visibility = common_visibility(source, layers)
    chosen = list(range(source.layers) if layers is None else layers)
    for passage in passages:
        if isinstance(source, Recording):
            recorded = source.read(passage)[chosen]
            yield passage, recorded.reshape(-1, *recorded.shape[2:]), visibility
            continue
        keeper = _Keeper(chosen)
        source.run([passage], keeper)
        kept = [part for part in keeper.parts if part is not None]
        stacked: HeadsAttention = torch.cat(kept).numpy().astype(np.float32)
        yield passage, stacked, visibility
