import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.fitting.solver import (
    Objective,
    Rows,
    fit_weights,
    gradient_and_curvature,
    hessian,
    loss,
    removals,
    row_gradients,
)
from tests.oracles import fitting as oracle

KINDS: tuple[Objective, ...] = ("cross_entropy", "overlap")
CPU = torch.device("cpu")


def problem(seed: int, rows: int = 12, terms: int = 3, noise: float = 20.0):
    """Random features, and rows drawn around the formula with random weights."""
    rng = np.random.default_rng(seed)
    features = [rng.normal(size=(int(rng.integers(2, 8)), terms)) for _ in range(rows)]
    weights = rng.normal(size=terms)
    mean = oracle.softmax_rows(features, weights)
    real = [rng.dirichlet(noise * row + 1e-3) for row in mean]
    return features, real, weights


def packed(features, real):
    layout = Rows.of(np.array([len(x) for x in features]), CPU)
    return (
        layout,
        torch.from_numpy(np.concatenate(features)),
        torch.from_numpy(np.concatenate(real)),
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS))
def test_objective_and_gradient_agree_with_the_oracle(seed, kind):
    features, real, weights = problem(seed)
    rows, x, a = packed(features, real)
    p = rows.softmax(x @ torch.from_numpy(weights))
    assert loss(rows, p, a, kind) == pytest.approx(
        oracle.objective(features, real, weights, kind), abs=1e-10
    )
    gradient, _ = gradient_and_curvature(rows, x, p, a, kind)
    expected = oracle.numeric_gradient(features, real, weights, kind)
    np.testing.assert_allclose(gradient.numpy(), expected, atol=2e-5)
    by_row = row_gradients(rows, x, p, a, kind).mean(0).numpy()
    np.testing.assert_allclose(by_row, gradient.numpy(), atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_hessian_of_the_cross_entropy(seed):
    features, real, weights = problem(seed)
    rows, x, a = packed(features, real)
    p = rows.softmax(x @ torch.from_numpy(weights))
    _, curvature = gradient_and_curvature(rows, x, p, a, "cross_entropy")
    np.testing.assert_allclose(curvature.numpy(), oracle.hessian(features, weights), atol=1e-12)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS))
def test_hessian_is_the_jacobian_of_the_gradient(seed, kind):
    features, real, weights = problem(seed)
    rows, x, a = packed(features, real)

    def gradient(w):
        p = rows.softmax(x @ torch.from_numpy(w))
        return gradient_and_curvature(rows, x, p, a, kind)[0].numpy()

    p = rows.softmax(x @ torch.from_numpy(weights))
    step = 1e-6 * np.eye(len(weights))
    numeric = np.stack([(gradient(weights + e) - gradient(weights - e)) / 2e-6 for e in step])
    np.testing.assert_allclose(hessian(rows, x, p, a, kind).numpy(), numeric, atol=1e-4)


def test_newton_finds_the_optimum_of_the_cross_entropy():
    features, real, _ = problem(1, rows=40)
    rows, x, a = packed(features, real)
    fit = fit_weights(rows, x, a, "cross_entropy", ridge=0.0, tolerance=0.0)
    gradient = oracle.numeric_gradient(features, real, fit.weights.numpy(), "cross_entropy")
    assert np.abs(gradient).max() < 1e-6


def test_overlap_starts_from_cross_entropy_and_descends_to_a_stationary_point():
    features, real, _ = problem(2, rows=40, noise=3.0)
    rows, x, a = packed(features, real)
    first = fit_weights(rows, x, a, "cross_entropy", ridge=0.0)
    fit = fit_weights(
        rows, x, a, "overlap", start=first.weights, ridge=0.0, steps=300, tolerance=1e-12
    )
    assert fit.objective < loss(rows, first.predicted, a, "overlap")
    gradient = oracle.numeric_gradient(features, real, fit.weights.numpy(), "overlap")
    assert np.abs(gradient).max() < 2e-3


def test_weights_are_those_of_the_formula_where_nothing_is_drawn():
    features, _, weights = problem(3, rows=30)
    rows, x, a = packed(features, oracle.softmax_rows(features, weights))
    for kind in KINDS:
        fit = fit_weights(rows, x, a, kind, ridge=0.0, steps=100, tolerance=1e-14)
        np.testing.assert_allclose(fit.weights.numpy(), weights, atol=1e-3)


def test_cost_of_dropping_a_term_is_that_of_refitting_to_second_order():
    features, _, weights = problem(4, rows=300)
    weights = weights * 0.1
    rows, x, a = packed(features, oracle.softmax_rows(features, weights))
    fit = fit_weights(rows, x, a, "cross_entropy", ridge=0.0, tolerance=0.0)
    costs = removals(rows, x, fit, a, "cross_entropy", ridge=0.0).costs
    for k in range(3):
        rest = [i for i in range(3) if i != k]
        again = fit_weights(rows, x[:, rest], a, "cross_entropy", ridge=0.0, tolerance=0.0)
        assert float(costs[k]) == pytest.approx(again.objective - fit.objective, rel=0.15, abs=1e-7)


def test_constant_features_do_no_harm():
    features, real, _ = problem(5)
    features = [np.column_stack([x, np.ones(len(x))]) for x in features]
    rows, x, a = packed(features, real)
    fit = fit_weights(rows, x, a, "cross_entropy")
    assert torch.isfinite(fit.weights).all()
