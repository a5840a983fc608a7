"""Word classes: named, printed by name, read back; proposed and found without a language model."""

from dataclasses import replace

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.discovery.code import InvalidError
from headscribe.discovery.offline import Offline, search
from headscribe.discovery.proposals import Code, ParseFailure, parse_proposal
from headscribe.discovery.refit import refitted
from headscribe.discovery.study import study_heads
from headscribe.discovery.wordclasses import halves, word_classes
from headscribe.fitting.classes import WordClass, by_name, spelled_out
from headscribe.fitting.formula import Formula, Term
from headscribe.relations import parse
from tests.unit.discovery.answers import answer
from tests.unit.discovery.conftest import BUDGET, made

JUDGEMENT = WordClass("judgement", "words of\n judgement", ("good", "bad", 'so "so"', "a, b}"))


def test_a_formula_prints_a_class_by_its_name_and_is_read_back():
    relation = parse(
        spelled_out('key.lower in judgement and query.text == "in judgement"', [JUDGEMENT])
    )
    assert relation.atoms == 2
    formula = Formula(
        "7.1", (Term(relation.source, 1.5), Term("distance == 1", 2.0)), classes=(JUDGEMENT,)
    )
    lines = str(formula).splitlines()
    assert lines[1].strip() == '+1.500  key.lower in judgement and query.text == "in judgement"'
    assert lines[3].strip().startswith("where judgement is words of judgement: {")
    assert Formula.parse(str(formula)) == replace(formula)
    assert Formula.parse_all(f"{formula}\n{replace(formula, name='7.2')}")[1].terms == formula.terms
    assert Formula.from_json(formula.to_json()) == formula
    assert "classes" not in replace(formula, classes=()).to_json()


@pytest.mark.parametrize(
    "name, words, said",
    [
        ("Judgement", ("a", "b"), "lower case letters"),
        ("judgement", ("a",), "2 to 200 words, got 1"),
        ("judgement", tuple(map(str, range(201))), "2 to 200 words, got 201"),
    ],
)
def test_a_class_that_is_none(name, words, said):
    with pytest.raises(UsageError, match=said):
        WordClass(name, "rule", words)


def test_a_class_that_nobody_defined():
    with pytest.raises(UsageError, match="`in taste`: expected a set or a class, classes are judg"):
        spelled_out("key.lower in taste", [JUDGEMENT])


def words_of(material, number):
    """The most frequent words of made-up texts."""
    found, count = np.unique(
        [w.lower() for p in material.passages for w in p.words.form], return_counts=True
    )
    return [str(one) for one in found[np.argsort(-count, kind="stable")][:number]]


def proposed(words, *relations):
    code = {
        "kind": "relations",
        "relations": list(relations),
        "classes": [{"name": "theirs", "rule": "words of\x00 theirs", "words": list(words)}],
    }
    return parse_proposal(answer(code=code))


@pytest.fixture(scope="module")
def reader():
    """A head that reads three words, which its formula does not know, and their texts."""
    plain = made()
    words = words_of(plain, 3)
    members = WordClass("some", "rule", tuple(words)).members
    relation = f"key.lower in {members}"
    formula = Formula("reader", (Term(relation, 4.0), Term("key.is_special", 1.0)))
    material = made(formulas=(formula, formula))
    return words, study_heads(material, BUDGET)[1]


def test_a_proposed_class_is_one_comparison_and_stays_with_the_formula(reader):
    words, study = reader
    many = [*words, *(f"unseen{i}" for i in range(100))]
    proposal = proposed([w.upper() for w in many], "key.lower in theirs")
    assert not isinstance(proposal, ParseFailure)
    code = proposal.code
    made_of = refitted(study, code.relations, [one.made for one in code.classes])
    assert made_of.new[0].atoms == 1
    (kept,) = made_of.formula.classes
    assert (kept.name, len(kept.words)) == ("theirs", len(many))
    assert "\x00" not in kept.rule
    assert made_of.to_json()["relations"] == ["key.lower in theirs"]
    assert "key.lower in theirs" in str(made_of.formula)
    assert Code.model_validate(code.model_dump(mode="json")) == code
    assert made_of.iou("select").mean() > study.mean(study.rivals["formula"], "select") + 0.05


def test_more_than_twenty_words_without_a_name_are_refused(reader):
    _, study = reader
    members = WordClass("some", "rule", tuple(f"word{i}" for i in range(21))).members
    with pytest.raises(InvalidError, match="more than 20 words are a class, which has a name"):
        refitted(study, [f"key.lower in {members}"])


def test_records_without_classes_are_as_before():
    proposal = parse_proposal(answer("distance == -1"))
    assert not isinstance(proposal, ParseFailure)
    assert "classes" not in proposal.model_dump(mode="json")["code"]


def test_the_search_finds_the_words_that_a_head_reads(reader):
    words, study = reader
    classes = list(word_classes(study))
    assert classes
    assert set(words) <= set(classes[-1].words) | set(classes[0].words)
    best = next(one for one in search(study) if one.word_class is not None)
    assert set(best.word_class.words) >= set(words)
    found = Offline().propose(study, (), python=False, rounds_left=0)
    assert any(f"in {c.name}" in r for c in found.proposal.code.classes
               for r in found.proposal.code.relations)  # fmt: skip
    texts = halves(study)
    assert texts.any()
    assert not texts.all()


def test_embeddings_group_words(reader):
    """With embeddings classes grow around several words, not down one ranking."""
    _, study = reader
    tokens = 1 + max(int(p.ids.max()) for p in study.material.passages)
    table = np.random.default_rng(0).normal(size=(tokens, 64)).astype(np.float32)
    material = replace(study.material, embeddings=table)
    classes = list(word_classes(replace(study, material=material)))
    assert len({one.rule for one in classes}) > 1
    assert all("embeddings" in one.rule for one in classes)
    assert by_name("key.lower in {}", classes) == "key.lower in {}"
