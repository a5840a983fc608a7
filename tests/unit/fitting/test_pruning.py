import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from headscribe.core.visibility import FULL
from headscribe.fitting.atlas import collect
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.growth import Compound
from headscribe.fitting.pruning import Pruner, _cell_effects, _without, ink, simpler, trimmed
from headscribe.fitting.solver import Fit, Rows, fit_weights, gradient_and_curvature, loss
from headscribe.fitting.stages import features_of
from tests.unit.fitting.passages import drawn, passage

CPU = torch.device("cpu")
PRICE = 1e-3
TRUTH = Formula(
    "truth", (Term("distance == -1", 3.0), Term("key.is_special", 1.5), Term("key.is_punct", -1.0))
)
POOL = (
    *("distance == -1", "distance == -1 and not query.is_special", "key.is_special"),
    *("distance == -1 and not key.is_special", "key.is_punct", "distance == 3"),
    *("not query.is_special", "key.is_special and distance < 0"),
)


@pytest.fixture(scope="module")
def sample():
    rng = np.random.default_rng(11)
    passages = [passage(seed) for seed in range(40)]
    return collect(((p, drawn(TRUTH, p, FULL, rng, 60.0)[None], FULL) for p in passages), pool=POOL)


@pytest.fixture(scope="module")
def pruner(sample):
    return Pruner(sample, Rows.of(sample.lengths, CPU), PRICE, 1e-4)


def pruned(pruner, terms, limit=12):
    real = torch.from_numpy(pruner.sample.attention[0])
    start = torch.zeros(len(terms), dtype=torch.float64)
    whole = fit_weights(
        pruner.rows, features_of(terms, pruner.sample, CPU), real, "overlap", start=start
    )
    return whole, *pruner.prune(terms, whole.weights, real, limit)


def test_collinear_terms_become_one_and_useless_ones_go(pruner):
    terms = [Compound(gate) for gate in POOL if gate not in ("distance == -1", POOL[-2])]
    terms.append(Compound("", (("query.lower", ("and", "cat")), ("distance", (3, 4)))))
    whole, found, fit = pruned(pruner, terms)
    assert {term.source for term in found} == {term.relation for term in TRUTH.terms}
    lost = fit.objective - whole.objective
    assert lost <= PRICE * (sum(map(ink, terms)) - sum(map(ink, found)))


def test_no_more_terms_than_wanted_and_the_best_of_them(pruner):
    _, found, _ = pruned(pruner, [Compound(gate) for gate in POOL], limit=1)
    assert [term.source for term in found] == ["distance == -1"]


def test_what_is_worth_its_ink_stays(pruner):
    terms = [Compound(term.relation) for term in TRUTH.terms]
    _, found, _ = pruned(pruner, terms)
    assert list(found) == terms
    assert pruned(pruner, [])[1] == ()


def test_a_last_term_that_is_worth_nothing_goes_too(pruner):
    _, found, fit = pruned(pruner, [Compound("not query.is_special")])
    assert found == ()
    assert len(fit.weights) == 0


def test_the_cost_foreseen_is_the_minimum_of_the_quadratic_model():
    """Against a solver that knows nothing of positions: `w_k` held at 0, the rest at its best."""
    rng = np.random.default_rng(2)
    root = rng.normal(size=(30, 5))
    bend, slope, weights = root.T @ root, rng.normal(size=5), rng.normal(size=5)

    def model(w):
        return slope @ (w - weights) + (w - weights) @ bend @ (w - weights) / 2

    for free in ([0, 2, 3], [0, 2, 3, 4], []):
        cost, moved = _without(slope, bend, weights, 1, free)

        def held(values, free=free):
            w = weights.copy()
            w[1] = 0
            w[free] = values
            return model(w)

        found = minimize(held, weights[free], tol=1e-12) if free else None
        assert cost == pytest.approx(held([]) if found is None else found.fun, abs=1e-6)
        if found is not None:
            np.testing.assert_allclose(moved, found.x, atol=1e-4)


def test_effects_of_cells_are_slope_and_curvature(sample):
    few = sample.only(np.arange(len(sample.lengths)) < 3)
    rows, real = Rows.of(few.lengths, CPU), torch.from_numpy(few.attention[0]).double()
    logits = torch.linspace(-1, 1, len(real), dtype=torch.float64)
    fit = Fit(torch.zeros(0), rows.softmax(logits), 0.0)
    slope, bend = _cell_effects(rows, fit, real)
    each = torch.eye(len(real), dtype=torch.float64)
    gradient, curvature = gradient_and_curvature(rows, each, fit.predicted, real, "overlap")
    np.testing.assert_allclose(slope, gradient, atol=1e-12)
    np.testing.assert_allclose(bend, torch.diagonal(curvature), atol=1e-12)
    moved = logits.clone()
    moved[5] += 1e-6
    before, after = (loss(rows, rows.softmax(z), real, "overlap") for z in (logits, moved))
    assert (after - before) / 1e-6 == pytest.approx(float(slope[5]), abs=1e-6)


def test_members_that_gain_nothing_leave_their_set(sample):
    term = Compound("", (("key.lower", (",", ".", "a", "the")), ("distance", (-3, -2, -1))))
    cell = np.flatnonzero(term.column(sample))
    word = sample.tokens["lower"][sample.key_token[cell]]
    found = trimmed(term, sample, cell, np.where(word == "a", 1.0, -1.0), 0.5)
    assert found.sets[0] == ("key.lower", ("a",))
    cost = np.where(np.isin(sample.distance[cell], (-3, -1)), 1.0, 0.0)
    assert trimmed(term, sample, cell, cost, 0.5).sets[1] == ("distance", (-3, -2, -1)), "a range"


def test_simpler_forms_of_a_term():
    pool = {source: k for k, source in enumerate(POOL)}
    found = [one.source for one in simpler(Compound(POOL[1]), pool)]
    assert found == ["distance == -1", "not query.is_special"]
    sets = (("key.lower", ("a", "the")), ("distance", (1,)))
    found = {one.source for one in simpler(Compound("key.is_special", sets), pool)}
    assert found == {
        "key.is_special",
        'key.is_special and key.lower in {"a", "the"}',
        "key.is_special and distance == 1",
        'key.lower in {"a", "the"} and distance == 1',
        'key.lower in {"a", "the"}',
        "distance == 1",
    }
    assert ink(Compound("key.is_special", sets)) == pytest.approx(3 + 2 * 0.2)
