"""A card for every head: a name of at most five words, one sentence, and the figures behind it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from math import isnan, nan
from textwrap import fill
from typing import Any

import numpy as np
from jaxtyping import Float

from headscribe.behaviours.budget import PARTS, Accounts
from headscribe.behaviours.catalogue import OF_CLASS, TERMS, UNSEEN, Behaviour
from headscribe.behaviours.measure import Sums
from headscribe.behaviours.naming import CONFIRM, POINT, Excess, Named
from headscribe.behaviours.offsets import LAST, SIDE
from headscribe.behaviours.places import MOSTLY, PLACES, RESTING, SINKS, Place, Placed
from headscribe.core.heads import HeadId
from headscribe.core.visible import visible, visible_lines
from headscribe.fitting.headline import Headline, over
from headscribe.fitting.heads import HeadFormula
from headscribe.text.passages import Passage

STEADY = ("the previous token", "the next token")
"""Places that name a head before any behaviour: what it reads there follows from where it looks."""

COMMON = "the same from everywhere"
UNNAMED = "no name yet"

_SMALL = 0.02  # parts of a budget below it are printed as one
_PRINTED = 8  # behaviours of a printed card; the others are in its JSON


@dataclass(frozen=True)
class Figure:
    """A confirmed behaviour of a head.

    Attributes:
        behaviour: its name; `when`, `reads`, `relation`: as in the catalogue.
        rows: rows that apply, in all texts; `applies`: their share of the content rows.
        share, expected, excess, low, high, hit: on the half that named it.
        confirmed: `share`, `expected`, `excess`, `low`, `high` on the half that confirmed it.
        part: its share of all the head's attention, see `budget`.
        listed: whether it stands beside narrower ones.
    """

    behaviour: str
    when: str
    reads: str
    relation: str
    family: str
    rows: int
    applies: float
    share: float
    expected: float
    excess: float
    low: float
    high: float
    hit: float
    confirmed: dict[str, float]
    sinks_here: float
    part: float
    listed: bool


@dataclass(frozen=True, repr=False)
class Card:
    """What a head does; printed, it is a text for 80 columns.

    Attributes:
        head: which.
        name: at most five words; `UNNAMED` where nothing was confirmed; see `told_by`.
        sentence: the finding with its figures, from the half that did not choose it.
        family: the behaviour's, `position`, `sinks`, `common keys`, or empty.
        sink_share: of its attention on opening and special tokens.
        budget: where all of its attention goes, by part; sums to 1; on the second half.
        differs: the largest difference of a part from the budget of the first half.
        figures: its confirmed behaviours, that of the name first.
    """

    head: HeadId
    name: str
    sentence: str
    family: str
    sink_share: float
    budget: tuple[tuple[str, float], ...]
    figures: tuple[Figure, ...]
    differs: float = nan

    def __repr__(self) -> str:
        return f"<Card of {self.head}: {visible_lines(self.name)}>"

    def __str__(self) -> str:
        lines = [f"{self.head.prose}  {self.name}", fill(self.sentence, 79), self._spent()]
        listed = [figure for figure in self.figures if figure.listed]
        for figure in listed[:_PRINTED]:
            half = figure.confirmed
            excess, low, high = (f"{100 * half[name]:+.0f}" for name in ("excess", "low", "high"))
            lines.append(
                f"  {figure.behaviour:<29.29} {half['share']:4.0%}, {excess} points beyond "
                f"position ({low} to {high})"
            )
        if len(listed) > _PRINTED:
            lines.append(f"  and {len(listed) - _PRINTED} smaller ones, with --json")
        return visible_lines("\n".join(lines))

    def _repr_html_(self) -> str:
        return f"<pre>{escape(str(self))}</pre>"

    def _spent(self) -> str:
        """Where all of its attention goes, the largest part first."""
        parts = sorted(self.budget, key=lambda part: -part[1])
        told = [part for part in parts if part[1] >= _SMALL]
        rest = ("smaller parts", 1 - sum(share for _, share in told))
        whole = [*told, rest] if rest[1] >= 0.005 else told
        percents = whole_percents([share for _, share in whole])
        said = [f"{part} {share}%" for (part, _), share in zip(whole, percents, strict=True)]
        return fill(f"Where its attention goes: {', '.join(said)}.", 79)

    @property
    def excess(self) -> float:
        """That of the behaviour it is named for, where it was confirmed; 0 for other names."""
        first = self.figures[0] if self.figures else None
        named = first is not None and first.listed and first.behaviour == self.name
        return first.confirmed["excess"] if first is not None and named else 0.0

    @property
    def pictured(self) -> tuple[str, str] | None:
        """What is drawn beside its attention, with its relation: its name's, else what it does."""
        listed = [(one.behaviour, one.relation) for one in self.figures if one.listed]
        places = [(place.name, place.relation) for place in PLACES]
        named = (one for one in (*listed, *places) if one[0] == self.name)
        return next(named, listed[0] if listed else None)

    @property
    def reads(self) -> str | None:
        """Its name where places and sinks are set aside: the behaviour that most of it is for."""
        words = (figure for figure in self.figures if figure.listed and figure.family != "sinks")
        return next((word.behaviour for word in words), None)

    def told_by(self, headline: Headline, iou: float) -> "Card":
        """The card of a head whose formula is all that there is to say: the name is what it says.

        What the head was called before stands in the sentence and the figures.
        """
        if self.name == str(headline):
            return self
        return replace(self, name=str(headline), sentence=over(str(headline), iou, self.sentence))

    def to_json(self) -> dict[str, Any]:
        """The card as `headscribe explain --json` prints it."""
        return {
            "head": str(self.head),
            "name": None if self.name == UNNAMED else self.name,
            "sentence": self.sentence,
            "reads": self.reads,
            "family": self.family,
            "sink_share": round(self.sink_share, 4),
            "budget": [{"part": part, "share": round(share, 4)} for part, share in self.budget],
            "budget_differs": None if isnan(self.differs) else round(self.differs, 4),
            "behaviours": [
                {
                    "behaviour": figure.behaviour,
                    "when": figure.when,
                    "rows": figure.rows,
                    **{
                        key: round(getattr(figure, key), 4)
                        for key in ("applies", "share", "expected", "excess", "low", "high", "hit")
                    },
                    "confirmed": {key: round(value, 4) for key, value in figure.confirmed.items()},
                }
                for figure in self.figures
                if figure.listed
            ],
        }


