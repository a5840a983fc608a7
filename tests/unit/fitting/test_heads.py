"""What is said of a head follows its gain with the interval."""

import math

import pytest

from headscribe.cli.fit import surest_first
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.heads import Estimate, HeadFormula
from headscribe.fitting.labels import Label

NOT_KNOWN = math.nan


def head(number: int, gain: float, low: float, labels: tuple[str, ...] = ()) -> HeadFormula:
    scores = {
        (what, "raw", "iou"): Estimate(gain, low, 2 * gain - low)
        for what in ("formula", "profile", "gain")
    }
    found = tuple(Label(name, 0.1, 0.1, 0.0) for name in labels)
    place = HeadId(0, number)
    return HeadFormula(place, Formula(place.prose, (Term("key.is_bos", 1.0),)), scores, found)


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (head(0, 0.1, 0.05, ("next_token", "to_head")), "next_token, to_head"),
        (head(0, -0.1, -0.2, ("next_token",)), "next_token"),
        (head(0, 0.1, 0.05), "no pattern alone; its formula is better than its profile"),
        (head(0, 0.1, -0.05), "unexplained"),
        (head(0, -0.1, -0.2), "unexplained"),
        (head(0, 0.1, NOT_KNOWN), "unexplained"),
    ],
)
def test_a_head_is_unexplained_only_where_nothing_gains(one: HeadFormula, said: str) -> None:
    assert one.follows.startswith(said)


def test_heads_are_shown_by_the_lower_ends_of_their_gains() -> None:
    wide, sure, unsure = head(0, 0.3, -0.1), head(1, 0.1, 0.08), head(2, 0.5, NOT_KNOWN)
    assert surest_first([unsure, wide, sure]) == [sure, wide, unsure]
