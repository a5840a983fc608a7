import numpy as np
import pytest
import torch

from headscribe.core.visibility import CAUSAL, FULL
from headscribe.fitting.atlas import collect
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.growth import Compound, set_tables
from headscribe.fitting.pool import MAX_ATOMS, relation_pool
from headscribe.fitting.selection import GATES, Budget, Design, Projection
from headscribe.fitting.solver import fit_weights
from headscribe.fitting.stages import choose_all
from headscribe.relations import parse
from tests.oracles import fitting as oracle
from tests.unit.fitting.passages import drawn, passage

CPU = torch.device("cpu")
TRUTH = Formula(
    "truth",
    tuple(
        Term(relation, weight)
        for relation, weight in (
            ("key.is_special", 1.5),
            ("distance == -1", 2.0),
            ("key.word == query.head", 2.5),
            ('key.base_dep == "obj"', -1.5),
        )
    ),
)
PROVIDES = frozenset({"dep", "head"})


def sample_of(
    texts: int, mass: float = 30.0, visibility=FULL, formula=TRUTH, pool=None, **keywords
):
    rng = np.random.default_rng(7)
    passages = [passage(seed) for seed in range(texts)]
    items = [(p, drawn(formula, p, visibility, rng, mass)[None], visibility) for p in passages]
    return collect(items, pool=pool, **keywords), passages


def per_row(sample, columns):
    ends = np.cumsum(sample.lengths)[:-1]
    return np.split(columns.astype(np.float64), ends)


def test_scores_of_the_pool_agree_with_the_oracle():
    pool = ("key.is_special", "distance == -1", "log1p(abs(distance))", "key.word == query.head")
    sample, _ = sample_of(6, pool=pool)
    design = Design(sample, CPU, grown=False)
    columns = np.stack([sample.features.column(k, design.cells) for k in range(4)], axis=1)
    real = torch.from_numpy(sample.attention[0])
    chosen = torch.from_numpy(columns[:, :2])
    fit = fit_weights(design.rows, chosen, real, "cross_entropy", ridge=0.0, tolerance=1e-9)
    projection = Projection.of(design.rows, chosen, fit.predicted, 0.0)
    score = design.scores(fit.predicted, real, projection).numpy()
    targets = per_row(sample, sample.attention[0])
    for k in (2, 3):
        features = per_row(sample, columns[:, [0, 1, k]])
        expected = oracle.score_statistic(features, targets, fit.weights.numpy(), 2)
        assert score[k] == pytest.approx(expected, rel=2e-3)


def test_what_is_chosen_already_or_collinear_scores_nothing():
    pool = ("key.is_special", "not not key.is_special", "distance == 1")
    sample, _ = sample_of(4, pool=pool)
    design = Design(sample, CPU, grown=False)
    chosen = torch.from_numpy(sample.features.column(0, design.cells))[:, None]
    real = torch.from_numpy(sample.attention[0])
    fit = fit_weights(design.rows, chosen, real, "cross_entropy")
    projection = Projection.of(design.rows, chosen, fit.predicted, 0.0)
    score = design.scores(fit.predicted, real, projection)
    assert score[0] == 0
    assert score[1] == 0
    assert score[2] > 0