def told(cards: Mapping[HeadId, Card], heads: Iterable[HeadFormula]) -> dict[HeadId, Card]:
    """Cards under the names that the heads' formulas give them, see `Card.told_by`."""
    named = dict(cards)
    for head_formula in heads:
        if head_formula.head in named and head_formula.headline is not None:
            named[head_formula.head] = named[head_formula.head].told_by(
                head_formula.headline, head_formula.iou
            )
    return named


def cards(
    heads: Sequence[HeadId],
    behaviours: Sequence[Behaviour],
    sums: Sums,
    named: Named,
    placed: Placed,
    accounts: Accounts,
    passages: Sequence[Passage],
) -> list[Card]:
    """A card for every head, of what was read from some texts."""
    texts = len(passages)
    applies = sums.rows.sum(1) / max(float(sums.all_rows.sum()), 1.0)
    intervals = [half.interval() for half in (named.first, named.second)]
    classes = {behaviour.name: behaviour.classes for behaviour in behaviours}
    made = []
    for h, head in enumerate(heads):
        figures = [
            _figure(
                behaviours[remaining.behaviour], remaining.behaviour, h, named, intervals, applies,
                float(sums.rows[remaining.behaviour].sum()),
                float(accounts.of_behaviours[1][h][slot]), remaining.listed,
            )
            for slot, remaining in enumerate(accounts.remaining[h])
        ]  # fmt: skip
        first = {
            behaviours[remaining.behaviour].name: share
            for remaining, share in zip(
                accounts.remaining[h], accounts.of_behaviours[0][h], strict=True
            )
        }
        left = {
            behaviours[remaining.behaviour].name: remaining.excess
            for remaining in accounts.remaining[h]
            if remaining.listed
        }
        weights = _weights(figures, left, classes)
        figures.sort(key=lambda figure: (not figure.listed, -weights[figure.behaviour]))
        common = bool(accounts.broadcasts[h])
        holds = [place for place, yes in zip(PLACES, placed.holds[:, h], strict=True) if yes]
        sink_share = float(placed.share[1, SINKS, h])
        listed = [figure for figure in figures if figure.listed]
        share = {place.name: float(placed.share[1, i, h]) for i, place in enumerate(PLACES)}
        resting, side = _rest(share, sink_share), side_of(sums.overall[:, h].mean(0))
        budget = _budget(figures, accounts.parts[1, :, h])
        steady = next((place for place in holds if place.name in STEADY), None)
        if steady is None and holds and listed and _names(holds[0], share, listed):
            steady = holds[0]
        if steady is not None:
            name, family = steady.name, "sinks" if "rests" in steady.name else "position"
            said = [
                _placed_sentence(steady, share, budget, resting, side),
                *_read(listed, sink_share),
            ]
        elif listed and (listed[0].excess >= POINT or not common):
            name, family = listed[0].behaviour, listed[0].family
            said = [mostly(budget, resting, side, name), *_read(listed, sink_share)]
        elif common:
            name, family = COMMON, "common keys"
            reads = "attention not at rest" if sink_share >= _SMALL else "attention"
            usual = max(float(accounts.common[1, h] - accounts.common_gain[1, h]), 0.0)
            said = [
                f"It reads the same tokens from everywhere in a text"
                f"{_picked(accounts, h, passages)}: {percent(accounts.common[1, h])} of a token's "
                f"{reads} goes where that of the text's other tokens goes, where {_USUAL} would "
                f"have {percent(usual)} in common",
                mostly(budget, resting, side),
            ]
        elif holds:
            name, family = holds[0].name, "sinks" if "rests" in holds[0].name else "position"
            said = [_placed_sentence(holds[0], share, budget, resting, side)]
        else:
            name, family = UNNAMED, ""
            said = [
                mostly(budget, resting, side),
                "Nothing that was asked for explains what it reads",
            ]
        if name != UNNAMED:
            said.append(f"Found in one half of {texts} texts, confirmed in the other")
        else:
            said[-1] += f" in both halves of {texts} texts"
        sentence = ". ".join(said) + "."
        of_first = [replace(figure, part=first[figure.behaviour]) for figure in figures]
        before = dict(_budget(of_first, accounts.parts[0, :, h]))
        differs = max(abs(share - before[part]) for part, share in budget)
        made.append(Card(head, name, sentence, family, sink_share, budget, tuple(figures), differs))
    return made


