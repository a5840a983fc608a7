import json

import numpy as np
import pytest
import torch

from headscribe.core.errors import RunError, UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.fitting.atlas import collect, fit_heads
from headscribe.fitting.features import Collector
from headscribe.fitting.findings import (
    Kind,
    dendrogram,
    fewest_formulas,
    find,
    head_distances,
    shared_attention,
)
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.heads import series
from headscribe.fitting.labels import agreement, label_heads
from headscribe.fitting.mixture import component_rows, decompose, distinct, mixture_weights
from headscribe.fitting.scores import Scorer, cell_classes, pattern_iou, profile_of, profile_rows
from headscribe.fitting.selection import Budget
from headscribe.fitting.tables import run_tables
from headscribe.patterns.registry import registry
from headscribe.results.run import Run
from tests.oracles.fitting import slow_mixture
from tests.oracles.metrics import text_metrics
from tests.unit.fitting.passages import drawn, passage

POOL = (
    "key.is_special",
    "distance == -1",
    "distance == 1",
    "log1p(abs(distance))",
    "key.word == query.head",
)
HEADS = (HeadId(0, 0), HeadId(0, 1))
FORMULAS = (
    Formula("a", (Term("distance == -1", 4.0), Term("key.is_special", 1.0))),
    Formula("b", (Term("key.word == query.head", 4.0), Term("key.is_special", 2.0))),
)


def items_of(texts, visibility=FULL, mass=40.0, permuted=False):
    rng = np.random.default_rng(5)
    for seed in range(texts):
        one = passage(seed)
        attention = np.stack([drawn(f, one, visibility, rng, mass) for f in FORMULAS])
        if permuted:
            attention = rng.permuted(attention, axis=2)
        yield one, attention, visibility


@pytest.fixture(scope="module")
def sample():
    return collect(items_of(40), pool=POOL, patterns=tuple(registry().select(["default"])))


@pytest.fixture(scope="module")
def atlas(sample):
    return fit_heads(sample, HEADS, Budget(terms=2, grown=2, grow_at=(1,)))


def test_the_heads_come_out(atlas):
    first, second = (head.formula for head in atlas.heads)
    assert "distance == -1" in {term.relation for term in first.terms}
    assert "key.word == query.head" in {term.relation for term in second.terms}
    gain = atlas["0.1"].scores["gain", "raw", "iou"]
    assert gain.low > 0.05
    assert atlas["0.0"].scores["formula", "raw", "iou"].mean > 0.75
    assert all(term.drop < 0 < term.high - term.low for term in first.terms)
    assert "on unseen texts" in str(atlas["L0H1"])


def test_same_seed_same_bytes(sample, atlas):
    again = fit_heads(sample, HEADS, Budget(terms=2, grown=2, grow_at=(1,)))
    assert json.dumps(again.to_json()) == json.dumps(atlas.to_json())
    assert again.by_text.tobytes() == atlas.by_text.tobytes()


def test_a_killed_fit_goes_on_and_ends_with_the_same_numbers(sample, atlas, tmp_path):
    budget = Budget(terms=2, grown=2, grow_at=(1,))
    run = Run.create(tmp_path, "fit", {})

    def killed(stage, done, of):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit_heads(sample, HEADS, budget, run=run, on_progress=killed)
    finished = sorted(path.name for path in (tmp_path / "stages").iterdir())
    assert finished == ["fold0-of-5.json", "fold1-of-5.json", "formulas.json"]
    again = fit_heads(sample, HEADS, budget, run=run)
    assert json.dumps(again.to_json()) == json.dumps(atlas.to_json())
    (tmp_path / "stages" / "formulas.json").write_text("{")
    with pytest.raises(RunError, match=r"formulas\.json"):
        fit_heads(sample, HEADS, budget, run=run)


def test_the_document_has_its_stable_shape(atlas):
    document = atlas.to_json()
    assert set(document) == {"terms", "heads", "folds", "scored", "test", "by_head"}
    assert set(document["test"]) == {"iou", "jsd", "gain"}
    assert {"mean", "median", "low", "high"} <= set(document["test"]["iou"])
    assert {"head", "formula", "iou", "jsd", "gain", "labels"} <= set(document["by_head"][0])
    assert Formula.from_json(document["by_head"][0]["formula"]) == atlas.heads[0].formula


