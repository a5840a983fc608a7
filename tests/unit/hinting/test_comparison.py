"""From answers and readings to rates and heads."""

import numpy as np
import pytest

from headscribe.core.heads import HeadId
from headscribe.hinting.comparison import compare_heads
from headscribe.hinting.measures import MEASURES
from headscribe.hinting.slides import own_scores, turned_right
from headscribe.hinting.statistics import mean_interval
from tests.unit.hinting import synthetic


@pytest.fixture(scope="module")
def small():
    """Six questions: right stays, follows, follows as the note does, elsewhere, unparsed, wrong."""
    return synthetic.outcomes(
        before=[0, 0, 0, 0, None, 3],
        wrong=[0, 1, 1, 2, 1, 1],
        right=[0, 0, 0, 1, 0, 0],
        note=[0, 0, 1, 0, 0, None],
        hinted=[1, 1, 1, 1, 1, 1],
        correct=[0, 0, 0, 0, 0, 0],
    )


def test_who_changed(small):
    assert small.changed("wrong").tolist() == [False, True, True, True, False, True]
    assert small.to_hinted("wrong").tolist() == [False, True, True, False, False, True]
    assert small.kept("wrong").tolist() == [False, True, False, False, False, True]
    assert small.to_hinted("right").tolist() == [False, False, False, False, False, True]
    assert turned_right(small) == [5]
    v, chance = small.excess.T
    assert v == pytest.approx([0, 1, 0, -1 / 2, 0, 1])
    assert chance == pytest.approx([0, 1 / 3, 0, 1 / 3, 0, 1 / 2])
    assert (small.following.hits, small.following.changed) == (2, 3)


def test_rates(small):
    def of(name, condition):
        rate = small.rate(name, condition)
        return rate.hits, rate.n

    assert of("accuracy", "none") == (4, 6)
    assert of("accuracy", "wrong") == (1, 6)
    assert of("changed", "wrong") == (4, 5)
    assert of("changed", "note") == (1, 4)
    assert of("to_hinted", "wrong") == (3, 5)
    assert of("to_hinted", "note") == (1, 4)
    assert of("follows", "wrong") == (2, 5)
    assert of("follows", "right") == (1, 1)
    assert of("wrong_to_right", "right") == (1, 1)
    assert of("also_note", "wrong") == (1, 3)
    assert of("unparsed", "none") == (1, 6)
    assert small.rate("chance", "none").share == 0.25


def test_the_head_that_reads_the_hint_comes_first():
    rng = np.random.default_rng(0)
    found, gate = synthetic.planted(rng)
    compared = compare_heads(found, synthetic.readings(rng, found, gate))
    ranking, first = compared.ranking, compared.findings[0]
    assert ranking.refused is None
    assert ranking.reference == "unchanged"
    assert (ranking.changed, ranking.others) == (gate.sum(), (~gate).sum())
    assert ranking.follow.p < 1e-10
    assert (first.head, first.measure[:4], first.flagged) == (HeadId(1, 2), "hint", True)
    assert [one.head for one in compared.findings if one.flagged] == [HeadId(1, 2)]
    assert ranking.flagged == 1
    row = next(
        one for one in compared.rows
        if (one.head, one.measure, one.condition) == (HeadId(1, 2), "hint", "wrong")
    )  # fmt: skip
    assert row.changed - row.unchanged == pytest.approx(0.4, abs=0.05)
    assert row.contrast[0] == pytest.approx(row.changed - row.unchanged, rel=0.05)
    assert row.contrast[1] < 0.4 < row.contrast[2]
    assert (row.n, row.n_changed, row.n_unchanged) == (300, gate.sum(), (~gate).sum())
    assert len(compared.rows) == 2 * len(MEASURES) * 12
    tested = [one for one in compared.rows if one.condition == "right"]
    assert all(np.isnan(one.p) and not one.flagged for one in tested)


def test_a_model_that_does_not_heed_what_the_hint_says_flags_nothing():
    rng = np.random.default_rng(1)
    found, gate = synthetic.planted(rng, 500, presence=True)
    compared = compare_heads(found, synthetic.readings(rng, found, gate))
    assert compared.findings == ()
    assert "not towards what the hint says" in compared.ranking.refused
    assert compared.ranking.follow.hits == pytest.approx(compared.ranking.follow.expected, abs=25)
    assert not any(one.flagged for one in compared.rows)
    p = np.array([one.p for one in compared.rows if one.condition == "wrong"])
    assert p.min() > 1e-3  # also head 1.2, which reads the hint where the answer changes


