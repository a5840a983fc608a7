"""What every head of a model or a recording does on some texts, as cards."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from headscribe.behaviours.budget import Accountant
from headscribe.behaviours.card import UNNAMED, Card, cards
from headscribe.behaviours.catalogue import Behaviour, applicable
from headscribe.behaviours.measure import Collector
from headscribe.behaviours.naming import GROUPS, name
from headscribe.behaviours.places import placed
from headscribe.core.errors import UsageError
from headscribe.core.progress import OnProgress, silent
from headscribe.fitting.sources import Source, attention_items, head_ids, layers_by_view
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
    asked = 0
    views = layers_by_view(source, passages)
    for view, layers in views.items():
        behaviours = (*own, *applicable(provides, view))
        asked = max(asked, len(behaviours))
        collector = Collector(behaviours, half)
        of = f" in {len(layers)} layers" if len(views) > 1 else ""
        for done, item in enumerate(attention_items(source, passages, layers), 1):
            collector.add(*item)
            on_progress(f"reading what heads do{of}", done, len(passages))
        sums = collector.sums()
        named = name(sums)
        accountant = Accountant(behaviours, sums, named, number)
        for done, item in enumerate(attention_items(source, passages, layers), 1):
            accountant.add(*item)
            on_progress(f"accounting for the rest{of}", done, len(passages))
        where = placed(sums.places, sums.all_rows, sums.half)
        accounts = accountant.accounts()
        heads = head_ids(source, layers)
        for card in cards(heads, behaviours, sums, named, where, accounts, len(passages)):
            found[card.head] = card
    ordered = tuple(found[head] for head in head_ids(source))
    return Explanation(ordered, len(passages), len(groups), asked)
