"""Graded terms: the best steps by trying all, columns that mean what is written, what is found."""

from itertools import product

import numpy as np
import pytest
import torch

from headscribe.core.visibility import CAUSAL, FULL
from headscribe.fitting.atlas import collect
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.growth import MAX_MEMBERS, gradings, grow_steps, step_tables
from headscribe.fitting.pool import (
    CROSSED,
    MAX_ATOMS,
    WIDE_ATTRIBUTES,
    WIDE_GATES,
    relation_pool,
)
from headscribe.fitting.selection import Breadth, Design, Projection
from headscribe.fitting.stages import candidates
from headscribe.relations import Evaluator, parse
from headscribe.relations.analysis import walk
from headscribe.relations.syntax import Member
from tests.unit.fitting.passages import drawn, passage

GRADED = '(key.lower in {"cat", "dog"}) + (key.lower in {"dog"}) - (key.lower in {"of", "the"})'
TRUTH = Formula("truth", (Term(parse(GRADED).source, 1.5), Term("distance == -1", 2.0)))


def sample_of(texts, visibility, pool, mass=40.0):
    rng = np.random.default_rng(5)
    passages = [passage(seed) for seed in range(texts)]
    items = [(p, drawn(TRUTH, p, visibility, rng, mass)[None], visibility) for p in passages]
    return collect(items, pool=pool, attributes=WIDE_ATTRIBUTES), passages


def test_the_best_steps_by_trying_all():
    rng = np.random.default_rng(0)
    for _ in range(20):
        score, weight = rng.normal(size=6), rng.uniform(0.2, 2.0, 6)
        found = gradings(score, weight, 0.1, 3)
        allowed = {1: [(0, 1)], 2: [(-1, 0, 1), (0, 1, 2)], 3: [(-1, 0, 1, 2)]}
        for sets, choices in allowed.items():
            best = 0.0
            for values in choices:
                for sign in (1, -1):
                    for steps in product(values, repeat=5):
                        pull = sign * np.dot(steps, score[:5])
                        if pull > 0:
                            size = np.dot(np.square(steps), weight[:5]) + 0.1
                            best = max(best, pull**2 / size)
            mine = max((found[n] for n in found if n <= sets), key=lambda one: one.score)
            assert mine.score == pytest.approx(best)
        for sets, one in found.items():
            assert one.sets == sets
            assert one.steps[-1] == 0
            size = np.dot(np.square(one.steps.astype(float)), weight) + 0.1
            assert one.score == pytest.approx(np.dot(one.steps, score) ** 2 / size)


def test_sets_keep_their_bound():
    rng = np.random.default_rng(1)
    for sets in (1, 2, 3):
        found = gradings(rng.normal(1.0, 0.5, 151), rng.uniform(0.5, 2.0, 151), 0.1, sets)[sets]
        marked, twice = (found.steps == 1).sum(), (found.steps == 2).sum()
        assert marked + 2 * twice <= MAX_MEMBERS * min(sets, 2)
        assert twice <= MAX_MEMBERS
        assert (found.steps == -1).sum() <= MAX_MEMBERS
    assert not gradings(np.zeros(5), np.ones(5), 0.1, 3)


@pytest.mark.parametrize("visibility", [CAUSAL, FULL])
def test_columns_mean_what_is_written(visibility):
    sample, passages = sample_of(16, visibility, (*WIDE_GATES, "distance == 0"))
    tables = step_tables(sample, WIDE_GATES, CROSSED)
    even = 1 / np.repeat(sample.lengths, sample.lengths)
    rng = np.random.default_rng(2)
    real = even * rng.uniform(0, 2, len(even))
    found = grow_steps(tables, even, real, len(sample.lengths), 10_000)
    assert len({one.term.source for one in found}) > 40
    again = collect(
        [(p, np.ones((1, len(p), len(p))), visibility) for p in passages],
        pool=[one.term.source for one in found],
    )
    shapes = set()
    for k, one in enumerate(found):
        relation = parse(one.term.source)
        assert relation.source == one.term.source
        assert relation.atoms == one.atoms <= MAX_ATOMS
        members = [n for n in walk(relation.expression) if isinstance(n, Member)]
        assert all(len(node.values) <= MAX_MEMBERS for node in members)
        assert np.allclose(again.features.column(k, len(even)), one.column, atol=1e-6), (
            one.term.source
        )
        shapes.add((relation.is_boolean, relation.atoms))
    assert len(shapes) >= 4


def test_the_wide_pool_has_the_gates_and_does_not_look_ahead():
    pool = relation_pool(frozenset(), CAUSAL, look_ahead=False, wide=True)
    assert len(set(pool)) == len(pool) > 400
    assert set(WIDE_GATES) <= set(pool)
    for source in pool:
        relation = parse(source)
        assert relation.source == source
        assert not relation.looks_ahead
        assert relation.atoms <= MAX_ATOMS
    with_parses = relation_pool(frozenset({"dep", "head", "upos"}), FULL, wide=True)
    assert len(with_parses) > len(pool)


def test_dense_scores_are_those_of_the_pool():
    pool = ("distance == -1", "log1p(abs(distance))", "key.index / 10")
    sample, _ = sample_of(6, FULL, pool)
    design = Design(sample, torch.device("cpu"), grown=False)
    columns = torch.from_numpy(
        np.stack([sample.features.column(k, design.cells) for k in range(3)], axis=1)
    )
    real = torch.from_numpy(sample.attention[0])
    predicted = design.rows.softmax(columns[:, 0] * 0.3)
    chosen = Projection.of(design.rows, columns[:, :1], predicted, 1e-4)
    expected = design.scores(predicted, real, chosen)
    found = chosen.scores(design.rows, columns, predicted, real)
    assert torch.allclose(found, expected, rtol=2e-3, atol=1e-8)


def test_candidates_predict_planted_attention():
    pool = relation_pool(frozenset(), CAUSAL, look_ahead=False, wide=True)
    sample, _ = sample_of(40, CAUSAL, pool, mass=200.0)
    (terms,) = candidates(sample, Breadth(terms=9, at_once=3))
    assert len(terms) == 9
    assert len({term.relation for term in terms}) == 9
    formula = Formula("found", terms)
    for one in [passage(seed) for seed in range(100, 104)]:
        evaluator = Evaluator(one, CAUSAL)
        mine = formula.attention(evaluator, len(one), CAUSAL)
        true = TRUTH.attention(evaluator, len(one), CAUSAL)
        assert np.minimum(mine, true).sum() / len(one) > 0.9
