"""Passages with the attention of every head on them, from live models and from recordings."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol, runtime_checkable

from headscribe.core.arrays import HeadsAttention
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import Visibility
from headscribe.models.recorded import Runs
from headscribe.models.recorded import attention_of as attention_by_layer
from headscribe.text.passages import Passage


@runtime_checkable
class Source(Runs, Protocol):
    """What shows the attention of texts, and says what its layers see: a model, a recording."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def heads(self) -> int: ...  # noqa: D102
    def visibility(self, layer: int) -> Visibility: ...  # noqa: D102


def head_ids(source: Source, layers: Sequence[int] | None = None) -> tuple[HeadId, ...]:
    """The heads of some layers (default all), in the order in which attention is laid out."""
    chosen = range(source.layers) if layers is None else layers
    return tuple(HeadId(layer, head) for layer in chosen for head in range(source.heads))


def layers_by_view(
    source: Source, passages: Sequence[Passage], layers: Sequence[int] | None = None
) -> dict[Visibility, tuple[int, ...]]:
    """Some layers (default all) by the keys that they see in these texts.

    A sliding window as large as the longest text hides nothing and counts for none, so that layers
    with windows and layers without stand together wherever they see the same.
    """
    longest = max(map(len, passages), default=0)
    found: dict[Visibility, tuple[int, ...]] = {}
    for layer in range(source.layers) if layers is None else layers:
        seen = source.visibility(layer)
        if seen.window is not None and seen.window >= longest:
            seen = replace(seen, window=None)
        found[seen] = (*found.get(seen, ()), layer)
    return found


def common_view(
    source: Source, passages: Sequence[Passage], layers: Sequence[int] | None = None
) -> Visibility:
    """What some layers (default all) see in these texts.

    Raises:
        UsageError: they do not see the same keys: sliding windows that the texts outgrow.
    """
    kinds = layers_by_view(source, passages, layers)
    if len(kinds) > 1:
        windows = [kind.window for kind in kinds if kind.window is not None]
        remedy = f"; texts of at most {min(windows)} tokens work (--max-tokens)" if windows else ""
        said = ", ".join(
            f"{'all keys' if kind.window is None else f'a window of {kind.window}'} in layers "
            f"{', '.join(map(str, mine))}"
            for kind, mine in kinds.items()
        )
        raise UsageError(f"expected layers that see the same keys, got {said}{remedy}")
    return next(iter(kinds))


def attention_of(
    source: Source, passages: Sequence[Passage], layers: Sequence[int] | None = None
) -> Iterator[tuple[Passage, HeadsAttention]]:
    """Yield every passage with the attention `(H, T, T)` of some layers, whatever they see.

    Args:
        source: a loaded model, or a recording that holds the passages.
        passages: the texts, aligned; one forward pass each.
        layers: all by default.
    """
    for passage, attention in attention_by_layer(source, passages, layers):
        yield passage, attention.reshape(-1, *attention.shape[2:])


def attention_items(
    source: Source, passages: Sequence[Passage], layers: Sequence[int] | None = None
) -> Iterator[tuple[Passage, HeadsAttention, Visibility]]:
    """Yield every passage with its attention `(H, T, T)` and what the layers see.

    Args:
        source: a loaded model, or a recording that holds the passages.
        passages: the texts, aligned; one forward pass each.
        layers: layers that see the same keys; all by default.

    Raises:
        UsageError: the layers do not see the same keys.
    """
    seen = common_view(source, passages, layers)
    for passage, attention in attention_of(source, passages, layers):
        yield passage, attention, seen