MARKED = ("syntax", "repetition", "word pieces")
"""Families that say more of a head than a class of words does."""

TWICE = 2.0
"""What of a head's attention goes to a behaviour of `MARKED` counts so many times for its name."""


def _one_of_many(name: str, left: Mapping[str, float]) -> bool:
    """Whether a head reads the rest of a word's class too, about as much as the word."""
    return name in left and 2 * left.get(OF_CLASS[name], 0.0) > left[name]


def _weights(
    figures: Sequence[Figure], left: Mapping[str, float], classes: Mapping[str, tuple[str, ...]]
) -> dict[str, float]:
    """What decides which behaviour a head is named for: their shares of all its attention.

    A link to one word of a class that is read more than the whole class is from everywhere, by what
    sets a class of rows apart, stands for the class too: `noun → its case marker` before
    `reads adpositions`. What nobody sees in a text (`UNSEEN`) is a name where nothing else is.
    """
    found = {
        figure.behaviour: figure.part * (TWICE if figure.family in MARKED else 1)
        for figure in figures
    }
    for name in UNSEEN & found.keys():
        found[name] = 0.0
    for word, whole in OF_CLASS.items():
        if _one_of_many(word, left):
            found[whole] += found[word]
            found[word] = 0.0
    listed = {figure.behaviour: figure for figure in figures if figure.listed}
    for link in sorted(listed.values(), key=lambda figure: -found[figure.behaviour]):
        for name in classes[link.behaviour]:
            if name in listed and _apart(link, listed[name]):
                found[link.behaviour] += found[name]
                found[name] = 0.0
    return found


def _apart(link: Figure, whole: Figure) -> bool:
    """Whether a link is read more than a class is from everywhere, on both halves."""
    return (
        link.excess - whole.excess >= POINT
        and link.confirmed["excess"] - whole.confirmed["excess"] >= CONFIRM
    )


def _figure(
    behaviour: Behaviour,
    number: int,
    head: int,
    named: Named,
    intervals: Sequence[tuple[Float[np.ndarray, "B H"], Float[np.ndarray, "B H"]]],
    applies: Float[np.ndarray, " B"],
    rows: float,
    part: float,
    listed: bool,
) -> Figure:
    def of(half: Excess, ends: tuple[Any, Any]) -> dict[str, float]:
        return {
            "share": float(half.share[number, head]),
            "expected": float(half.expected[number, head]),
            "excess": float(half.excess[number, head]),
            "low": float(ends[0][number, head]),
            "high": float(ends[1][number, head]),
        }

    return Figure(
        behaviour.name, behaviour.when, behaviour.reads, behaviour.relation.source,
        behaviour.family, int(rows), float(applies[number]),
        **of(named.first, intervals[0]),
        hit=float(named.first.hit[number, head]),
        confirmed=of(named.second, intervals[1]),
        sinks_here=1 - float(named.second.content[number, head]),
        part=part,
        listed=listed,
    )  # fmt: skip


