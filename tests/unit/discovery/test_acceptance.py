"""The group-sequential test: its level by simulation, its power, what it reads and when it ends."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from headscribe.discovery.acceptance import (
    LEVEL,
    Plan,
    decided,
    detectable,
    p_value,
    texts_needed,
    verdict,
)
from headscribe.discovery.refit import refitted
from headscribe.discovery.reserve import Reserve, further_texts
from headscribe.discovery.study import HeadTask
from headscribe.fitting.growth import Compound
from headscribe.fitting.stages import Fitted
from headscribe.text.corpora import Corpus, Text
from headscribe.text.splits import bucket_of, split_of
from tests.unit.discovery.conftest import HEADS, SECRET, items


def test_looks_double_and_spend_the_budget_exactly():
    plan = Plan(tests=6)
    looks = list(plan.looks(20, 150))
    assert [texts for texts, _ in looks] == [20, 40, 80, 150]
    assert sum(level for _, level in looks) == pytest.approx(LEVEL / 6)
    assert looks[-1][1] == pytest.approx(LEVEL / 6 * 70 / 150)
    assert list(plan.looks(38, 38)) == [(38, pytest.approx(LEVEL / 6))]


def test_the_level_holds_where_gains_are_skewed():
    """The obvious count over 4000 samples of mean 0: Student's t alone errs too often."""
    rng = np.random.default_rng(11)
    gains, group = 1 - rng.exponential(size=(4000, 60)), np.arange(60)
    corrected = np.array([p_value(one, group) for one in gains])
    student = stats.ttest_1samp(gains, 0.0, axis=1, alternative="greater").pvalue
    assert np.all(corrected >= student - 1e-12)
    bound = stats.binom.ppf(0.999, 4000, 0.01)
    assert (corrected < 0.01).sum() <= bound < (student < 0.01).sum()


def test_symmetric_gains_have_the_p_value_of_student():
    gains = np.random.default_rng(4).normal(0.3, 1.0, 50)
    gains = np.append(gains, 2 * gains.mean() - gains)
    expected = stats.ttest_1samp(gains, 0.0, alternative="greater").pvalue
    assert p_value(gains, np.arange(100)) == pytest.approx(expected, rel=1e-9)