def test_scores_of_texts_of_their_own(sample):
    rest = collect(items_of(8), pool=POOL)
    atlas = fit_heads(sample, HEADS, Budget(terms=2, grown=0), test=rest)
    assert atlas.folds == 0
    assert atlas.by_text.shape[-1] == 8
    one = atlas.heads[0].formula
    passages = [item[0] for item in items_of(8)]
    real = [item[1][0] for item in items_of(8)]
    scores = [
        text_metrics(a, one.predict(p, FULL).to_dense(), np.ones(len(p), bool), np.ones(len(p)))
        for p, a in zip(passages, real, strict=True)
    ]
    np.testing.assert_allclose(atlas.by_text[0, 0, 0, 0], [s["iou"] for s in scores], atol=1e-4)
    np.testing.assert_allclose(atlas.by_text[0, 0, 0, 1], [s["jsd"] for s in scores], atol=1e-4)
    for metric in ("overlap", "sae"):
        found = series(atlas.by_text, "formula", "raw", metric)[0]
        np.testing.assert_allclose(found, [s[metric] for s in scores], atol=1e-4)
    gain = atlas.heads[0].scores["gain", "raw", "sae"].mean
    assert gain == pytest.approx(2 * atlas.heads[0].scores["gain", "raw", "overlap"].mean)


def test_content_view_leaves_sinks_out(sample):
    scorer, real = Scorer(sample), sample.attention[0]
    moved = np.where(sample.sinks[sample.key_token] > 0, 0.0, real).astype(np.float32)
    start = np.concatenate([[0], np.cumsum(sample.lengths)[:-1]])
    moved = moved / np.add.reduceat(moved, start)[sample.row]
    iou, _ = scorer.score(moved, real, "content")
    np.testing.assert_allclose(iou, 1.0, atol=1e-5)
    assert (scorer.score(moved, real, "raw")[0] < 0.9).all()


def test_profile_without_a_fold_is_that_of_the_others(sample):
    fold = sample.row_text % 5
    profile = profile_of(sample, fold, 5)
    others = profile_of(sample.only(fold != 2), fold[fold != 2], 5)
    np.testing.assert_allclose(profile.table(without=2), others.table(), atol=1e-9)
    rows = profile_rows(profile.table()[0], cell_classes(sample), sample)
    np.testing.assert_allclose(np.bincount(sample.row, rows), 1.0)


def test_labels_name_what_a_head_does(sample):
    labels = label_heads(sample)
    assert any("previous" in label.pattern for label in labels[0])
    assert labels[1]
    names = [[label.pattern for label in one] for one in labels]
    assert agreement(names, names) == (1.0, 1.0)
    nothing = ((),) * len(labels)
    assert agreement(names, nothing) == (0.0, 0.0)
    assert agreement(nothing, nothing) == (1.0, None)


def test_permuted_keys_get_no_label():
    """Must hold: at most 5 % of heads."""
    patterns = tuple(registry().select(["default"]))
    sample = collect(items_of(24, permuted=True), pool=POOL, patterns=patterns)
    labels = label_heads(sample)
    assert sum(bool(one) for one in labels) == 0


def test_best_pattern_of_the_catalogue(sample, atlas):
    iou = pattern_iou(sample)
    name, estimate = atlas.heads[0].pattern
    k = sample.patterns.index(name)
    pattern, passages = registry().get(name), [item[0] for item in items_of(40)]
    expected = []
    for t in (0, 17):
        one = passages[t]
        rows = pattern.predict(one, FULL).filled("uniform", FULL).to_dense()
        real = np.zeros_like(rows)
        cells = sample.row_text[sample.row] == t
        real.ravel()[:] = sample.attention[0, cells]
        shared = np.minimum(rows, real).sum()
        expected.append(shared / (2 * len(one) - shared))
    np.testing.assert_allclose(iou[k, 0, [0, 17]], expected, atol=1e-5)
    assert estimate.mean <= iou[:, 0].mean(axis=1).max() + 1e-9


def test_mixture_weights_come_back():
    rng = np.random.default_rng(0)
    parts = rng.dirichlet(np.full(6, 0.3), size=(200, 3)).transpose(0, 2, 1).reshape(-1, 3)
    truth = np.array([0.6, 0.1, 0.3])
    found = mixture_weights(parts, (parts @ truth)[None])[0]
    np.testing.assert_allclose(found, truth, atol=0.01)
    assert found.sum() == pytest.approx(1)


