import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.fitting.solver import Rows, fit_weights
from headscribe.fitting.statistics import (
    benjamini_yekutieli,
    mean_interval,
    number_groups,
    one_sided,
    sandwich,
    weight_intervals,
)
from tests.oracles import fitting as oracle

CPU = torch.device("cpu")


@settings(max_examples=40, deadline=None)
@given(
    p=st.lists(st.floats(0, 1), min_size=1, max_size=30), rate=st.sampled_from([0.01, 0.05, 0.2])
)
def test_benjamini_yekutieli(p, rate):
    expected = oracle.benjamini_yekutieli(p, rate)
    assert benjamini_yekutieli(np.array(p), rate).tolist() == expected


def test_no_hypothesis_no_rejection():
    assert benjamini_yekutieli(np.zeros((0, 3))).shape == (0, 3)


def test_one_sided_tests_have_their_level_and_power():
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(30), 2)
    shared = rng.normal(0.05, 0.1, (30, 2000))[np.arange(60) // 2]
    gains = shared + rng.normal(0, 0.05, (60, 2000))
    assert np.mean(one_sided(gains, group, 0.05) < 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(one_sided(gains + 0.1, group, 0.05) < 0.05) > 0.9
    constant = one_sided(np.full((60, 1), 0.2), group, 0.05)
    assert constant[0] == 0.0


def test_means_leave_out_missing_texts():
    values = np.array([1.0, np.nan, 3.0])
    mean, low, high = mean_interval(values, number_groups(["a", "b", "c"]))
    assert float(mean) == 2.0
    assert float(low) < 2 < float(high)


def clustered(rng, weights, groups=24, rows_each=4, mass=8.0):
    features, real, group = [], [], []
    for g in range(groups):
        for _ in range(rows_each):
            x = rng.normal(size=(6, len(weights)))
            features.append(x)
            real.append(rng.dirichlet(mass * oracle.softmax_rows([x], weights)[0] + 1e-6))
            group.append(g)
    return features, real, np.array(group)


def fitted(features, real):
    rows = Rows.of(np.array([len(x) for x in features]), CPU)
    x, a = torch.from_numpy(np.concatenate(features)), torch.from_numpy(np.concatenate(real))
    return rows, x, a, fit_weights(rows, x, a, "cross_entropy", ridge=0.0, tolerance=1e-12)


def test_sandwich_agrees_with_the_oracle():
    features, real, group = clustered(np.random.default_rng(1), np.array([1.0, -0.5]))
    rows, x, a, fit = fitted(features, real)
    found = sandwich(rows, x, fit.weights, a, group, "cross_entropy")
    expected = oracle.sandwich(features, real, fit.weights.numpy(), group)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_intervals_cover_the_true_weights():
    """A small version of the benchmark's 500 repetitions: 100 x 2 weights."""
    weights, covered = np.array([1.0, -0.5]), []
    for seed in range(100):
        features, real, group = clustered(np.random.default_rng(seed), weights)
        rows, x, a, fit = fitted(features, real)
        covariance = sandwich(rows, x, fit.weights, a, group, "cross_entropy")
        ends = weight_intervals(fit.weights.numpy(), covariance, 24)
        covered.append((ends[:, 0] <= weights) & (weights <= ends[:, 1]))
    assert 0.90 <= np.mean(covered) <= 0.99


def test_no_interval_where_the_weights_are_not_determined():
    features, real, group = clustered(np.random.default_rng(2), np.array([1.0]))
    features = [np.column_stack([x, x]) for x in features]
    rows, x, a, fit = fitted(features, real)
    assert sandwich(rows, x, fit.weights, a, group, "cross_entropy") is None
    assert np.isnan(weight_intervals(fit.weights.numpy(), None, 24)).all()