def null_gains(rng, texts, kind):
    """Gains of mean 0, 3 texts a group that share most of their noise."""
    groups = -(-texts // 3)
    noise = {"normal": rng.normal, "skewed": lambda size: 1 - rng.exponential(size=size)}[kind]
    own = 0.03 * noise(size=groups).repeat(3)[:texts] + 0.01 * rng.normal(size=texts)
    return own, np.arange(groups).repeat(3)[:texts]


@pytest.mark.parametrize("kind", ["normal", "skewed"])
def test_null_candidates_are_accepted_at_most_at_the_budget(kind):
    """200 candidates without a gain, all of one run: by chance as many as the budget, none here.

    The same with a budget of one test each, 0.05: at most its binomial bound of 2000.
    """
    rng = np.random.default_rng(7)

    def accepted(plan, number):
        count = 0
        for _ in range(number):
            own, group = null_gains(rng, 240, kind)
            got = verdict(lambda n: ({"formula": own[:n]}, group[:n]), 30, 240, plan, 0.0)  # noqa: B023
            count += got.better
        return count

    assert accepted(Plan(tests=200, smallest=0.0), 200) == 0
    assert accepted(Plan(tests=1, smallest=0.0), 400) <= stats.binom.ppf(0.999, 400, LEVEL)


def test_a_gain_that_matters_is_found_as_often_as_said():
    rng = np.random.default_rng(3)
    level = Plan(tests=30).level
    need = texts_needed(0.03, 0.01, level)
    assert detectable(0.03, need, level) <= 0.01 < detectable(0.03, need - 1, level)
    gains = rng.normal(0.01, 0.03, size=(2000, need))
    p = stats.ttest_1samp(gains, 0.0, axis=1, alternative="greater").pvalue
    assert np.mean(p < level) == pytest.approx(0.8, abs=0.03)


def test_it_reads_on_until_it_is_decided():
    rng = np.random.default_rng(0)
    plan = Plan(tests=12)

    def ends(mean):
        gains = rng.normal(mean, 0.03, size=2000)
        got = verdict(lambda n: ({"formula": gains[:n]}, np.arange(n)), 25, 2000, plan, 0.01)
        return got.better, got.texts

    assert ends(0.05) == (True, 50), "25 groups are too few for a look that is not the last"
    better, texts = ends(0.018)
    assert better
    assert 50 <= texts < 800
    better, texts = ends(0.0)  # surely below what matters: no use to read on
    assert not better
    assert texts < 2000


def test_a_gain_that_is_sure_but_small_is_not_accepted():
    gains = np.random.default_rng(1).normal(0.004, 0.001, size=200)
    got = verdict(lambda n: ({"formula": gains[:n]}, np.arange(n)), 50, 200, Plan(1), 0.01)
    assert got.p < 1e-10
    assert (got.better, got.texts) == (False, 50)


def test_every_rival_has_to_be_beaten():
    rng = np.random.default_rng(2)
    gains = {"formula": rng.normal(0.05, 0.01, 80), "catalogue": rng.normal(0.0, 0.1, 80)}
    got = verdict(lambda n: (gains, np.arange(80)), 80, 80, Plan(1), 0.01)
    assert not got.better
    assert got.p > 0.01


def test_too_few_texts_are_said_with_how_many_would_do():
    said = Plan(tests=36).too_few(8, 8)
    assert "too few texts to accept anything: 8 are left" in said
    need = int(said.split("about ")[1].split()[0]) // 4
    assert Plan(tests=36).too_few(need, need) is None
    assert Plan(tests=36).too_few(need - 1, need - 1)
    assert Plan(tests=36).too_few(8, 300) is None


def test_further_texts_are_read_once_and_scored_as_those_of_select(studies):
    """A reserve that holds the `select` texts themselves gives their gains again."""
    study = studies[1]
    material = study.material
    texts = material.texts("select")
    every = list(itertools.islice(items(), 100))
    asked = []

    def read(start, stop):
        asked.append((start, stop))
        return [every[text] for text in texts[start:stop]]

    from headscribe.patterns.registry import registry

    patterns = {p.name: p for p in registry().select(["previous_token", "next_token"])}
    reserve = Reserve(len(texts), read, range(len(HEADS)), patterns, material.seed)
    made = refitted(study, [SECRET])
    gains, group = reserve.gains(study, made, 0, len(texts))
    assert group == [material.passages[text].group for text in texts]
    for name, rival in study.rivals.items():
        expected = made.iou("select") - rival[list(texts)]
        np.testing.assert_allclose(gains[name], expected, atol=1e-6)
    reserve.gains(studies[0], made, 0, len(texts))
    assert asked == [(0, len(texts))]
    found = decided(study, made, Plan(2), reserve)
    assert (found.better, found.texts) == (True, 2 * len(texts))
    found = decided(study, made, Plan(10**60), reserve)
    assert (found.better, found.texts) == (False, 2 * len(texts)), "never sure, so all are read"


def test_further_texts_are_of_select_and_of_groups_that_begin_behind_the_limit():
    texts = [Text(str(i), str(i // 2), f"text {i}") for i in range(81)]
    further = further_texts(Corpus("made-up", tuple(texts)), 41, 8, seed=0)
    assert further is not None
    assert len(further) == 8
    assert all(int(text.id) > 41 for text in further), "41 shares the group of 40"
    assert {split_of(bucket_of(text.group, 0)) for text in further} == {"select"}
    assert further_texts(Corpus("made-up", tuple(texts)), 81, 8, seed=0) is None


def test_nothing_is_accepted_where_attention_is_permuted(tmp_path):
    """The search on heads whose rows are dealt out anew; a benchmark has more runs."""
    from benchmarks.discovery_null import permuted
    from headscribe.discovery.run import Settings, discover
    from tests.unit.discovery.conftest import POOL

    found = discover(
        permuted(lambda: items(40), 0),
        HEADS,
        HEADS,
        tmp_path,
        model="permuted",
        settings=Settings(rounds=2, terms=3, smallest=0.0),
        pool=POOL,
    )
    assert found.tally.proposals > 0
    assert found.tally.accepted == 0
    assert not (tmp_path / "library.jsonl").read_text()


def test_a_term_that_goes_is_no_merit_of_what_replaces_it(studies):
    """A formula with a harmful term; a proposal that says nothing takes that term's place.

    Beside the formula it is surely better, beside what it left of the formula it is not.
    """
    material, terms = studies[0].material, (Compound("distance == -1"), Compound("distance == 2"))
    bad = HeadTask(material, 0, Fitted(terms, np.array([4.0, 3.0])), {})
    study = replace(bad, rivals={"formula": bad.iou(bad.predicted)})
    tried = (refitted(study, [f"distance == {n}"]) for n in range(3, 9))
    made = next(
        one for one in tried if one.new and one.formula.terms[0].relation == terms[0].source
    )
    gains = made.iou("select") - study.rivals["formula"][list(material.texts("select"))]
    group = np.arange(len(gains))
    alone = verdict(lambda n: ({"formula": gains}, group), len(gains), len(gains), Plan(1), 0.01)
    assert alone.better
    assert not decided(study, made, Plan(1), None).better
    assert not decided(study, made, Plan(1), Reserve(0, lambda *_: [], (0, 1), {}, 0)).better
    # What is left has the weight that is best, by trying them all in float64.
    left = made.without
    assert [term.relation for term in left.formula.terms] == ["distance == -1"]
    fit = material.texts("fit")
    seen = [material.real(0, text) for text in fit]

    def mean_iou(weight):
        found = []
        for real in seen:
            predicted = np.exp(weight * np.eye(len(real), k=-1))
            predicted /= predicted.sum(axis=1, keepdims=True)
            shared = np.minimum(real.astype(np.float64), predicted).sum()
            found.append(shared / (2 * len(real) - shared))
        return np.mean(found)

    weight = left.formula.terms[0].weight
    assert mean_iou(weight) == pytest.approx(left.iou("fit").mean(), abs=1e-5)
    assert mean_iou(weight) >= max(map(mean_iou, np.linspace(0, 8, 81))) - 2e-3
    good = refitted(studies[1], [SECRET])  # a true gain stays one
    assert decided(studies[1], good, Plan(1), None).better
    assert good.without.iou("select").mean() < good.iou("select").mean() - 0.01
