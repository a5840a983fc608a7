"""What a formula says in plain words."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from headscribe.behaviours.card import Card, told
from headscribe.core.heads import HeadId
from headscribe.core.visibility import FULL
from headscribe.exam.material import passages_of
from headscribe.fitting.formula import ALL, FIRST, REST, Formula, Term
from headscribe.fitting.headline import EVENLY, Headline, over
from headscribe.fitting.heads import Estimate, HeadFormula
from headscribe.report.document import name_by_formulas
from headscribe.report.schema import tabled

SELF, BEFORE, START = "distance == 0", "distance == -1", "key.is_bos"
OPENING = (FIRST, "query.is_special and key.is_bos")


def headline(*terms: tuple[float, str], iou: float = 1.0) -> Headline | None:
    return Headline.of(Formula("L0H0", tuple(Term(said, weight) for weight, said in terms)), iou)


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([(REST, START), (ALL, BEFORE)], "the previous token, else the opening token"),
        ([OPENING, (ALL, BEFORE)], "the previous token"),
        ([(ALL, START), (ALL, BEFORE)], "the previous token, as well as the opening token"),
        ([(ALL, SELF), (REST, BEFORE), OPENING], "itself, else the previous token"),
        ([OPENING], EVENLY),
        ([], EVENLY),
    ],
)
def test_words(terms: list[tuple[float, str]], words: str) -> None:
    assert str(headline(*terms)) == words


def test_only_what_is_short_and_all_that_there_is_to_say() -> None:
    assert headline((ALL, BEFORE), iou=0.97) is None
    assert headline((8.0, BEFORE), (ALL, START)) is None
    three = [(ALL, BEFORE), (ALL, SELF), (ALL, "distance == 1")]
    assert headline(*three) is None
    assert headline(*three[:2], (REST, START)) is not None


def test_the_rows_that_the_words_mean() -> None:
    (passage,) = passages_of(["a b c"], "t")
    found = headline((ALL, BEFORE), (ALL, "key.index == 3"), (REST, START))
    assert found is not None
    wanted = [[0, 0, 0, 1], [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1]]
    rows = np.array(wanted) / np.sum(wanted, 1, keepdims=True)
    np.testing.assert_allclose(found.attention(passage, FULL), rows)
    only = headline((ALL, "key.index == query.index + 2"), (REST, START))
    assert only is not None
    wanted = [[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [1, 0, 0, 0]]
    np.testing.assert_allclose(only.attention(passage, FULL), wanted)
    assert only.of_positions
    assert not Headline((("key.id == query.id",),)).of_positions


def test_a_sentence_says_it_first() -> None:
    assert over("itself", 0.991, "More.").startswith("It reads itself; its formula says no more")


def test_cards_are_named_by_formulas_that_say_it_all() -> None:
    head, other = HeadId(0, 0), HeadId(0, 1)
    card = Card(head, "looks nearby", "It looks about.", "position", 0.1, (("sinks", 1.0),), ())
    cards = {head: card, other: replace(card, head=other)}

    def fitted(weight: float) -> HeadFormula:
        formula = Formula("L0H0", (Term(BEFORE, weight), Term(START, REST)))
        return HeadFormula(head, formula, {("formula", "raw", "iou"): Estimate(0.99, 0.98, 1.0)})

    named = told(cards, [fitted(ALL)])
    assert named[other] == cards[other]
    assert named[head].name == "the previous token, else the opening token"
    assert named[head].sentence.endswith("(IoU 0.99 on unseen texts). It looks about.")
    assert told(named, [fitted(ALL)]) == named
    assert told(cards, [fitted(5.0)]) == cards

    iou = {"formula_raw_iou": [0.99, 0.98, 1.0]}
    subject: dict[str, Any] = {
        "fit": {"formulas": {"0.0": {"inWords": named[head].name, "scores": iou}}},
        "explanation": {"cards": tabled(("head", "sentence", "name"), [
            {"head": str(one.head), "name": one.name, "sentence": one.sentence}
            for one in cards.values()
        ])},
    }  # fmt: skip
    name_by_formulas(subject)
    assert subject["explanation"]["cards"]["rows"] == [
        [str(one.head), one.sentence, one.name] for one in named.values()
    ]
    name_by_formulas({"fit": None})
