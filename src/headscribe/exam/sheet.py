"""The score sheet: every known head fitted, named and marked; negatives; the others beside it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, get_args

from headscribe.behaviours.answer import Answer
from headscribe.behaviours.card import COMMON, UNNAMED, Card
from headscribe.behaviours.places import PLACES
from headscribe.core.progress import OnProgress, silent
from headscribe.exam.marking import Called, Mark, Outcome, mark
from headscribe.exam.material import Known, together
from headscribe.exam.negatives import EVEN, SWAPPED, negatives
from headscribe.exam.peers import PEERS, recovered_by
from headscribe.fitting.atlas import collect
from headscribe.fitting.fit import Material, fit_source
from headscribe.fitting.headline import EVENLY
from headscribe.fitting.heads import Atlas
from headscribe.fitting.labels import label_heads
from headscribe.fitting.selection import Budget
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import registry
from headscribe.patterns.relational import RelationPattern
from headscribe.scoring.engine import Engine

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_PLACES = {
    "the previous token": "distance == -1",
    "the next token": "distance == 1",
    "itself": "distance == 0",
    "rests on the opening token": "key.is_bos",
    "rests on closing tokens": "key.is_eos",
    "rests on special tokens": "key.is_special",
    "looks nearby": "abs(distance) <= 2",
}
"""What the names of places mean; the others say nothing of single keys."""


@dataclass(frozen=True)
class Sheet:
    """What came of an exam.

    Attributes:
        models: known models that were examined.
        marks: of their heads.
        negatives: the kind of every negative head, and what it was called.
    """

    models: int
    marks: tuple[Mark, ...]
    negatives: tuple[tuple[str, tuple[str, ...]], ...]

    def of(self, outcome: Outcome) -> list[Mark]:
        """Heads of one outcome."""
        return [one for one in self.marks if one.outcome == outcome]

    @property
    def kinds(self) -> dict[str, tuple[int, int]]:
        """By kind of model, how many heads are recovered, and how many there are."""
        heads = Counter(one.kind for one in self.marks)
        recovered = Counter(one.kind for one in self.of("recovered"))
        return {kind: (recovered[kind], count) for kind, count in heads.items()}

    def right(self, peer: str) -> int:
        """Heads on which one of the others says the truth."""
        return sum(peer in one.peers for one in self.marks)

    @property
    def partial(self) -> list[Mark]:
        """Recovered heads with a label, beside their name, that says a part of the truth alone."""
        return [one for one in self.of("recovered") if one.partial]

    @property
    def labelled(self) -> int:
        """Negatives that got a name."""
        return sum(bool(names) for _, names in self.negatives)

    def to_json(self) -> dict[str, Any]:
        """The stable document of `bench --json`."""
        return {
            "models": self.models,
            "active_heads": len(self.marks),
            "recovered_by_kind": self.kinds,
            **{outcome: len(self.of(outcome)) for outcome in OUTCOMES},
            "labelled_in_part": len(self.partial),
            "negatives": {"heads": len(self.negatives), "labelled": self.labelled},
            "peers": {peer: self.right(peer) for peer in PEERS},
            "by_head": [asdict(one) for one in self.marks],
        }

    def __str__(self) -> str:
        heads, recovered = len(self.marks), len(self.of("recovered"))
        lines = [
            f"{recovered} of {heads} known heads ({recovered / heads:.0%}) get a formula that is "
            "the truth, and a name that says the same,",
            f"in {self.models} models; {len(self.of('misnamed'))} more get the formula and another "
            f"name, {len(self.of('clumsy'))} with a needless term or a wrong",
            f"label beside it, {len(self.of('close'))} come close (IoU 0.9 on fresh texts), "
            f"{len(self.of('missed'))} are missed.",
        ]
        if len(self.kinds) > 1:
            each = (f"{kind}: {done} of {count}" for kind, (done, count) in self.kinds.items())
            lines.append(f"Recovered by kind of model: {', '.join(each)}.")
        if self.negatives:
            lines.append(
                f"{self.labelled} of {len(self.negatives)} heads of which nothing is to be said "
                f"({self.labelled / len(self.negatives):.1%}) get a name."
            )
        lines += [
            f"{peer}: the truth of {self.right(peer)} heads ({self.right(peer) / heads:.0%})"
            for peer in PEERS
        ]
        rest = [one for one in self.marks if one.outcome != "recovered"]
        lines += ["not recovered:"] * bool(rest)
        return "\n".join(
            lines
            + [
                f"  {one.model} {one.head}  {one.outcome}: {one.reason}; truth {one.truth}"
                for one in rest
            ]
        )


def examine(
    models: Sequence[Known],
    sources: Sequence[Known] = (),
    seeds: int = 0,
    on_progress: OnProgress = silent,
) -> Sheet:
    """Examine models whose heads are known, and negatives.

    Args:
        sources: what negatives are made of.
        seeds: so many times of every kind.
    """
    patterns = {pattern.name: pattern for pattern in registry()}
    marks: list[Mark] = []
    groups = together(models)
    for done, group in enumerate(groups, 1):
        marks += _marked(group, patterns)
        on_progress("known models", done, len(groups))
    order = {model.name: i for i, model in enumerate(models)}
    marks.sort(key=lambda one: order[one.model])
    called: list[tuple[str, tuple[str, ...]]] = []
    for seed in range(seeds):
        for model in negatives(tuple(sources), seed):
            called += [(model.name, names) for names in _called(model, patterns)]
        on_progress("negatives", seed + 1, seeds)
    return Sheet(len(models), tuple(marks), tuple(called))


def _marked(model: Known, patterns: Mapping[str, Pattern]) -> list[Mark]:
    atlas, marks = _fitted(model, tuple(patterns.values())), []
    every = enumerate(zip(atlas.heads, cards_of(model), model.truths, strict=True))
    for h, (head_formula, card, truth) in every:
        if truth is not None:
            labels = {
                label.pattern: _means(patterns[label.pattern]) for label in head_formula.labels
            }
            listed = {figure.behaviour: figure.relation for figure in card.figures}
            means = head_formula.headline or listed.get(card.name, _PLACES.get(card.name))
            name = (
                card.name
                if head_formula.headline is None
                else card.told_by(head_formula.headline, head_formula.iou).name
            )
            called = Called("" if name == UNNAMED else name, means, labels)
            peers = recovered_by(model, h, truth, head_formula, patterns)
            marks.append(replace(mark(model, truth, head_formula.formula, called), peers=peers))
    return marks


def _fitted(model: Known, patterns: tuple[Pattern, ...] = ()) -> Atlas:
    fit, fresh = model.parts
    return fit_source(
        Material(model, fit), patterns, Budget(),
        look_ahead=not model.seen.causal, test=Material(model, fresh),
    )  # fmt: skip


def _means(pattern: Pattern) -> str | None:
    if isinstance(pattern, RelationPattern) and pattern.relation.is_boolean:
        return pattern.relation.source
    return None


def cards_of(model: Known) -> tuple[Card, ...]:
    """The card of every head."""
    provides = frozenset.intersection(*(passage.words.provides for passage in model.passages))
    answer = Answer(model, model.passages, provides)
    engine = Engine(model, model.passages, (), companion=answer)
    progress = engine.start()
    engine.run(progress, lambda now, done: None)
    assert isinstance(progress.companion, Answer)
    return progress.companion.cards()


def _called(model: Known, patterns: Mapping[str, Pattern]) -> list[tuple[str, ...]]:
    """What negatives are called, by head."""
    items = ((passage, model.of(passage), model.seen) for passage in model.passages)
    sample = collect(
        items, pool=["key.is_special"], attributes=(), patterns=tuple(patterns.values())
    )
    allowed = {EVEN, EVENLY, UNNAMED}
    if model.name == SWAPPED:
        allowed |= {COMMON, *(place.name for place in PLACES)}
        allowed |= {
            pattern.name
            for pattern in patterns.values()
            if pattern.family in {"positional", "sink"}
        }
    found = []
    each = zip(cards_of(model), label_heads(sample), _fitted(model).heads, strict=True)
    for card, labels, head_formula in each:
        names = [*(label.pattern for label in labels), card.name]
        if head_formula.headline is not None and not (
            model.name == SWAPPED and head_formula.headline.of_positions
        ):
            names.append(str(head_formula.headline))
        found.append(tuple(name for name in names if name not in allowed))
    return found
