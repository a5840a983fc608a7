"""Cards as the tables of a run directory, and back; the paragraph that sums them up."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from math import isnan, nan
from typing import Any

import pyarrow as pa

from headscribe.behaviours.card import UNNAMED, Card, Figure, percent
from headscribe.behaviours.places import RESTING
from headscribe.core.heads import HeadId

_CARD = ("name", "sentence", "family", "sink_share", "differs")


TABLES = ("cards", "budget", "behaviours")


def run_tables(cards: Sequence[Card]) -> dict[str, pa.Table]:
    """The tables of `TABLES`, those that have rows."""
    rows: dict[str, list[dict[str, Any]]] = {"cards": [], "budget": [], "behaviours": []}
    for card in cards:
        head = {"layer": card.head.layer, "head": card.head.head}
        rows["cards"].append(head | {name: getattr(card, name) for name in _CARD})
        rows["budget"] += [
            head | {"place": place, "part": part, "share": share}
            for place, (part, share) in enumerate(card.budget)
        ]
        for figure in card.figures:
            fields = asdict(figure)
            confirmed = fields.pop("confirmed")
            fields |= {f"confirmed_{name}": value for name, value in confirmed.items()}
            rows["behaviours"].append(head | fields)
    return {name: pa.Table.from_pylist(found) for name, found in rows.items() if found}


def cards_of(tables: Mapping[str, list[dict[str, Any]]]) -> dict[HeadId, Card]:
    """The cards that stand in the tables of a run."""
    budgets: dict[HeadId, list[tuple[int, str, float]]] = {}
    for row in tables.get("budget", []):
        head = HeadId(row["layer"], row["head"])
        budgets.setdefault(head, []).append((row["place"], row["part"], row["share"]))
    figures: dict[HeadId, list[Figure]] = {}
    for row in tables.get("behaviours", []):
        fields = dict(row)
        head = HeadId(fields.pop("layer"), fields.pop("head"))
        names = [name for name in fields if name.startswith("confirmed_")]
        confirmed = {name.removeprefix("confirmed_"): fields.pop(name) for name in names}
        figures.setdefault(head, []).append(Figure(**fields, confirmed=confirmed))
    cards = {}
    for row in tables["cards"]:
        head = HeadId(row["layer"], row["head"])
        budget = tuple((part, share) for _, part, share in sorted(budgets.get(head, [])))
        cards[head] = Card(
            head, row["name"], row["sentence"], row["family"], row["sink_share"], budget,
            tuple(figures.get(head, [])), row.get("differs", nan),
        )  # fmt: skip
    return cards


def families_of(cards: Sequence[Card]) -> dict[str, int]:
    """Heads by family, the largest first; those without a name are left out."""
    return dict(Counter(card.family for card in cards if card.family).most_common())


ALIKE = 0.03
"""Budgets of two halves whose parts differ by no more are the same."""

FAMILIES = {
    "syntax": "follow a syntactic link",
    "repetition": "find what stood before",
    "word pieces": "hold words together",
    "punctuation": "read punctuation marks",
    "word class": "read a class of words",
    "position": "look at a place",
    "common keys": "read the same from everywhere",
    "sinks": "rest on opening, special or filler tokens",
    "your own": "do what you asked for",
}
"""What heads of a family do, after "21 heads"."""


def doing(family: str, count: int) -> str:
    """What so many heads of a family do.

    >>> doing("syntax", 1), doing("syntax", 2)
    ('follows a syntactic link', 'follow a syntactic link')
    """
    verb, rest = FAMILIES[family].split(" ", 1)
    one = "does" if verb == "do" else f"{verb}s"
    return f"{one if count == 1 else verb} {rest}"


def summary_of(cards: Sequence[Card], facts: Mapping[str, Any]) -> str:
    """The model in one paragraph: its sinks, its heads by family, what is left."""
    sinks = sum(card.sink_share for card in cards) / len(cards)
    named = sum(card.name != UNNAMED for card in cards)
    kinds = ", ".join(
        f"{count} {doing(family, count)}" for family, count in families_of(cards).items()
    )
    texts = facts["corpus"]["texts"]
    left = len(cards) - named
    rest = f"; {left} {'has' if left == 1 else 'have'} no name yet" if left else ""
    resting: dict[str, float] = {}
    for card in cards:
        for figure in card.figures:
            if figure.listed and figure.family == "sinks":
                word = figure.behaviour.removeprefix("rests on ")
                resting[word] = resting.get(word, 0.0) + figure.part / len(cards)
    words = "".join(
        f", {percent(share)} on {word}" for word, share in resting.items() if share >= 0.005
    )
    known = [card.differs for card in cards if not isnan(card.differs)]
    alike = sum(differs <= ALIKE for differs in known)
    return (
        f"{named} of {len(cards)} heads of {facts['model']['name']} have a name that was found on "
        f"one half of {texts} texts and held on the other: {kinds}{rest}. {percent(sinks)} of all "
        f"attention rests on {RESTING}{words}."
        + (
            f" Where attention goes is the same on both halves, to {100 * ALIKE:.0f} points in "
            f"every part, for {alike} of {len(known)} heads."
            if known
            else ""
        )
    )
