"""Candidate terms of a model's heads, and formulas made of them."""

import pytest

from headscribe.core.errors import UsageError
from headscribe.fitting.selection import Breadth
from headscribe.relations import parse
from headscribe.replacement.agreement import agreements
from headscribe.replacement.effect import fitted_to_effect
from headscribe.replacement.plan import Plan
from headscribe.replacement.standins import candidate_terms
from tests.unit.replacement.tiny import UNIFORM, every_head, passages, tiny


@pytest.mark.parametrize("family", ["mistral", "bert"])
def test_every_head_gets_terms_that_it_may_have_and_that_fit(family):
    """Mistral's layers see a window."""
    model = tiny(family)
    texts = passages(model)
    terms = candidate_terms(model, texts, Breadth(terms=4, at_once=2), rows_per_text=40)
    assert list(terms) == every_head(model)
    if family == "mistral":
        assert not any(parse(t.relation).looks_ahead for own in terms.values() for t in own)
    formulas = fitted_to_effect(model, terms, texts, terms=2, draws=1)
    Plan(formulas).check(model)
    assert all(len(one.terms) == 2 for one in formulas.values())
    mine = agreements(model, [formulas], texts)[0]
    even = agreements(model, [dict.fromkeys(every_head(model), UNIFORM)], texts)[0]
    assert sum(mine.values()) > sum(even.values())
    assert candidate_terms(model, texts, Breadth(terms=4, at_once=2), rows_per_text=40) == terms


def test_no_text_is_refused():
    with pytest.raises(UsageError, match="at least one text to choose terms on"):
        candidate_terms(tiny("llama"), [])