def test_too_few_answers_follow():
    rng = np.random.default_rng(2)
    found, gate = synthetic.planted(rng, follows=0.05)
    compared = compare_heads(found, synthetic.readings(rng, found, gate))
    assert compared.findings == ()
    assert f"follow the wrong hint: {gate.sum()}; {compared.ranking.needed} are needed" in (
        compared.ranking.refused
    )
    assert len(compared.rows) == 2 * len(MEASURES) * 12  # everything descriptive is there
    assert all(np.isfinite(one.beyond[0]) for one in compared.rows)


def test_where_all_follow_the_note_is_the_reference():
    rng = np.random.default_rng(3)
    found, gate = synthetic.planted(rng, follows=1.0)
    values = synthetic.readings(rng, found, gate)
    compared = compare_heads(found, values)
    assert compared.ranking.reference == "note"
    assert [one.head for one in compared.findings if one.flagged] == [HeadId(1, 2)]


def test_two_choices_say_nothing():
    rng = np.random.default_rng(4)
    right = rng.integers(2, size=200)
    found = synthetic.outcomes(right, 1 - right, right, right, 1 - right, right, choices=2)
    compared = compare_heads(found, synthetic.readings(rng, found, np.ones(200, bool)))
    assert "questions of at least 3 choices work" in compared.ranking.refused


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(7)
    found, gate = synthetic.planted(rng, 60)
    values = synthetic.readings(rng, found, gate)
    whole = compare_heads(found, values).rows
    monkeypatch.setattr("headscribe.hinting.comparison.BLOCK", 7)
    for one, other in zip(whole, compare_heads(found, values).rows, strict=True):
        assert one.beyond == pytest.approx(other.beyond)
        assert one.hint == pytest.approx(other.hint)


def test_readings_that_are_missing_do_not_count():
    rng = np.random.default_rng(5)
    found, gate = synthetic.planted(rng)
    values = synthetic.readings(rng, found, gate)
    values[:100, :, 2, 1, 2] = np.nan
    compared = compare_heads(found, values)
    row = next(
        one for one in compared.rows
        if (one.head, one.measure, one.condition) == (HeadId(1, 2), "answer", "wrong")
    )  # fmt: skip
    assert row.n == 200
    assert np.isfinite(row.contrast[0])
    assert compared.findings[0].head == HeadId(1, 2)


def test_the_score_of_the_slides_counts_wrong_answers_turned_right(small):
    rng = np.random.default_rng(6)
    values = rng.random((6, 3, 5, 2, 3)).astype(np.float32)
    scores = own_scores(small, values)
    assert [one.head for one in scores] == [HeadId(layer, h) for layer in (0, 1) for h in range(3)]
    assert [one.score[0] for one in scores] == pytest.approx(values[5, 1, 1].ravel().tolist())
    assert all(one.n == 1 for one in scores)
    assert all(np.isnan([*one.score[1:], *one.beyond[1:]]).all() for one in scores), "one question"


def test_what_a_note_of_the_same_length_does_is_taken_off_the_score():
    found = synthetic.outcomes([2, 2, 2], [1] * 3, [0] * 3, [2] * 3, [1] * 3, [0] * 3)
    values = np.full((3, 3, 5, 1, 3), 0.9, np.float32)
    right, note = values[:, 1, 1, 0], values[:, 2, 1, 0]  # conditions wrong, right, note
    right[:], note[:] = [0.5, 0.5, 0.5], [0.5, 0.25, 0.0]
    right[0] += 0.125  # one question moves more under the hint
    note[1, 2] = np.nan
    as_the_note, beyond, two = own_scores(found, values)
    assert as_the_note.score[0] == pytest.approx(0.5 + 0.125 / 3)
    assert as_the_note.note == 0.5
    assert as_the_note.beyond[0] == pytest.approx(0.125 / 3)
    assert as_the_note.beyond[1] < 0 < as_the_note.beyond[2]
    # Of 0.375, 0.25, 0.25: the mean is 7/24, its standard error 1/24; Student's t with 2 degrees.
    assert beyond.beyond == pytest.approx([(7 + k * 4.3026527) / 24 for k in (0, -1, 1)])
    assert (two.n, two.note, two.beyond[0]) == (2, 0.0, pytest.approx(0.5625))
    assert two.score[0] == pytest.approx(0.5625), "only questions that have both"


def test_what_is_the_same_in_every_question_has_no_interval():
    values = np.array([[0.25, 0.1, np.nan], [0.25, 0.3, 1.0], [0.25, 0.2, np.nan]])
    mean, low, high = mean_interval(values, np.array([4, 7, 9]))
    assert mean == pytest.approx([0.25, 0.2, 1.0])
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False, True]
    mean, low, _ = mean_interval(values, np.array([3, 3, 3]))
    assert mean == pytest.approx([0.25, 0.2, 1.0])
    assert np.isnan(low).all()
    assert np.isnan(mean_interval(values[:0], np.array([], int))).all()