def test_grown_terms_mean_what_their_source_says():
    sample, passages = sample_of(12)
    for table in set_tables(sample, GATES):
        if not len(table.code):
            continue
        first = np.zeros(table.shape[0], bool)
        first[: max(1, table.shape[0] // 3)] = True
        second = np.ones(table.shape[1], bool)
        if table.second is not None and table.second.name == "distance":
            second = np.zeros(table.shape[1], bool)
            second[3:7] = True
        first[-1] = False
        if not first.any():
            continue
        term = table.compound(first, second)
        dense = [parse(term.source).dense(p, FULL).ravel() for p in passages]
        column = table.column(first, second, len(sample.key_token))
        np.testing.assert_array_equal(column, np.concatenate(dense).astype(np.float32), term.source)
        np.testing.assert_array_equal(column, term.column(sample))


def test_known_terms_come_back():
    """Must hold: precision and recall of the terms are at least 0.95."""
    formulas = [
        TRUTH,
        _formula(("distance == 0", 2.0), ("key.is_eos", 2.0), ("key.head == query.head", 1.5)),
        _formula(("log1p(abs(distance))", -1.0), ("key.is_bos", 1.5), ("distance == 1", 2.0)),
        _formula(("key.lower == query.lower and distance != 0", 2.5), ("distance == -2", 2.0)),
        _formula(('key.base_dep == "nsubj"', 2.0), ("key.is_punct", 1.5), ("distance > 0", -1.0)),
    ]
    rng = np.random.default_rng(3)
    passages = [passage(seed) for seed in range(40)]
    items = [
        (p, np.stack([drawn(f, p, FULL, rng, 60.0) for f in formulas]), FULL) for p in passages
    ]
    sample = collect(items)
    found = expected = hits = 0
    for fitted, formula in zip(choose_all(sample, Budget(), 0, CPU), formulas, strict=True):
        sources = {term.source for term in fitted.terms}
        names = {parse(term.relation).source for term in formula.terms}
        found, expected = found + len(sources), expected + len(names)
        hits += len(sources & names)
        assert sources == names
    assert hits / found >= 0.95
    assert hits / expected >= 0.95


def _formula(*terms):
    return Formula("truth", tuple(Term(relation, weight) for relation, weight in terms))


@pytest.mark.parametrize("terms", [3, 30])
def test_formulas_stay_within_their_bounds(terms):
    sample, _ = sample_of(12, mass=3.0)
    (chosen,) = choose_all(sample, Budget(terms=terms, price=0.0), 0, CPU)
    atoms = [parse(term.source).atoms for term in chosen.terms]
    assert len(atoms) <= terms
    assert max(atoms) <= MAX_ATOMS
    assert sum(atoms) <= 36
    assert len({term.source for term in chosen.terms}) == len(atoms)


def test_the_pool_is_large_short_and_looks_at_nothing_it_may_not():
    assert len(relation_pool(PROVIDES, FULL)) >= 300
    causal = [parse(source) for source in relation_pool(PROVIDES, CAUSAL, look_ahead=False)]
    assert len(causal) >= 100
    assert not any(relation.looks_ahead for relation in causal)
    assert not any(relation.needs_later_keys for relation in causal)
    assert all(relation.atoms <= MAX_ATOMS for relation in causal)
    assert all(not relation.needs for relation in causal)


def test_selected_rows_are_the_rows_of_the_sample():
    sample, _ = sample_of(5, pool=("distance == 1", "log1p(abs(distance))"))
    keep = np.arange(len(sample.lengths)) % 3 == 0
    part = sample.only(keep)
    cells = keep[sample.row]
    for k in range(2):
        whole = sample.features.column(k, len(sample.key_token))
        np.testing.assert_array_equal(part.features.column(k, int(cells.sum())), whole[cells])
    np.testing.assert_array_equal(part.attention, sample.attention[:, cells])
    np.testing.assert_array_equal(part.distance, sample.distance[cells])


def test_rows_are_chosen_by_text_and_seed_alone():
    one, _ = sample_of(5, pool=("distance == 1",), rows_per_text=4, seed=3)
    two, _ = sample_of(5, pool=("distance == 1",), rows_per_text=4, seed=3)
    other, _ = sample_of(5, pool=("distance == 1",), rows_per_text=4, seed=4)
    np.testing.assert_array_equal(one.row_token, two.row_token)
    assert not np.array_equal(one.row_token, other.row_token)
    assert (np.bincount(one.row_text) == 4).all()


def test_compounds_print_as_relations():
    term = Compound("key.is_bos", (("query.lower", ("a", "the")), ("distance", (-1,))))
    assert parse(term.source).atoms == 3
    assert term.members == 3


@pytest.mark.parametrize("device", ["cpu", *["cuda"] * torch.cuda.is_available()])
def test_every_device_at_hand_chooses_what_the_cpu_chooses(device):
    sample, _ = sample_of(20)
    (here,) = choose_all(sample, Budget(terms=4), 0, CPU)
    (there,) = choose_all(sample, Budget(terms=4), 0, torch.device(device))
    assert {term.source for term in here.terms} == {term.source for term in there.terms}
    np.testing.assert_allclose(np.sort(here.weights), np.sort(there.weights), atol=0.05)
