"""Infinite weights, and terms that say nothing of their own."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from headscribe.core.visibility import FULL
from headscribe.fitting.atlas import collect
from headscribe.fitting.features import sampled_queries
from headscribe.fitting.formula import ALL, FIRST, REST, Formula, Term
from headscribe.fitting.growth import Compound
from headscribe.fitting.pruning import independent
from headscribe.fitting.selection import Budget
from headscribe.fitting.solver import Rows
from headscribe.fitting.stages import choose_all, features_of
from headscribe.fitting.whole import Search
from headscribe.relations import parse
from tests.unit.fitting.passages import passage

CPU = torch.device("cpu")
POOL = (
    "distance == -1",
    "distance == -1 and not query.is_special",
    "distance != -1",
    "key.is_bos",
    "key.id == query.id and distance != 0",
    "query.is_punct",
    "key.lower == query.lower",
    "distance == 1",
    "abs(distance) <= 1",
    "distance == 0",
)
TEXTS = [replace(passage(seed, 10), group=str(seed)) for seed in range(24)]


def rows_like(*relations: str) -> list[np.ndarray]:
    """Rows that go to the keys of the first relation that relates to any, evenly."""
    found = []
    for one in TEXTS:
        left = np.ones(len(one), bool)
        rows = np.full((len(one), len(one)), 1 / len(one))
        for relation in relations:
            cells = parse(relation).dense(one, FULL)
            mine = left & cells.any(1)
            rows[mine] = cells[mine] / cells[mine].sum(1, keepdims=True)
            left &= ~mine
        found.append(rows.astype(np.float32))
    return found


def sample_of(rows: list[np.ndarray], **keywords):
    items = ((p, one[None], FULL) for p, one in zip(TEXTS, rows, strict=True))
    return collect(items, pool=POOL, attributes=("lower",), **keywords)


def rank(terms, sample) -> int:
    """Slow: the rank of the terms' values, less their mean over each row, float64."""
    columns = np.array([term.column(sample) for term in terms], np.float64).T
    for row in np.unique(sample.row):
        columns[sample.row == row] -= columns[sample.row == row].mean(0)
    return int(np.linalg.matrix_rank(columns))


def test_what_others_say_together_is_told_exactly():
    sample = sample_of(rows_like("distance == -1"))
    rows = Rows.of(sample.lengths, CPU)
    sources = ("distance == -1", "distance != -1", "query.is_punct", "distance == 1",
               "distance == 0", "abs(distance) <= 1", "key.is_bos")  # fmt: skip
    terms = [Compound(source) for source in sources]
    kept = [terms[k] for k in independent(terms, features_of(terms, sample, CPU), rows)]
    assert Compound("query.is_punct") not in kept  # the same for every key
    assert len(kept) == rank(terms, sample) == rank(kept, sample) == 4


def test_relations_beside_the_pool_are_evaluated_where_they_are_asked_for():
    rows = rows_like("distance == -1")
    sample = sample_of(rows, rows_per_text=5, rare=("key.from_end == 0", "distance == -1"))
    sample = sample.only(np.arange(len(sample.lengths)) % 3 > 0)
    more = sample.more(sample.rare)
    assert more.pool == (*POOL, "key.from_end == 0")
    for source in ("key.from_end == 0", "key.length / 3"):
        slow, token = np.zeros(len(sample.key_token), np.float32), 0
        for i, one in enumerate(TEXTS):
            dense = parse(source).dense(one, FULL)
            for cell in np.flatnonzero(sample.row_text[sample.row] == i):
                query = sample.row_token[sample.row[cell]] - token
                assert query in sampled_queries(one.text_id, len(one), 5, 0)
                slow[cell] = dense[query, sample.key_token[cell] - token]
            token += len(one)
        np.testing.assert_array_equal(sample.column(source), slow)
        np.testing.assert_array_equal(Compound(source).column(sample), slow)
    np.testing.assert_array_equal(
        more.column("key.from_end == 0"), sample.column("key.from_end == 0")
    )


EXCEPTION = "query.is_special and distance == 0"


@pytest.mark.parametrize(
    ("relations", "expected"),
    [
        (("distance == -1", "key.is_bos"), {("distance == -1", ALL), ("key.is_bos", REST)}),
        (
            ("key.id == query.id and distance != 0", "distance == 0"),
            {("key.id == query.id and distance != 0", ALL), ("distance == 0", REST)},
        ),
        (("abs(distance) == 1 and not key.is_special",),
         {("abs(distance) == 1 and not key.is_special", ALL)}),
        (("distance == 1 or key.is_bos",), {("distance == 1", ALL), ("key.is_bos", ALL)}),
        ((EXCEPTION, "key.from_end == 1"), {(EXCEPTION, ALL), ("key.from_end == 1", REST)}),
        ((), set()),
    ],
)  # fmt: skip
def test_a_head_that_does_what_relations_say_gets_just_these(relations, expected):
    rare = ("abs(distance) == 1", "key.from_end == 1", EXCEPTION)
    sample = sample_of(rows_like(*relations), rare=rare)
    (found,) = choose_all(sample, Budget(), 0, CPU)
    got = {(term.source, weight) for term, weight in zip(found.terms, found.weights, strict=True)}
    assert got == expected
    assert found.whole


def test_a_soft_head_keeps_its_weights():
    rows = [0.5 * one + 0.5 / len(one) for one in rows_like("distance == -1")]
    sample = sample_of([one.astype(np.float32) for one in rows])
    (found,) = choose_all(sample, Budget(terms=3, extra=0, grown=0), 0, CPU)
    assert not found.whole
    assert "distance == -1" in {term.source for term in found.terms}


def test_a_set_is_read_off_where_the_pool_has_no_word_for_it():
    relation = 'query.lower in {"a", "the"} and key.lower in {"cat", "on", "of"}'
    sample = sample_of(rows_like(relation, "key.is_bos"))
    found = Search(sample, 4e-4).best(sample.attention[0])
    assert found.loss < 1e-3
    sets = (("key.lower", ("cat", "of")), ("query.lower", ("a", "the")))  # no text has "on"
    assert dict(zip(found.terms, found.weights, strict=True)) == {
        Compound("", sets): ALL, Compound("key.is_bos"): REST,
    }  # fmt: skip


def test_infinite_weights_print_and_are_read_back():
    formula = Formula(
        "L0H1",
        (Term("distance == 2", FIRST), Term("distance == -1", ALL), Term("key.is_bos", REST)),
    )
    assert str(formula).split("\n")[1:] == [
        "   first all to  distance == 2",
        "   all to        distance == -1",
        "   else all to   key.is_bos",
    ]
    assert Formula.parse(str(formula)) == formula
    even = Formula("L0H2", ())
    assert str(even).split("\n")[1:] == ["   evenly over every visible key"]
    assert Formula.parse_all(f"{formula}\n{even}") == (formula, even)
