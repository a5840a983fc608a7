"""What a head is named for, of several behaviours that hold."""

import numpy as np
import pytest

from headscribe.behaviours.card import Figure, _beside, _weights, percent
from headscribe.behaviours.catalogue import behaviours

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


def test_a_token_at_hand_that_is_read_much_is_said() -> None:
    assert _beside(np.array([0.1, 0.42, 0.2, 0.0, 0.1, 0.18])) == "42 % goes to the token itself, "
    assert _beside(np.array([0.1, 0.1, 0.2, 0.3, 0.1, 0.2])) == "30 % goes to the next token, "
    assert not _beside(np.array([0.6, 0.1, 0.1, 0.0, 0.1, 0.1]))


def test_shares_are_said_as_they_are() -> None:
    assert [percent(share) for share in (0, 0.004, 0.005, 0.126, 1, -0.001)] == [
        "0 %", "less than 1 %", "less than 1 %", "13 %", "100 %", "0 %",
    ]  # fmt: skip
