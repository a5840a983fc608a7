"""Intervals: against a plain formula, and their coverage on data with a known mean."""

import numpy as np
import pytest

from headscribe.scoring.statistics import ratio


def test_with_one_text_a_bucket_it_is_the_mean_and_its_standard_error() -> None:
    values = np.array([0.1, 0.5, 0.4, 0.9, 0.3])
    mean, low, high = ratio(values, np.ones(5))
    error = values.std(ddof=1) / np.sqrt(5)
    assert mean == pytest.approx(values.mean())
    assert high - mean == pytest.approx(2.776445 * error)
    assert mean - low == pytest.approx(high - mean)


def test_empty_buckets_do_not_count() -> None:
    values, count = np.array([0.2, 0.8, 0.3]), np.ones(3)
    padded = ratio(np.append(values, [0, 0]), np.append(count, [0, 0]))
    np.testing.assert_allclose(padded, ratio(values, count))


def test_one_bucket_has_no_interval_and_no_text_no_mean() -> None:
    mean, low, high = ratio(np.array([0.5, 0.0]), np.array([1.0, 0.0]))
    assert mean == 0.5
    assert np.isnan([low, high]).all()
    assert np.isnan(ratio(np.zeros(3), np.zeros(3))[0])


def test_the_interval_covers_the_mean_of_clustered_texts() -> None:
    """Texts of a group share half of their variance; 95 % means between 92 and 98 of 100."""
    rng = np.random.default_rng(0)
    groups, hits, trials = 60, 0, 400
    for _ in range(trials):
        size = rng.integers(1, 5, groups)
        shared = rng.normal(size=groups)
        total = np.array([(shared[g] + rng.normal(size=n)).sum() for g, n in enumerate(size)])
        _, low, high = ratio(total, size.astype(float))
        hits += low <= 0 <= high
    assert 0.92 <= hits / trials <= 0.98
