"""What a head is named for, of several behaviours that hold, and what its sentence says."""

from dataclasses import replace

import numpy as np
import pytest

from headscribe.behaviours.card import (
    Card,
    Figure,
    _faint,
    _names,
    _read,
    _weights,
    mostly,
    percent,
    side_of,
)
from headscribe.behaviours.catalogue import TERMS, behaviours
from headscribe.behaviours.offsets import CLASSES, SIDE
from headscribe.behaviours.places import PLACES
from headscribe.core.heads import HeadId

CATALOGUE = {one.name: one for one in reversed(behaviours())}
LINK, CLASS = "noun → its case marker", "reads adpositions"


def figure(name: str, excess: float, confirmed: float, part: float) -> Figure:
    """A behaviour as it was measured, listed beside the others."""
    one = CATALOGUE[name]
    half = {"share": 0.4, "expected": 0.4 - confirmed, "excess": confirmed, "low": 0, "high": 1}
    return Figure(
        name, one.when, one.reads, one.relation.source, one.family, 100, 0.1, 0.4, 0.4 - excess,
        excess, 0, 1, 0.5, half, 0.1, part, True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "name"),
    [(0.23, 0.17, LINK), (0.21, 0.17, CLASS), (0.23, 0.15, CLASS)],
)
def test_a_link_stands_for_its_class_where_it_is_read_more(first, second, name) -> None:
    """By 10 points on the half that names, 5 on the half that confirms."""
    found = [figure(CLASS, 0.12, 0.11, 0.05), figure(LINK, first, second, 0.018),
             figure("verb → its object", 0.4, 0.4, 0.019)]  # fmt: skip
    classes = {one: CATALOGUE[one].classes for one in CATALOGUE}
    weights = _weights(found, {one.behaviour: one.excess for one in found}, classes)
    assert max(weights, key=lambda one: weights[one]) == name
    assert sum(weights.values()) == pytest.approx(0.05 + 2 * (0.018 + 0.019))


def test_classes_of_links_are_in_the_catalogue() -> None:
    linked = {name: one.classes for name, one in CATALOGUE.items() if one.family == "syntax"}
    assert linked[LINK] == ("reads adpositions",)
    assert linked["object → its verb"] == ("reads verbs",)
    assert set(linked["noun → its adjective"]) == {"reads adjectives of nouns", "reads adjectives"}
    assert {name for named in linked.values() for name in named} <= set(CATALOGUE)


def test_a_sentence_says_what_more_attention_is_for_than_its_name() -> None:
    followed = figure("what followed it before", 0.3, 0.3, 0.01)
    names, nouns = (figure(f"reads {one}", 0.2, 0.2, part) for one, part in
                    (("names", 0.07), ("nouns", 0.02)))  # fmt: skip
    assert _read([followed, names, nouns], 0.6)[1] == (
        "The difference is 1 % of all its attention, less than the 7 % for names, but a "
        "repetition tells it from other heads; 2 % more is for nouns"
    )
    assert _read([names, followed], 0.6)[1] == (
        "The difference is 7 % of all its attention; 1 % more is for what followed it before"
    )


def test_no_row_is_said_to_see() -> None:
    """Where a class of keys is read from everywhere, it is said where that can be done at all."""
    when = {one.name: one.when for one in behaviours()}
    assert when["reads nouns"] == "Where there is a noun to read"
    assert when["rests on “the”"] == "Where there is “the” to read"
    assert not [one for one in when.values() if "sees" in one or one.startswith("From")]


def test_a_card_says_what_is_drawn_beside_the_head() -> None:
    """What its name says; a name that is no relation leaves what it does."""
    nouns = figure("reads nouns", 0.2, 0.2, 0.2)
    card = Card(HeadId(0, 0), "reads nouns", "", "word class", 0.1, (), (nouns,))
    assert card.pictured == ("reads nouns", nouns.relation)
    assert replace(card, name="the same from everywhere").pictured == card.pictured
    assert replace(card, name="itself").pictured == ("itself", "distance == 0")
    assert replace(card, name="no name yet", figures=()).pictured is None


