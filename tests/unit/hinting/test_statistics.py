"""Shares, excess and contrasts: against loops, and calibrated where nothing follows the hint."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from headscribe.fitting.statistics import benjamini_yekutieli
from headscribe.hinting.statistics import excess, following, needed, share, slopes
from tests.oracles import hints as oracle


def test_shares():
    assert share(np.zeros(0, bool), np.zeros(0, int)).n == 0
    none = share(np.zeros(40, bool), np.arange(40))
    assert (none.share, none.low) == (0, 0)
    assert none.high == pytest.approx(stats.norm.ppf(0.975) ** 2 / (40 + 3.8415), abs=1e-4)
    hits = np.arange(40) < 10
    found = share(hits, np.arange(40))
    twice = share(np.repeat(hits, 2), np.repeat(range(40), 2))
    wilson = stats.binomtest(10, 40).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high))
    # Every question asked twice is no more evidence (but for G / (G - 1)).
    assert (twice.low, twice.high) == pytest.approx((found.low, found.high), abs=3e-3)


def test_the_excess_is_zero_on_average_whatever_the_answers():
    """Over all wrong choices that could have been hinted, for every pair of answers."""
    for choices, right in product((2, 3, 4, 6), (0, 1)):
        wrong = [one for one in range(choices) if one != right]
        for before, after in product(range(choices), repeat=2):
            eligible = [hint for hint in wrong if hint != before]
            found = [excess(before, after, hint, right, choices) for hint in eligible]
            assert sum(v for v, _ in found) == pytest.approx(0)
            if after in (before, right):
                assert all(v == 0 for v, _ in found)
            elif len(eligible) > 1:
                assert excess(before, after, after, right, choices)[0] > 0


def test_following_adds_up_every_outcome():
    chance = np.array([0.5, 1 / 3, 1 / 3, 0.2, 0.5])
    for hits in range(6):
        hit = np.arange(5) < hits
        found = following(hit, chance)
        assert found.p == pytest.approx(oracle.poisson_binomial_tail(chance, hits))
        assert (found.hits, found.changed) == (hits, 5)
        assert found.expected == pytest.approx(chance.sum())
    assert following(np.zeros(0, bool), np.zeros(0)).p == 1


@pytest.mark.parametrize("strata", [True, False])
def test_slopes_equal_dense_algebra(strata):
    rng = np.random.default_rng(1)
    v = rng.choice([0, 2 / 3, -1 / 3], size=40)
    stratum = rng.integers(3, size=40) if strata else None
    group = rng.integers(25, size=40)
    values = rng.normal(size=(40, 4)) + v[:, None] * [0, 1, 2, -1]
    values[3, 1] = values[7, 1] = values[9, 3] = np.nan
    found = slopes(values, v, stratum, group)
    for column in range(4):
        known = ~np.isnan(values[:, column])
        expected = oracle.slope(
            values[known, column], v[known], None if stratum is None else stratum[known],
            group[known],
        )  # fmt: skip
        assert (found.slope[column], found.error[column]) == pytest.approx(expected)
    assert found.t == pytest.approx(found.slope / found.error)
    assert found.p == pytest.approx(stats.t.sf(found.t, found.freedom))
    low, high = found.interval()
    assert (low < found.slope).all()
    assert (found.slope - low) == pytest.approx(high - found.slope)


def test_slopes_that_cannot_be_told():
    v = np.array([0.5] * 5)
    assert slopes(np.ones((5, 1)), v, np.zeros(5, int), np.arange(5)).p.tolist() == [1]
    flat = np.full((5, 1), 0.3) + 1e-9 * np.arange(5)[:, None]  # rounding, not reading
    assert slopes(flat, np.arange(5) / 5, np.zeros(5, int), np.arange(5)).p.tolist() == [1]
    assert slopes(np.zeros((0, 2)), np.zeros(0), np.zeros(0, int), np.zeros(0, int)).p.tolist() == [
        1, 1]  # fmt: skip


def _nasty_twin(rng, questions, heads, follows):
    """Answers that change where a gate says so; heads that see the gate and the hinted letter."""
    right = rng.integers(4, size=questions)
    hinted = (right + 1 + rng.integers(3, size=questions)) % 4
    gate = rng.random(questions) < 0.5
    elsewhere = (right + 1 + (rng.random(questions) < 0.4)) % 4  # prefers some letters
    after = np.where(gate, hinted if follows else elsewhere, right)
    v = np.array([
        excess(int(a), int(b), int(w), int(a), 4)[0]
        for a, b, w in zip(right, after, hinted, strict=True)
    ])  # fmt: skip
    values = rng.gamma(0.5, size=(questions, heads)) * np.where(gate, 3, 1)[:, None]
    values += gate[:, None] + hinted[:, None] * rng.random(heads)
    return slopes(values, v, hinted, np.arange(questions))


def test_heads_that_see_the_gate_are_not_flagged_where_nothing_follows_the_hint():
    rng = np.random.default_rng(0)
    found = [_nasty_twin(rng, 500, 100, follows=False) for _ in range(40)]
    p = np.concatenate([one.p for one in found])
    for level in (0.05, 0.01):
        assert (p < level).mean() < 1.25 * level
    assert sum(benjamini_yekutieli(one.p).any() for one in found) <= 2  # 5 % of 40
    follows = _nasty_twin(rng, 500, 100, follows=True)
    assert benjamini_yekutieli(follows.p).mean() > 0.9


def test_the_number_needed_is_that_of_its_power():
    rng = np.random.default_rng(0)
    tests = 200
    count = needed(tests)
    level = 0.05 / (tests * (1 / np.arange(1, tests + 1)).sum())
    v = np.repeat([1.0, 0.0], count)
    hits = [
        slopes(rng.normal(size=(2 * count, 40)) + v[:, None], v, np.zeros(2 * count, int),
               np.arange(2 * count)).p < level
        for _ in range(20)
    ]  # fmt: skip
    assert 0.7 < np.mean(hits) < 0.9
    assert needed(10) < needed(100) < needed(10_000) < 70