def test_decompose_finds_the_building_blocks(sample):
    both = decompose(sample)
    assert len(both) == len(HEADS)
    first, *rest = both[0]
    assert first.pattern == "previous_token_only"
    assert first.gain[1] > 0
    assert sum(part.weight for part in both[0]) == pytest.approx(1)
    assert all(0.01 <= part.weight <= first.weight for part in rest if part.gain is not None)
    assert "to_head" in {part.pattern for part in both[1]}


def test_pooled_mixtures_are_those_of_all_cells(sample):
    names = ("previous_token_only", "first_token", "to_head")
    rows = component_rows(sample, names)
    np.testing.assert_allclose(np.bincount(sample.row, rows[:, 0]), 1, atol=1e-6)
    for head, parts in enumerate(decompose(sample, names, least=0.0)):
        expected = slow_mixture(rows, sample.attention[head])
        found = {part.pattern: part.weight for part in parts}
        np.testing.assert_allclose([found[n] for n in (*names, "uniform")], expected, atol=0.01)


def test_patterns_that_say_the_same_count_once(sample):
    names = ("next_token_only", "next_token", "same_token_only", "self", "first_token", "nobody")
    assert distinct(sample, names) == ("next_token_only", "same_token_only", "first_token")


def test_similar_heads_and_fewest_formulas(sample):
    distance = head_distances(sample)
    rows = np.split(np.arange(len(sample.key_token)), np.cumsum(sample.lengths)[:-1])
    expected = []
    for cells in rows:
        a, b = (sample.attention[h, cells].astype(float) for h in (0, 1))
        middle = (a + b) / 2
        terms = [x[x > 0] @ np.log2(x[x > 0] / middle[x > 0]) for x in (a, b)]
        expected.append(np.sqrt(sum(terms) / 2))
    assert distance[0, 1] == pytest.approx(np.mean(expected), abs=1e-6)
    assert dendrogram(distance).shape == (1, 4)
    shared = shared_attention(sample.attention, sample)
    iou = shared / (2 * len(sample.lengths) - shared)
    np.testing.assert_allclose(np.diag(iou), 1, atol=1e-6)
    assert fewest_formulas(iou, 0.05).formulas == (0, 1)
    assert len(fewest_formulas(iou, 1.0).formulas) == 1


def test_one_formula_does_not_serve_two_kinds_of_head(sample, atlas):
    found = find(atlas, [Kind(HEADS, sample)])
    cover = found.covers[0.05]
    assert set(cover.formulas) == {0, 1}
    assert [cover.formulas[k] for k in cover.served_by] == [0, 1]
    assert found.transfer[0, 0] > found.transfer[0, 1]
    own = [atlas.heads[h].scores["formula", "raw", "iou"].mean for h in (0, 1)]
    np.testing.assert_allclose(np.diag(found.transfer), own, atol=0.02)
    assert any("previous" in label.pattern for label in found.halves[0][0])
    tables = run_tables(atlas, found)
    assert {name: len(table) for name, table in tables.items() if name != "labels"} == {
        "formulas": 2, "layers": 48, "mixtures": sum(map(len, found.mixtures)), "similarity": 1,
        "dendrogram": 1, "covers": 6, "profiles": 2,
    }  # fmt: skip
    model = [row for row in tables["layers"].to_pylist() if row["layer"] is None]
    (gain,) = [r for r in model if (r["score"], r["view"], r["metric"]) == ("gain", "raw", "iou")]
    assert gain["mean"] == pytest.approx(atlas.mean("gain").mean)


def test_errors_say_what_is_wrong(sample):
    with pytest.raises(UsageError, match="at least one text"):
        collect([])
    with pytest.raises(UsageError, match="expected 2 head names, got 1"):
        fit_heads(sample, HEADS[:1])
    one = passage(0)
    collector = Collector(POOL)
    with pytest.raises(UsageError, match="attention of shape"):
        collector.add(one, np.zeros((2, 3, 3)), FULL)
    with pytest.raises(RunError, match="finite"):
        collector.add(one, np.full((2, len(one), len(one)), np.nan), FULL)


def test_causal_samples_hold_visible_cells_only():
    sample = collect(items_of(3, CAUSAL), pool=("distance == -1", "key.is_bos"))
    assert (sample.distance <= 0).all()
    np.testing.assert_allclose(np.bincount(sample.row, sample.attention[0]), 1, atol=1e-6)
    assert torch.get_num_threads() >= 1