def _budget(
    figures: Sequence[Figure], shares: Float[np.ndarray, " K"]
) -> tuple[tuple[str, float], ...]:
    """Sinks, the token itself, behaviours, places, the rest; an excess below 0 is position's."""
    places = {part: float(share) for part, share in zip(PARTS, shares, strict=True)}
    unlisted = sum(figure.part for figure in figures if not figure.listed)
    places["elsewhere"] += unlisted
    own = [(figure.behaviour, figure.part) for figure in figures if figure.listed]
    return (
        ("sinks", places["sinks"]),
        ("itself", places["itself"]),
        *own,
        *((part, places[part]) for part in PARTS[2:]),
    )


_USUAL = "reading the same distances whatever stands there"


def _names(place: Place, share: Mapping[str, float], listed: Sequence[Figure]) -> bool:
    """Whether a place that a head looks at is its name, not what it reads beside.

    To rest on a word is to look at a place, too: of the two the larger one is the name.
    """
    rests = listed[0].family == "sinks" and "rests" not in place.name
    return _faint(listed) or (rests and listed[0].part < share[place.name])


def _faint(listed: Sequence[Figure]) -> bool:
    """Whether what a head reads beside a place is a lean of few points on few rows.

    Behaviours of `MARKED` are none: a link or a repetition tells one head from another even where
    it is faint, and the sentence says how faint.
    """
    if listed[0].family in MARKED:
        return False
    one = listed[0].confirmed
    here = one["excess"] * (1 - listed[0].sinks_here)
    return one["excess"] < 0.2 and here < POINT and sum(figure.part for figure in listed) < _SMALL


def side_of(profile: Float[np.ndarray, " C"]) -> str:
    """Whether a head that sees both sides looks before or after, of the tokens nearby.

    Args:
        profile: its mean attention by place class.
    """
    after = float(profile[SIDE + 1 : SIDE + 5].sum())
    before = float(profile[SIDE - 4 : SIDE].sum())
    if len(profile) <= LAST or max(before, after) < 2 * min(before, after):
        return ""
    return ", most of them before" if before > after else ", most of them after"


def mostly(
    budget: Sequence[tuple[str, float]], resting: str, side: str = "", name: str = ""
) -> str:
    """Where most of all attention goes, the largest part first; of behaviours those that matter."""
    of = dict(budget)
    near = {part: of.pop(part) for part in PARTS[1:5]}
    rest, far = of.pop("sinks"), of.pop("elsewhere")
    alone = {part: share for part, share in near.items() if part != "nearby" and share >= _MUCH}
    others = "other " if alone else ""
    parts = [(rest, f"rests on {resting}"), (far, "goes to tokens more than four away")]
    parts += [
        (share, f"goes to the {'token itself' if part == 'itself' else part}")
        for part, share in alone.items()
    ]
    parts.append(
        (
            sum(near.values()) - sum(alone.values()),
            f"goes to {others}tokens at most four away{side}",
        )
    )
    parts += [
        (share, one if one.startswith("rests") else f"is for {_thing(one)}")
        for one, share in of.items()
        if share >= _PART or (one == name and one.startswith("rests"))
    ]
    parts = sorted((part for part in parts if part[0] >= _SAID), reverse=True)
    (most, goes), *less = parts
    said = "; ".join(f"{percent(share)} {other}" for share, other in less)
    if most >= 0.5 and goes.startswith(("rests", "goes")):
        return f"Most of its attention ({percent(most)}) {goes}{f'; {said}' if said else ''}"
    return f"Of all its attention {percent(most)} {goes}{f'; {said}' if said else ''}"


def _thing(behaviour: str) -> str:
    """A behaviour's name as what attention is for: `nouns`, of `reads nouns`."""
    return behaviour.removeprefix("reads ").removeprefix("rests on ")


