from dataclasses import replace

import numpy as np
import pytest

from headscribe.core.visibility import CAUSAL
from headscribe.discovery.candidates import candidate
from headscribe.discovery.code import FailedError, InvalidError
from headscribe.discovery.feedback import example_agreement, scored_feedback
from headscribe.discovery.offline import Offline, search
from headscribe.discovery.proposals import Code, ExampleMatrix
from headscribe.discovery.refit import refitted
from headscribe.discovery.study import study_heads
from headscribe.sandbox import Trusted
from tests.unit.discovery.conftest import BUDGET, HEADS, SECRET, made

PREVIOUS = "import numpy as np\ndef attention(p):\n    return np.eye(len(p), k=-1)"


LATER = """
import numpy as np

def attention(p):
    return np.full((len(p),) * 2, len(p) % 2) + np.eye(len(p))
"""

PICKY = """
import numpy as np

def attention(p):
    assert p.text[:1] != "g"
    return np.eye(len(p))
"""

TRUSTED = Trusted()


def relations(*sources):
    return Code(kind="relations", relations=sources)


def python(program):
    return Code(kind="python", program=program)


def test_the_solver_finds_the_weights_of_a_proposed_relation(studies):
    study = studies[1]
    made_of = refitted(study, [SECRET])
    assert len(made_of.formula.terms) <= len(study.formula.terms)
    weight = {term.relation: term.weight for term in made_of.formula.terms}
    assert weight[made_of.new[0].source] == pytest.approx(6.0, abs=1.0)
    for split in ("fit", "select", "test"):
        before = study.rivals["formula"][list(study.material.texts(split))]
        assert made_of.iou(split).mean() > before.mean() + 0.02


def test_the_formula_predicts_what_was_scored(studies):
    """The printed formula, evaluated text by text, gives the rows of the refit."""
    study = studies[1]
    made_of = refitted(study, [SECRET])
    laid_out = study.material.laid_out(made_of.matrix)
    np.testing.assert_allclose(laid_out, made_of.predicted, atol=2e-5)


def test_weights_come_from_fit_alone(studies):
    """Another head's attention on `select` and `test` changes no weight."""
    study = studies[1]
    material = study.material
    attention = material.sample.attention.copy()
    other = ~material.rows("fit")[material.sample.row]
    attention[:, other] = attention[::-1][:, other]
    changed = replace(material, sample=replace(material.sample, attention=attention))
    again = refitted(replace(study, material=changed), [SECRET])
    assert again.formula == refitted(study, [SECRET]).formula


def test_a_refit_without_new_structure_gains_nothing(studies):
    """Useless relations leave the formula as it was: the solver's steps are no discovery."""
    study = studies[0]
    made_of = refitted(study, ["distance == 7 and key.index == 9"])
    if not made_of.new:
        assert made_of.formula == study.formula
    gain = made_of.iou("fit").mean() - study.mean(study.rivals["formula"], "fit")
    assert abs(gain) < 5e-4


def test_relations_that_cannot_join_are_noted(studies):
    study = studies[1]
    known = study.formula.terms[0].relation
    made_of = refitted(
        study, [SECRET, "nonsense ===", known, 'query.dep == "det"', "key.upos == 'NOUN'"]
    )
    notes = "\n".join(made_of.notes)
    assert [one.source for one in made_of.new] == [SECRET]
    for said in ("nonsense", "has it already", "same value for all keys", "have no upos"):
        assert said in notes
    for wrong in (["key.upos == 'NOUN'"], ["query.is_special"], ["key.index * 1e30"]):
        with pytest.raises(InvalidError) as caught:
            refitted(study, wrong)
        assert caught.value.kind == "relation"
    long = " and ".join(f"key.index != {i}" for i in range(4))
    with pytest.raises(InvalidError, match="at most 3 comparisons, got 4"):
        refitted(study, [long])


def test_causal_heads_take_nothing_from_the_future():
    pool = ("key.is_special", "distance == -1", "distance == 0")
    material = made(HEADS[:1], CAUSAL, pool=pool, look_ahead=False)
    (study,) = study_heads(material, BUDGET)
    with pytest.raises(InvalidError, match="cannot see"):
        candidate(study, relations("key.word == query.head"), None)
    with pytest.raises(InvalidError) as caught:
        candidate(study, python(LATER), TRUSTED)
    assert caught.value.kind == "looks_ahead"
    fine = candidate(study, python(PREVIOUS), Trusted())
    assert not fine.looks_ahead


