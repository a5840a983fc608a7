"""What every head does, asked in the passes of a survey: names first, then where attention goes."""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np

from headscribe.behaviours.budget import Accountant, SecondReading
from headscribe.behaviours.card import Card, cards
from headscribe.behaviours.catalogue import Behaviour, applicable
from headscribe.behaviours.measure import Collector, FirstReading, Sums, clusters_of
from headscribe.behaviours.naming import GROUPS, Named, name
from headscribe.behaviours.places import placed
from headscribe.behaviours.texts import Asked
from headscribe.core.errors import UsageError
from headscribe.core.visibility import Visibility
from headscribe.core.visible import plural
from headscribe.fitting.sources import Source, head_ids, layers_by_view
from headscribe.scoring.observer import LayerAttention
from headscribe.text.passages import Passage
from headscribe.text.splits import bucket_of

ROOM = 1 << 25
"""Tokens times heads that are read at most, 128 MB of content mass: a larger corpus is sampled."""


def too_few(passages: Sequence[Passage]) -> str | None:
    """Why nothing can be named on one half of these texts and confirmed on the other, or None."""
    groups = len({passage.group for passage in passages})
    if groups >= 2 * GROUPS:
        return None
    return (
        f"expected at least {2 * GROUPS} texts (documents) to name heads on one half and confirm "
        f"the names on the other, got {plural(len(passages), 'text')} of {groups} (equal texts "
        "and sentences of one document count once)"
    )


@dataclass(frozen=True)
class _Told:
    """What the first reading of one kind of layers tells."""

    sums: Sums
    named: Named