def _read(listed: Sequence[Figure], sink_share: float) -> list[str]:
    """What is read where it applies, then how much of all attention that is, then its terms."""
    if not listed:
        return []
    figure, *others = listed
    figures = figure.confirmed
    rests = max(sink_share, figure.sinks_here) >= _SMALL
    base = "its attention not at rest" if rests else "its attention"
    larger = max(others, key=lambda other: other.part, default=figure)
    less = percent(larger.part) != percent(figure.part) and larger.part > figure.part
    rest = [other for other in others if not (less and other is larger)]
    more = sum(other.part for other in rest)
    named = ", ".join(_thing(other.behaviour) for other in rest[:2]) + ", …" * (len(rest) > 2)
    beside = f", less than the {percent(larger.part)} for {_thing(larger.behaviour)}"
    said = [
        f"{figure.when} ({percent(figure.applies)} of tokens), {percent(figures['share'])} of "
        f"{base} goes to {figure.reads}; {_USUAL} would give {percent(figures['expected'])}",
        f"The difference is {percent(figure.part)} of all its attention"
        + (f"{beside}{_why(figure, larger)}" if less else "")
        + (f"; {percent(more)} more is for {named}" if rest else ""),
    ]
    terms = [f"{term}: {TERMS[term]}" for term in TERMS if term in f"{figure.when} {figure.reads}"]
    return [*said, *(term[0].upper() + term[1:] for term in terms)]


def _why(one: Figure, larger: Figure) -> str:
    """Why a head has not the name of what more of its attention is for, where that is known."""
    if one.family in MARKED and larger.family not in MARKED:
        kind = {"syntax": "a link", "repetition": "a repetition"}.get(one.family, "a split word")
        return f", but {kind} tells it from other heads"
    return ""


_MUCH = 0.2  # of all attention on a token at hand, which a sentence does not leave out
_PART = 0.1  # of all attention, for a behaviour among the places
_SAID = 0.05  # parts of all attention that a sentence leaves out are below it


def _rest(share: Mapping[str, float], sinks: float) -> str:
    """What a head rests on, where that is one kind of sink."""
    for place, words in MOSTLY.items():
        if share[place] > 0.9 * sinks:
            return words
    return RESTING


_PICKED = 3
"""Words that are named of those that a head reads from everywhere."""


def _picked(accounts: Accounts, h: int, passages: Sequence[Passage]) -> str:
    """The words that a head reads from everywhere in more than one text, the commonest first."""
    found: Counter[str] = Counter()
    for passage, key in zip(passages, accounts.picked[:, h].tolist(), strict=True):
        if key >= 0:
            found[_word_at(passage.text, *passage.spans[key].tolist())] += 1
    often = [(word, count) for word, count in found.most_common(_PICKED) if count > 1]
    if not often:
        return ", a word of its own in each"
    (first, most), *others = [(word, percent(count / found.total())) for word, count in often]
    more = "".join(f", “{word}” ({share})" for word, share in others)
    return f", most often “{first}” (in {most} of the texts){more}"


def _word_at(text: str, start: int, end: int) -> str:
    """The piece of text at a token, widened to the word that it is in."""
    if text[start:end].strip().isalnum():
        while start > 0 and text[start - 1].isalnum():
            start -= 1
        while end < len(text) and text[end].isalnum():
            end += 1
    return visible(text[start:end].strip().lower() or text[start:end])


def _placed_sentence(
    place: Place,
    share: Mapping[str, float],
    budget: Sequence[tuple[str, float]],
    resting: str,
    side: str,
) -> str:
    """The place and its share, then where the rest goes."""
    mine, of = share[place.name], dict(budget)
    sinks, far = of["sinks"], of["elsewhere"]
    rest = [(sinks, f"rests on {resting}"), (far, "goes to tokens more than four away")]
    if "rests" in place.name:
        near = sum(of[part] for part in PARTS[1:5])
        rest[0] = sinks - mine, f"rests on other {RESTING}"
        rest.insert(1, (near, f"goes to tokens at most four away{side}"))
    elif place.name == "spreads evenly":
        rest.pop()
    said = "; ".join(f"{percent(part)} {goes}" for part, goes in rest if part >= 0.005)
    return f"It {place.sentence}: {percent(mine)} of all its attention{f'; {said}' if said else ''}"


def whole_percents(shares: Sequence[float]) -> list[int]:
    """Shares of one thing in whole per cents that add up as the shares do.

    Rounded down, and what is then missing goes to those that lost most.

    >>> whole_percents([1 / 3, 1 / 3, 1 / 3])
    [34, 33, 33]
    """
    exact = 100 * np.asarray(shares, np.float64)
    found = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(found.sum())
    found[np.argsort(found - exact, kind="stable")[:missing]] += 1
    return [int(one) for one in found]


def percent(share: float) -> str:
    """A share as sentences say it."""
    said = f"{max(share, 0.0):.0%}".replace("%", " %")
    return "less than 1 %" if share > 0 and said == "0 %" else said