def test_programs_are_normalised_and_uniform_where_they_say_nothing(studies):
    study = studies[0]
    made_of = candidate(study, python(PREVIOUS), Trusted())
    iou = made_of.iou("fit")
    text = study.material.texts("fit")[0]
    matrix = made_of.matrix(text)
    length = len(matrix)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(matrix[0], 1 / length, atol=1e-6)
    real = study.material.real(0, text)
    shared = np.minimum(real, matrix).sum()
    assert iou[0] == pytest.approx(shared / (2 * length - shared), abs=1e-5)


def test_programs_fail_by_kind(studies):
    def fails(program, runner=TRUSTED):
        with pytest.raises((FailedError, InvalidError)) as caught:
            candidate(studies[0], python(program), runner).iou("fit")
        error = caught.value
        return error.failure.kind if isinstance(error, FailedError) else error.kind

    assert fails("def other(p): pass") == "static"
    assert fails("def attention(p):\n    return [[1.0]]") == "shape"
    assert fails("def attention(p):\n    raise ValueError('x')") == "exception"
    assert fails("def attention(p):\n    return p.words.upos") == "needs"
    assert fails(PREVIOUS, None) == "no_sandbox"
    assert fails(PICKY) == "exception"


def test_a_forgiving_program_counts_its_failures(studies):
    made_of = candidate(studies[0], python(PICKY), Trusted())
    made_of.forgiving = True
    assert np.isfinite(made_of.iou("fit")).all()
    assert made_of.failed > 0


def test_feedback_names_the_texts_that_gained_and_lost_most(studies):
    study = studies[1]
    made_of = refitted(study, [SECRET])
    iou = made_of.iou("fit")
    said = scored_feedback(study, made_of, iou, 0.5)
    assert "Gained most" in said
    assert "Lost most" in said
    assert "0.50" in said
    texts = study.material.texts("fit")
    best = texts[int(np.argmax(iou - study.rivals["formula"][list(texts)]))]
    assert f'"text":"{study.material.passages[best].text_id}"' in said.split("Lost most")[0]


def test_example_matrices_are_compared_with_the_code(studies):
    study = studies[0]
    made_of = candidate(study, python(PREVIOUS), Trusted())
    made_of.iou("fit")
    text = study.material.passages[study.material.texts("fit")[0]].text_id
    right = ExampleMatrix(text=text, cells=((2, 1, 1.0), (3, 2, 0.5)))
    wrong = ExampleMatrix(text=text, cells=((2, 1, 1.0), (3, 4, 1.0)))
    assert example_agreement(study, made_of, right) == pytest.approx(1.0)
    assert example_agreement(study, made_of, wrong) == pytest.approx(0.5)
    outside = ExampleMatrix(text=text, cells=((2000, 1, 1.0),))
    assert example_agreement(study, made_of, outside) is None
    hidden = study.material.passages[study.material.texts("test")[0]].text_id
    assert (
        example_agreement(study, made_of, ExampleMatrix(text=hidden, cells=((0, 0, 1.0),))) is None
    )


def test_the_search_finds_what_the_pool_cannot_say(studies):
    answer = Offline().propose(studies[1], [], python=False, rounds_left=0)
    assert any('"det"' in one and "query.head" in one for one in answer.proposal.code.relations)
    assert not any('"det"' in one for one in studies[1].material.sample.pool)
    made_of = candidate(studies[1], answer.proposal.code, None)
    assert example_agreement(studies[1], made_of, answer.proposal.example) > 0.99


def test_the_search_equals_the_obvious_score(studies):
    study = studies[1]
    found = search(study)
    rows = study.material.rows("fit")[study.material.sample.row]
    p, a = study.predicted[rows].astype(float), study.real[rows].astype(float)
    row = study.material.sample.row[rows]
    for one in found[:3]:
        x = study.material.columns([one.relation.source])[rows, 0].astype(float)
        spread = sum(
            (p[row == r] * x[row == r] ** 2).sum() - (p[row == r] * x[row == r]).sum() ** 2
            for r in np.unique(row)
        )
        count = len(np.unique(row))
        plain = (((p - a) * x).sum() / count) ** 2 / (2 * spread / count)
        worth = (
            1.0
            if one.relation.source in study.material.sample.pool
            else (1 - 0.04 * (one.relation.atoms - 1))
        )
        assert one.score == pytest.approx(plain * worth, rel=1e-4)


def test_the_search_proposes_nothing_twice(studies):
    from headscribe.discovery.prompting import Attempt

    first = Offline().propose(studies[1], [], python=False, rounds_left=1)
    second = Offline().propose(studies[1], [Attempt(first.said, "")], python=False, rounds_left=0)
    assert not set(first.said.splitlines()) & set(second.said.splitlines())
