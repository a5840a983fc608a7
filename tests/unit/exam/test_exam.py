"""What is marked as recovered, what negatives are, and a part of the exam."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from headscribe.exam.marking import Called, borne_out, idle_terms, iou, mark, shares_of
from headscribe.exam.material import known
from headscribe.exam.negatives import HEADS, negatives, permuted, swapped
from headscribe.exam.peers import PEERS
from headscribe.exam.sheet import Sheet
from headscribe.fitting.formula import ALL, REST, Formula, Term
from headscribe.fitting.headline import Headline

MODELS = {model.name: model for model in known("compiled")}


def formula(*terms: tuple[float, str]) -> Formula:
    return Formula("L0H0", tuple(Term(relation, weight) for weight, relation in terms))


STEP, START = (ALL, "distance == -1"), (REST, "key.is_bos")
PREVIOUS = Called("the previous token", "distance == -1")
SOFT = ((5.3, "distance == -1"), (1.0, "key.is_bos"), (5.0, "query.is_special and key.is_bos"))


@pytest.mark.parametrize(
    ("terms", "outcome", "reason"),
    [
        ((STEP, START), "recovered", ""),
        ((STEP, STEP, START), "clumsy", "says nothing of its own: distance == -1"),
        ((STEP, START, (0.5, "key.length > 90")), "clumsy", "says nothing of its own: key.length"),
        ((STEP, START, (0.1, "distance == 1"), (0.1, "distance == 2")), "clumsy", "4 terms"),
        (SOFT, "close", "IoU 0.9"),
        (((ALL, "distance == 1"), START), "missed", "IoU 0."),
    ],
)
def test_marks(terms, outcome, reason):
    model = MODELS["shift_right"]
    found = mark(model, model.truths[0], formula(*terms), PREVIOUS)
    assert found.outcome == outcome
    assert found.reason.startswith(reason) if reason else not found.reason


@pytest.mark.parametrize(
    ("called", "outcome"),
    [
        (PREVIOUS, "recovered"),
        (Called("x", Headline.of(formula(STEP, START), 1.0)), "recovered"),
        (Called("x", Headline.of(formula((ALL, "distance == -2"), START), 1.0)), "misnamed"),
        (Called("looks nearby", "abs(distance) <= 2"), "misnamed"),
        (Called(), "misnamed"),
        (Called("spreads evenly"), "misnamed"),
        (Called("the next token", "distance == 1"), "clumsy"),
        (replace(PREVIOUS, labels={"next": "distance == 1", "even": None}), "clumsy"),
        (replace(PREVIOUS, labels={"previous": "distance == -1", "even": None}), "recovered"),
    ],
)
def test_the_name_has_to_say_what_the_truth_does(called, outcome):
    model = MODELS["shift_right"]
    assert mark(model, model.truths[0], formula(STEP, START), called).outcome == outcome


def test_what_bears_a_name_out():
    model = MODELS["histogram"]
    (truth,) = model.truths
    assert borne_out("key.id == query.id", truth, model) == (1, 1)
    assert borne_out("key.id != query.id and not key.is_special", truth, model) == (0, 0)
    model = MODELS["before"]
    (truth,) = model.truths
    there, read = borne_out("distance == -1", truth, model)
    assert 0 < there < 0.5
    assert read == 1
    said = {"a part": "distance == -1", "other": "distance == 1", "even": None}
    found = mark(model, truth, formula((ALL, "distance < 0")), Called(labels=said))
    assert (found.partial, found.wrong) == (("a part",), ("other",))


def test_idle_terms_are_told_exactly():
    model = MODELS["reverse"]
    mirror, start = (ALL, "key.from_end == query.index - 1"), (REST, "key.is_bos")
    assert idle_terms(formula(mirror, start), model) == ()
    copy = (1.0, "key.index + query.index == text_length")
    assert len(idle_terms(formula(mirror, start, copy), model)) >= 1
    assert iou([np.eye(3)], [np.eye(3)[::-1]]) == pytest.approx(1 / 5)


def test_negatives_are_what_they_say():
    model, draw = MODELS["histogram"], np.random.default_rng(0)
    for passage, rows in zip(model.passages, permuted(model, 0, draw), strict=True):
        np.testing.assert_array_equal(np.sort(rows, 1), np.sort(model.of(passage)[0], 1))
    other = swapped(model, 0, draw)
    assert sum((a == b[0]).all() for a, b in zip(other, model.attention, strict=True)) < 8
    kinds = list(negatives(tuple(MODELS.values()), 3))
    assert [one.name for one in kinds] == [
        "random weights", "keys permuted", "annotation of another text",
    ]  # fmt: skip
    assert all(0 < one.heads <= HEADS for one in kinds)
    np.testing.assert_allclose(kinds[0].attention[0].sum(-1), 1, atol=1e-6)


def test_a_part_of_the_exam():
    """Without the checks of shapes, which take ten times as long."""
    command = [sys.executable, "-m", "headscribe", "bench", "--seeds", "0", "--models"]
    names = "reverse,induction,seen_before"
    done = subprocess.run([*command, names], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("5 of 5 known heads (100%) get a formula that is the truth"), done


def test_the_document():
    model = MODELS["shift_right"]
    right = mark(model, model.truths[0], formula(STEP, START), PREVIOUS)
    wrong = mark(model, model.truths[0], formula(START), Called("next", "distance == 1"))
    sheet = Sheet(1, (replace(right, peers=PEERS[:1]), wrong), (("keys permuted", ("x",)),))
    found = sheet.to_json()
    assert (found["active_heads"], found["recovered"], found["missed"]) == (2, 1, 1)
    assert found["negatives"] == {"heads": 1, "labelled": 1}
    assert found["peers"] == {PEERS[0]: 1, PEERS[1]: 0, PEERS[2]: 0}
    assert str(sheet).startswith("1 of 2 known heads (50%) get a formula that is the truth,")
    assert "shift_right 0.0  missed: IoU 0." in str(sheet)


def test_a_position_that_looks_like_induction_is_not_called_induction():
    (toy,) = (model for model in known("trained") if model.name == "trained_shortcut")
    (truth,) = toy.truths
    likeness = borne_out("key.prev.id == query.id and distance < 0", truth, toy)
    assert min(likeness) > 0.3  # it does look like it
    looks = Called("x", Headline((("key.prev.id == query.id and distance < 0",),)))
    names = (looks, Called("induction", "key.prev.id == query.id and distance < 0"))
    where = Called("x", Headline((("distance == -4",), ("key.is_bos",))))
    right = formula((ALL, "distance == -4"), START)
    assert [mark(toy, truth, right, name).outcome for name in names] == ["misnamed", "misnamed"]
    assert mark(toy, truth, right, where).outcome == "recovered"


def test_shares_of_a_head_that_switches():
    (toy,) = (model for model in known("trained") if model.name == "trained_switching")
    (truth,) = toy.truths
    one, other = truth.parts
    found = shares_of(truth, formula((ALL, one), (ALL, other), START), toy)
    assert [part for part, *_ in found] == [one, other]
    assert all(abs(true - said) < 0.01 for _, true, said in found)
    half = mark(toy, truth, formula((ALL, one), START), PREVIOUS)
    assert half.shares[1][1] - half.shares[1][2] > 0.05