class Answer:
    """Asks every head for every behaviour; a companion of the survey's engine.

    The layers of a model are asked by what they see: those with a sliding window are apart.
    """

    def __init__(
        self,
        source: Source,
        passages: Sequence[Passage],
        provides: frozenset[str],
        *,
        own: Sequence[Behaviour] = (),
        seed: int = 0,
        layers: Sequence[int] | None = None,
    ) -> None:
        """Choose the behaviours, and the texts where there are very many.

        Args:
            source: a model, or a recording that holds the passages.
            passages: the texts; they may still lack their words.
            provides: the word fields that they all have, then.
            own: behaviours of the user's, beside the catalogue's.
            seed: decides the halves, and the sample.
            layers: the layers that are read; None: all.

        Raises:
            UsageError: too few groups of texts to name anything and confirm it.
        """
        heads = len(range(source.layers) if layers is None else layers) * source.heads
        chosen = _sample(passages, ROOM // heads, seed)
        groups = {passage.group for passage in chosen}
        if reason := too_few(chosen):
            raise UsageError(reason)
        self._views = layers_by_view(source, passages, layers)
        self._asked = {
            view: Asked((*own, *applicable(provides, view))) for view in self._views
        }  # fmt: skip
        self._heads = source.heads
        self._ids = {view: head_ids(source, mine) for view, mine in self._views.items()}
        self._clusters = clusters_of(sorted(groups), seed)
        self._chosen = tuple(chosen)
        self._texts = frozenset(passage.text_id for passage in chosen)
        self.number = len(chosen), len(passages)
        self._collectors = self._collect()
        self._accountants: dict[Visibility, Accountant] | None = None
        self._told: dict[Visibility, _Told] = {}

    def _collect(self) -> dict[Visibility, Collector]:
        return {
            view: Collector(self._asked[view], self._clusters, view, len(self._ids[view]))
            for view in self._views
        }

    @property
    def texts(self) -> frozenset[str]:
        """The texts that are read."""
        return self._texts

    @property
    def asked(self) -> int:
        """Behaviours that the texts can show."""
        return max(len(asked.behaviours) for asked in self._asked.values())

    def blank(self) -> "Answer":
        """The same questions, as far as they are known, with nothing read."""
        other = copy(self)
        if self._accountants is None:
            other._collectors = self._collect()
        else:
            other._collectors, other._told = {}, {}
            other._accountants = {
                view: accountant.blank() for view, accountant in self._accountants.items()
            }
        return other

    def turn(self) -> None:
        """Name what heads do, to account for the rest of their attention in a second reading."""
        if self._accountants is not None:
            return
        self._accountants = {}
        for view, collector in self._collectors.items():
            sums = collector.sums()
            asked = self._asked[view].behaviours
            named = name(sums, [behaviour.family for behaviour in asked])
            self._told[view] = _Told(sums, named)
            self._accountants[view] = Accountant(
                asked, sums, named, self._clusters, view, [text.text_id for text in self._chosen]
            )  # fmt: skip

    def reading(self, batch: Sequence[Passage]) -> "Reading":
        """What reads a batch: those of its texts that were chosen."""
        at = [b for b, passage in enumerate(batch) if passage.text_id in self._texts]
        mine = [batch[b] for b in at]
        readers = self._accountants or self._collectors
        place = {
            layer: (view, slot * self._heads)
            for view, layers in self._views.items()
            for slot, layer in enumerate(layers)
        }
        return Reading(at, {view: reader.reading(mine) for view, reader in readers.items()}, place)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that was read, by name, for storage."""
        first = {view: collector.arrays() for view, collector in self._collectors.items()}
        second = {view: accountant.totals for view, accountant in (self._accountants or {}).items()}
        return {
            f"{reading}/{number}/{name}": values
            for reading, of_view in (("first", first), ("second", second))
            for number, view in enumerate(self._views)
            for name, values in of_view.get(view, {}).items()
        }

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Add what `arrays` gave of another part, or of an interrupted run."""
        found: dict[tuple[str, int], dict[str, np.ndarray]] = {}
        for whole, values in arrays.items():
            reading, place, rest = whole.split("/", 2)
            found.setdefault((reading, int(place)), {})[rest] = values
        for number, view in enumerate(self._views):
            if ("first", number) in found:
                self._collectors[view].add(found["first", number])
        for number, view in enumerate(self._views):
            if ("second", number) in found:
                self.turn()
                assert self._accountants is not None
                self._accountants[view].add(found["second", number])

    def cards(self) -> tuple[Card, ...]:
        """A card for every head, in the order of layers and heads, once all is read."""
        assert self._accountants is not None
        found: list[Card] = []
        for view, told in self._told.items():
            sums = told.sums
            where = placed(sums.places, sums.even, sums.all_rows, sums.half)
            found += cards(
                self._ids[view], self._asked[view].behaviours, sums, told.named, where,
                self._accountants[view].accounts(), self._chosen,
            )  # fmt: skip
        return tuple(sorted(found, key=lambda card: card.head))

    @property
    def notes(self) -> list[str]:
        """What a reader should know of the texts."""
        read, of = self.number
        return (
            []
            if read == of
            else [
                f"what heads do was read from {read} of {of} texts, whole groups chosen by a hash"
            ]
        )


@dataclass
class Reading:
    """Reads one batch, layer by layer.

    Attributes:
        at: places of the texts in the batch that are read.
        readings: what reads them, by what layers see.
        place: of each layer what it sees, and the number of its first head among those.
    """

    at: list[int]
    readings: Mapping[Visibility, FirstReading | SecondReading]
    place: Mapping[int, tuple[Visibility, int]]

    def observe(self, call: LayerAttention) -> None:
        """Read one layer."""
        if self.at:
            view, first = self.place[call.layer]
            attention = call.probabilities()[self.at]
            self.readings[view].read(attention.float().cpu().numpy(), first)

    def commit(self) -> None:
        """Add what was read."""
        for reading in self.readings.values():
            reading.commit()


def _sample(passages: Sequence[Passage], tokens: int, seed: int) -> list[Passage]:
    """Texts of at most so many tokens: whole groups, in an order that a hash decides."""
    size: dict[str, int] = {}
    for passage in passages:
        size[passage.group] = size.get(passage.group, 0) + len(passage)
    left, chosen = tokens, set[str]()
    for group in sorted(size, key=lambda group: (bucket_of(group, seed), group)):
        if size[group] <= left or len(chosen) < 2 * GROUPS:
            chosen.add(group)
            left -= size[group]
    return [passage for passage in passages if passage.group in chosen]
