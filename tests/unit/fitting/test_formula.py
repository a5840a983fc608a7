import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.fitting.formula import Formula, Term, are_formulas
from headscribe.relations import Evaluator
from tests.unit.fitting.passages import passage

RELATIONS = (
    "key.is_bos",
    "key.word == query.head",
    'key.lower in {"a", "the"} and distance in {-2, -1}',
    "log1p(abs(distance))",
    'key.lower == "a   +1.00"',
)


TERMS = st.lists(
    st.tuples(
        st.sampled_from(RELATIONS),
        st.floats(-9, 9).map(lambda w: round(w, 3) + 0.0),
        st.none() | st.floats(-1, 1),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda term: term[0],
)


def formula_of(terms):
    return Formula("L1H2", tuple(Term(r, weight, drop=cost) for r, weight, cost in terms))


@settings(max_examples=40, deadline=None)
@given(TERMS)
def test_print_and_parse(terms):
    formula = formula_of(terms)
    again = Formula.parse(str(formula))
    assert again.name == formula.name
    assert [t.relation for t in again.terms] == [t.relation for t in formula.terms]
    np.testing.assert_allclose([t.weight for t in again.terms], [t.weight for t in formula.terms])


@settings(max_examples=20, deadline=None)
@given(TERMS)
def test_json_keeps_everything(terms):
    formula = formula_of(terms)
    assert Formula.from_json(json.loads(json.dumps(formula.to_json()))) == formula


@pytest.mark.parametrize("visibility", [FULL, CAUSAL])
def test_prediction_is_the_softmax_of_the_weighted_relations(visibility):
    formula = Formula(
        "f", tuple(Term(r, w) for r, w in zip(RELATIONS, (1, 2, -1, -0.5, 3), strict=True))
    )
    one = passage(3)
    rows = formula.predict(one, visibility).to_dense()
    evaluator = Evaluator(one, visibility)
    for i in range(len(one)):
        keys = [j for j in range(len(one)) if visibility.dense(len(one))[i, j]]
        logits = [
            sum(t.weight * float(evaluator.dense(t.parsed)[i, j]) for t in formula.terms)
            for j in keys
        ]
        value = np.exp(logits)
        np.testing.assert_allclose(rows[i, keys], value / value.sum(), atol=1e-6)
        assert rows[i].sum() == pytest.approx(1, abs=1e-5)


def test_an_edited_formula_is_a_pattern():
    formula = Formula.parse(
        "L7H10   IoU 0.4\n   +3.68  key.is_bos      -0.11\n  -1  distance == 1\n"
    )
    assert formula.name == "L7H10"
    assert [t.weight for t in formula.terms] == [3.68, -1.0]
    assert [t.drop for t in formula.terms] == [None, None]
    assert not formula.looks_ahead
    assert formula.needs == frozenset()
    assert formula.predict(passage(1), FULL).covered.all()


@pytest.mark.parametrize(
    "text, match",
    [
        ("", "at least one term"),
        ("+1 key.is_boss", "key.is_boss"),
        ("L0H0\n+1  key.is_bos\nand more", "line 3"),
        (
            "+1  key.is_bos and key.is_eos and query.is_bos and query.is_eos",
            "at most 3 comparisons",
        ),
    ],
)
def test_errors_say_what_is_wrong(text, match):
    with pytest.raises(UsageError, match=match):
        Formula.parse(text)


def test_a_formula_has_36_comparisons_at_most():
    terms = tuple(Term(f"distance == {d} and key.is_bos and query.is_eos", 1.0) for d in range(13))
    with pytest.raises(UsageError, match="at most 36"):
        Formula("f", terms)


def test_several_formulas_in_one_text():
    text = "L0H1   IoU 0.5 on texts\n   +1.50  key.is_bos   -0.100\n\nmine\n  -2  distance > 0\n"
    one, two = Formula.parse_all(text)
    assert (one.name, one.terms) == ("L0H1", (Term("key.is_bos", 1.5),))
    assert (two.name, two.terms) == ("mine", (Term("distance > 0", -2.0),))
    assert are_formulas(text)
    assert not are_formulas('# Mine.\nown: key.lower == "a" and distance == -1\n')
    with pytest.raises(UsageError, match="a name above"):
        Formula.parse_all("+1  key.is_bos")
    with pytest.raises(UsageError, match="mine twice"):
        Formula.parse_all("mine\n+1  key.is_bos\nmine\n+1  key.is_eos\n")
    with pytest.raises(UsageError, match="at least one term"):
        Formula.parse_all("mine\nyours\n+1  key.is_bos")
