"""What every head of a model or a recording does on some texts, as cards."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from tempfile import TemporaryFile

from headscribe.behaviours.budget import Accountant
from headscribe.behaviours.card import UNNAMED, Card, cards
from headscribe.behaviours.catalogue import Behaviour, applicable
from headscribe.behaviours.measure import Collector
from headscribe.behaviours.naming import GROUPS, name
from headscribe.behaviours.places import placed
from headscribe.behaviours.rereading import Rereading
from headscribe.core.arrays import HeadsAttention
from headscribe.core.errors import UsageError
from headscribe.core.progress import OnProgress, silent
from headscribe.core.visibility import Visibility
from headscribe.fitting.sources import Source, head_ids, layers_by_view
from headscribe.text.passages import Passage
from headscribe.text.splits import buckets_of


@dataclass(frozen=True)
class Explanation:
    """The cards of all heads, in the order of layers and heads.

    Attributes:
        cards: one a head.
        texts: texts that were read; `groups`: documents that they come from.
        asked: behaviours that the texts could show.
        notes: what a reader should know of the corpus.
    """

    cards: tuple[Card, ...]
    texts: int
    groups: int
    asked: int
    notes: tuple[str, ...] = ()

    @property
    def named(self) -> int:
        """Heads with a name that was confirmed."""
        return sum(card.name != UNNAMED for card in self.cards)

    def families(self) -> dict[str, int]:
        """Heads by family, the largest first; those without a name are left out."""
        counted = Counter(card.family for card in self.cards if card.family)
        return dict(counted.most_common())


def halves_of(groups: Sequence[str], seed: int) -> dict[str, int]:
    """The half of every group: dealt out in turn, in an order that a hash decides."""
    bucket = buckets_of(groups, seed)
    ordered = sorted(bucket, key=lambda group: (bucket[group], group))
    return {group: place % 2 for place, group in enumerate(ordered)}


def explain(
    source: Source,
    passages: Sequence[Passage],
    provides: frozenset[str],
    *,
    own: Sequence[Behaviour] = (),
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> Explanation:
    """Ask every head for every behaviour; name on one half of the groups, confirm on the other.

    The texts are read twice: for what heads do, then for how all of their attention is spent.

    Args:
        source: a model, or a recording that holds the passages.
        passages: the texts, annotated.
        provides: the word fields that all of them have.
        own: behaviours of the user's, beside the catalogue's.
        seed: decides the halves.
        on_progress: called with the stage, the texts done and the texts in all.

    Raises:
        UsageError: too few groups of texts to name anything and confirm it.
    """
    groups = sorted({passage.group for passage in passages})
    if len(groups) < 2 * GROUPS:
        raise UsageError(
            f"expected at least {2 * GROUPS} texts (documents) to name heads on one half and "
            f"confirm the names on the other, got {len(groups)}"
        )
    half = halves_of(groups, seed)
    number = {group: place for place, group in enumerate(half)}
    found: dict[object, Card] = {}
    views = layers_by_view(source, passages)
    behaviours = {view: (*own, *applicable(provides, view)) for view in views}
    with TemporaryFile() as file:
        attention = Rereading(source, passages, file)
        collectors = {view: Collector(behaviours[view], half) for view in views}
        for passage, of_view in _by_view(attention, views, "reading what heads do", on_progress):
            for view, seen in of_view.items():
                collectors[view].add(passage, seen, view)
        sums = {view: collector.sums() for view, collector in collectors.items()}
        named = {view: name(sums[view]) for view in views}
        accountants = {
            view: Accountant(behaviours[view], sums[view], named[view], number) for view in views
        }
        for passage, of_view in _by_view(attention, views, "accounting for the rest", on_progress):
            for view, seen in of_view.items():
                accountants[view].add(passage, seen, view)
    for view, layers in views.items():
        where = placed(sums[view].places, sums[view].all_rows, sums[view].half)
        made = cards(
            head_ids(source, layers), behaviours[view], sums[view], named[view], where,
            accountants[view].accounts(), len(passages),
        )  # fmt: skip
        found |= {card.head: card for card in made}
    asked = max(map(len, behaviours.values()))
    ordered = tuple(found[head] for head in head_ids(source))
    return Explanation(ordered, len(passages), len(groups), asked)


def _by_view(
    attention: Rereading,
    views: Mapping[Visibility, Sequence[int]],
    stage: str,
    on_progress: OnProgress,
) -> Iterator[tuple[Passage, dict[Visibility, HeadsAttention]]]:
    """Every text with the attention of the layers that see the same, `(H, T, T)`."""
    for done, (passage, layers) in enumerate(attention.read(), 1):
        chosen = {view: layers[list(mine)] for view, mine in views.items()}
        yield passage, {view: seen.reshape(-1, *seen.shape[2:]) for view, seen in chosen.items()}
        on_progress(stage, done, len(attention.passages))