def test_a_sentence_begins_with_what_most_of_the_attention_does() -> None:
    budget = [("sinks", 0.1), ("itself", 0.42), ("commas", 0.02), ("previous token", 0.15)]
    budget += [("next token", 0.0), ("nearby", 0.1), ("elsewhere", 0.21)]
    assert mostly(budget, "[SEP]", ", most of them before", "commas") == (
        "Of all its attention 42 % goes to the token itself; 25 % goes to other tokens at most "
        "four away, most of them before; 21 % goes to tokens more than four away; 10 % rests on "
        "[SEP]"
    )
    budget = [("sinks", 0.54), ("itself", 0.04), ("rests on “the”", 0.22), ("previous token", 0.0)]
    budget += [("next token", 0.0), ("nearby", 0.08), ("elsewhere", 0.12)]
    assert mostly(budget, "[SEP]", name="rests on “the”") == (
        "Most of its attention (54 %) rests on [SEP]; 22 % rests on “the”; 12 % goes to tokens "
        "more than four away; 12 % goes to tokens at most four away"
    )


def test_the_side_of_what_is_nearby_is_said_where_two_thirds_are_on_it() -> None:
    found = {}
    for name, before, after in (("before", 0.4, 0.2), ("both", 0.39, 0.2), ("after", 0.1, 0.3)):
        profile = np.zeros(CLASSES)
        profile[SIDE - 2], profile[SIDE + 4], profile[SIDE + 5] = before, after, 1.0
        found[name] = side_of(profile)
    assert found == {
        "before": ", most of them before", "both": "", "after": ", most of them after",
    }  # fmt: skip
    assert not side_of(np.ones(SIDE + 1))  # a causal layer has no other side


def test_a_lean_of_few_points_on_few_rows_is_no_name_beside_a_place() -> None:
    """15 points of what is read are 13 of all attention there, or 7 where half of it rests."""
    lean = figure(CLASS, 0.15, 0.15, 0.01)
    assert not _faint([lean])
    assert _faint([replace(lean, sinks_here=0.5)])
    assert not _faint([replace(lean, sinks_here=0.5), figure("short words", 0.1, 0.1, 0.02)])
    assert not _faint([replace(figure(CLASS, 0.5, 0.5, 0.01), sinks_here=0.95)])
    assert not _faint([replace(figure(LINK, 0.15, 0.15, 0.01), sinks_here=0.5)])  # a link stays
    card = Card(HeadId(1, 2), "rests on special tokens", "", "sinks", 0.5, (), (lean,))
    assert card.reads == CLASS


def test_the_larger_of_resting_on_a_word_and_a_place_is_the_name() -> None:
    """SmolLM2's 10.8 reads itself with 42 % of its attention, and "the" with 4 %."""
    rests = replace(figure("rests on “the”", 0.15, 0.15, 0.04), family="sinks")
    itself = next(place for place in PLACES if place.name == "itself")
    opening = next(place for place in PLACES if place.name == "rests on the opening token")
    share = {"itself": 0.42, "rests on the opening token": 0.5}
    assert _names(itself, share, [rests])
    assert not _names(opening, share, [rests])
    assert not _names(itself, share, [replace(rests, part=0.6)])
    assert not _names(itself, share, [replace(rests, family="syntax")])


def test_shares_are_said_as_they_are() -> None:
    assert [percent(share) for share in (0, 0.004, 0.005, 0.126, 1, -0.001)] == [
        "0 %", "less than 1 %", "less than 1 %", "13 %", "100 %", "0 %",
    ]  # fmt: skip


def test_terms_of_grammar_are_those_of_the_catalogue() -> None:
    said = " ".join(f"{one.when} {one.reads}" for one in CATALOGUE.values())
    assert all(term in said for term in TERMS)
