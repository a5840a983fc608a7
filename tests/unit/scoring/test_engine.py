"""The engine against loops in float64: scores, gains, gate, and independence of the batches."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow.compute as pc
import pytest

from headscribe.core import metrics
from headscribe.core.errors import UsageError
from headscribe.core.metrics import VIEWS
from headscribe.core.rows import Rows
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.models.batching import OutOfMemoryError
from headscribe.scoring import containment as containment_module
from headscribe.scoring import engine as engine_module
from headscribe.scoring.accumulators import (
    CALIBRATION_CHANNELS,
    FOLDS,
    GATE_CHANNELS,
    GATE_STATES,
    Accumulators,
    score_channels,
)
from headscribe.scoring.engine import Engine, Progress
from headscribe.scoring.predictions import SAMPLED_ROWS, sampled_rows, sinks_of
from headscribe.scoring.relation_accuracy import RelationSums
from headscribe.scoring.summary import Summary
from headscribe.text.passages import Passage
from headscribe.text.splits import buckets_of, fold_of, split_of
from tests.oracles.containment import containment
from tests.oracles.metrics import row_metrics, text_metrics
from tests.oracles.survey import content_view, gate, profile_rows, text_scores
from tests.unit.scoring.synthetic import Fixed, Made, baselines, passage, scattered

TEXTS = [passage(f"text{i}", 3 + i % 9, special=i % 4 != 0) for i in range(14)]
PATTERNS = [*baselines(), scattered("some", 0.5), scattered("most", 0.9, fail_on="text3")]
BUCKET = buckets_of((text.group for text in TEXTS), seed=0)
WINDOW = Visibility(causal=True, window=3)


def surveyed(
    source: Made, token_budget: int = 40, texts=TEXTS, **options
) -> tuple[Engine, Accumulators]:
    engine = Engine(source, texts, PATTERNS, token_budget=token_budget, **options)
    progress = engine.start()
    engine.run(progress, lambda progress, texts: None)
    return engine, progress.sums


def channel(sums: Accumulators, name: str, view: str) -> np.ndarray:
    """One channel summed over buckets, shape (P, N)."""
    return sums.scores[:, score_channels().index(name), VIEWS.index(view)].sum(axis=0)


def test_the_table_of_the_gate_has_its_columns_where_every_pattern_covers_all_rows() -> None:
    some, none = (
        Summary.of(engine, progress).gate()
        for patterns in (PATTERNS, baselines())
        for engine in [Engine(Made(), TEXTS, patterns, token_budget=40)]
        for progress in [engine.start()]
        if engine.run(progress, lambda progress, texts: None) is None
    )
    assert len(some) > 0 == len(none)
    assert none.schema == some.schema


@pytest.mark.parametrize("seen", [FULL, CAUSAL, WINDOW])
@pytest.mark.parametrize("row_sum", [1.0, 0.7])
def test_scores_equal_the_oracle(seen: Visibility, row_sum: float) -> None:
    source = Made(seen=seen, row_sum=row_sum)
    _, sums = surveyed(source)
    for view in VIEWS:
        for p, pattern in enumerate(PATTERNS):
            expected = {name: np.zeros(6) for name in ("texts", "jsd", "sae", "iou", "overlap",
                                                        "mass", "hit", "sae_sum")}  # fmt: skip
            for text in TEXTS:
                if text.text_id == "text3" and pattern.name == "most":
                    continue
                rows, sinks = pattern.predict(text, seen), sinks_of(text, seen)
                if view == "content" and p < 6:  # a baseline covers every content row
                    rows = rows_with_self(rows, sinks)
                for n, real in enumerate(source.attention(text).reshape(6, len(text), -1)):
                    scores = text_scores(real, rows, sinks, view)
                    if scores is not None:
                        expected["texts"][n] += 1
                        for name in expected.keys() - {"texts"}:
                            expected[name][n] += scores[name]
            for name, values in expected.items():
                np.testing.assert_allclose(
                    channel(sums, name, view)[p], values, atol=2e-6, err_msg=f"{name} {view} {p}"
                )


def rows_with_self(rows, sinks):
    dense = rows.to_dense()
    lost = ~sinks & (dense[:, ~sinks].sum(axis=1) == 0)
    dense[lost] = np.eye(len(dense))[lost]
    return type(rows).from_dense(dense)


@pytest.mark.parametrize("seen", [FULL, CAUSAL])
@pytest.mark.parametrize("view", VIEWS)
def test_profile_gain_equals_the_oracle(seen: Visibility, view: str) -> None:
    """Each fold's texts are compared with profiles of the other folds' texts."""
    source = Made(seen=seen)
    _, sums = surveyed(source)
    p, head = 6, 4
    fold = {t.text_id: fold_of(BUCKET[t.group], FOLDS) for t in TEXTS}
    expected = {"jsd": 0.0, "overlap": 0.0, "iou": 0.0}
    for text in TEXTS:
        others = [
            (t, source.attention(t).reshape(6, len(t), -1)[head], sinks_of(t, seen))
            for t in TEXTS
            if fold[t.text_id] != fold[text.text_id]
        ]
        sinks = sinks_of(text, seen)
        real = source.attention(text).reshape(6, len(text), -1)[head]
        rows = PATTERNS[p].predict(text, seen)
        profile = profile_rows(others, text, sinks, seen)
        own = text_scores(real, rows, sinks, view)
        if own is None:
            continue
        if view == "raw":
            base = text_metrics(real, profile, rows.covered, np.ones(len(text)))
        else:
            real_content, _, covered, weight = content_view(real, rows.to_dense(), sinks)
            profile[:, sinks] = 0
            total = profile.sum(axis=1, keepdims=True)
            profile = np.divide(profile, total, out=np.zeros_like(profile), where=total > 0)
            base = text_metrics(real_content, profile, covered, weight)
        assert base is not None
        expected["jsd"] += base["jsd"] - own["jsd"]
        expected["overlap"] += own["overlap"] - base["overlap"]
        expected["iou"] += own["iou"] - base["iou"]
    for name, value in expected.items():  # sums over texts, each right to 2e-6 or so
        found = channel(sums, f"profile_{name}", view)[p, head]
        assert found == pytest.approx(value, abs=2e-6 * len(TEXTS))


def test_fixed_gain_is_over_the_baseline_chosen_on_the_other_folds() -> None:
    source = Made()
    _, sums = surveyed(source)
    p, head = 6, 1
    score: dict[tuple[str, int], float] = {}
    own: dict[str, float] = {}
    for text in TEXTS:
        real = source.attention(text).reshape(6, len(text), -1)[head]
        rows = PATTERNS[p].predict(text, FULL)
        mine = text_scores(real, rows, sinks_of(text, FULL), "raw")
        if mine is None:
            continue
        own[text.text_id] = mine["jsd"]
        for k in range(6):
            base = PATTERNS[k].predict(text, FULL).to_dense()
            found = text_metrics(real, base, rows.covered, np.ones(len(text)))
            assert found is not None
            score[text.text_id, k] = found["jsd"]
    fold = {t: fold_of(BUCKET[t], FOLDS) for t in own}
    expected = 0.0
    for text_id in own:
        others = [t for t in own if fold[t] != fold[text_id]]
        best = min(range(6), key=lambda k: np.mean([score[t, k] for t in others]))
        expected += score[text_id, best] - own[text_id]
    assert channel(sums, "fixed_jsd", "raw")[p, head] == pytest.approx(expected, abs=1e-6)


def test_gate_equals_the_oracle() -> None:
    source = Made()
    _, sums = surveyed(source)
    expected = np.zeros((len(GATE_STATES), len(GATE_CHANNELS), 6))
    for text in TEXTS:
        sinks, rows = sinks_of(text, FULL), PATTERNS[6].predict(text, FULL)
        for n, real in enumerate(source.attention(text).reshape(6, len(text), -1)):
            for (state, name), value in gate(real, rows, sinks).items():
                expected[GATE_STATES.index(state), GATE_CHANNELS.index(name), n] += value
    np.testing.assert_allclose(sums.gate[:, :, :, 6].sum(axis=0), expected, atol=1e-5)


def test_batches_and_order_do_not_matter() -> None:
    _, one = surveyed(Made(), token_budget=1)
    _, many = surveyed(Made(), token_budget=200, texts=TEXTS[::-1])
    for name, values in one.arrays().items():
        np.testing.assert_allclose(many.arrays()[name], values, atol=1e-6, err_msg=name)


class Small(Made):
    """A source whose memory holds so many padded tokens."""

    def run(self, batch, observer) -> None:
        if len(batch) * max(map(len, batch)) > 24:
            # Memory runs out in the middle: the first layer has been shown already.
            super().run(batch, FirstLayer(observer))
            raise OutOfMemoryError("the batch does not fit into memory")
        super().run(batch, observer)


class FirstLayer:
    def __init__(self, observer) -> None:
        self.observer = observer

    def observe(self, call) -> None:
        if call.layer == 0:
            self.observer.observe(call)


def test_a_batch_beyond_memory_is_halved_and_said(caplog: pytest.LogCaptureFixture) -> None:
    _, whole = surveyed(Made(), token_budget=100)
    _, halved = surveyed(Small(), token_budget=100)
    assert "does not fit into memory; going on with" in caplog.text
    for name, values in whole.arrays().items():
        np.testing.assert_allclose(halved.arrays()[name], values, atol=1e-6, err_msg=name)
    with pytest.raises(OutOfMemoryError):
        surveyed(Small(), texts=[passage("long", 30)])


def test_plans_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without room for any plan the second pass makes them anew: the same sums."""
    kept_engine, kept = surveyed(Made())
    assert kept_engine._kept.keys() == {
        (tuple(p.text_id for p in batch), FULL)
        for batch in kept_engine.batches_of(kept_engine.phases()[0])
    }
    monkeypatch.setattr(engine_module, "KEPT_ENTRIES", 0)
    engine, sums = surveyed(Made())
    assert not engine._kept
    for name, values in kept.arrays().items():
        np.testing.assert_array_equal(sums.arrays()[name], values)


def test_parts_add_up() -> None:
    """Sums of two halves are the sums of the whole, where no baseline depends on the others."""
    whole, first, second = (
        surveyed(Made(), texts=texts, buckets=BUCKET)[1] for texts in (TEXTS, TEXTS[:6], TEXTS[6:])
    )
    first.add(second)
    for name in ("gate", "calibration", "profile_sum", "containment", "failures", "seen"):
        np.testing.assert_allclose(first.arrays()[name], whole.arrays()[name], atol=1e-6)


def test_failures_are_counted() -> None:
    _, sums = surveyed(Made())
    assert sums.failures.tolist() == [0, 0, 0, 0, 0, 0, 0, 1]
    assert sums.seen[:, 0].sum() == len(TEXTS)


def test_a_large_corpus_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fit texts calibrate and get no gain; the others are compared with their baselines."""
    monkeypatch.setattr(engine_module, "CROSS_FIT_TEXTS", 3)
    monkeypatch.setattr(engine_module, "SPLIT_GROUPS", 3)
    _, sums = surveyed(Made())
    fit = [t for t in TEXTS if split_of(BUCKET[t.group]) == "fit"]
    assert 0 < len(fit) < len(TEXTS)
    assert channel(sums, "texts", "raw")[0, 0] == len(TEXTS)
    assert channel(sums, "paired_texts", "raw")[0, 0] == len(TEXTS) - len(fit)
    texts = sums.calibration[:, CALIBRATION_CHANNELS.index("texts")].sum(axis=0)
    assert texts[0, 0, 0, 0] == len(fit)


def test_stopping_between_batches_changes_nothing() -> None:
    engine = Engine(Made(), TEXTS, PATTERNS, token_budget=30)
    progress = engine.start()

    class Stopped(Exception):  # noqa: N818
        pass

    def stop_after_five(progress, texts) -> None:
        if progress.phase == 1 and progress.batches == 2:
            raise Stopped

    with pytest.raises(Stopped):
        engine.run(progress, stop_after_five)
    assert (progress.phase, progress.batches) == (1, 2)
    Engine(Made(), TEXTS, PATTERNS, token_budget=30).run(progress, lambda progress, texts: None)
    _, whole = surveyed(Made(), token_budget=30)
    for name, values in whole.arrays().items():
        np.testing.assert_array_equal(progress.sums.arrays()[name], values)


def test_long_texts_are_sampled_by_hash() -> None:
    long = passage("long", 200)
    flags = sampled_rows(long)
    assert flags.sum() == SAMPLED_ROWS
    assert (flags == sampled_rows(passage("long", 200))).all()
    assert (flags != sampled_rows(passage("other", 200))).any()
    assert sampled_rows(passage("short", 64)).all()
    engine, sums = surveyed(Made(), texts=[long, passage("two", 70)])
    rows = channel(sums, "rows", "raw")
    assert rows[0, 0] == 2 * SAMPLED_ROWS, "uniform is dense"
    assert rows[3, 0] == 270, "self is sparse"
    assert engine.cross


@pytest.mark.parametrize("cells", [1, 100, 1 << 22])
def test_containment_equals_the_oracle(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr(containment_module, "_DENSE_CELLS", cells)
    _, sums = surveyed(Made())
    for a, one in enumerate(PATTERNS[:7]):
        for b, other in enumerate(PATTERNS[:7]):
            parts = [
                containment(
                    one.predict(text, FULL).to_dense(),
                    other.predict(text, FULL).to_dense(),
                    sinks_of(text, FULL),
                )
                for text in TEXTS
            ]
            np.testing.assert_allclose(sums.containment[:, a, b], np.sum(parts, axis=0), atol=1e-5)


def grouped(sizes: Sequence[int]) -> list[Passage]:
    """Texts of as many groups as there are sizes."""
    return [
        passage(f"g{g}t{i}", 4 + (3 * g + i) % 7, group=f"g{g}")
        for g, size in enumerate(sizes)
        for i in range(size)
    ]


@pytest.mark.parametrize(
    "sizes", [(1,), (6,), (1, 1), (5, 1), (1, 2, 3), (4, 1, 1, 1), (2,) * 5, (1,) * 9, (3,) * 12]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_gains_whatever_the_groups(sizes: tuple[int, ...], seed: int) -> None:
    """With two groups or more every text is compared with baselines of other groups, else none."""
    texts = grouped(sizes)
    engine = Engine(Made(), texts, PATTERNS[:7], seed=seed, token_budget=40)
    progress = engine.start()
    engine.run(progress, lambda progress, texts: None)
    paired = channel(progress.sums, "paired_texts", "raw")
    summary = Summary.of(engine, progress)
    scores = summary.scores().to_pandas().query("metric == 'jsd' and view == 'raw'")
    every = scores.query("split == 'all' and pattern == 'self'")
    layers = summary.layers().to_pylist()
    if len(sizes) == 1:
        assert not paired.any()
        assert scores.gain.isna().all()
        assert scores.profile_gain.isna().all()
        assert scores.low.isna().all()
        assert scores.baseline.isna().all()
        assert all(row["score"] is None for row in layers), "nothing was chosen on other texts"
        assert "no gain" in " ".join(engine.notes)
        return
    assert paired[3].tolist() == [len(texts)] * 6, "self covers every text"
    assert every.gain.notna().all()
    assert every.gain_low.notna().all()
    assert every.profile_gain_low.notna().all()
    assert all(row["low"] is not None for row in layers)
    assert bool(engine.notes) == (len(sizes) < FOLDS)
    profile = engine.calibration(progress).profile
    folds = {fold_of(bucket, FOLDS) for bucket in engine.buckets.values()}
    assert all(profile[fold].any() for fold in folds), "no profile from nothing"


def test_two_groups_are_compared_with_each_other() -> None:
    """The profile of a text of one document is that of the other document's texts."""
    texts = grouped((3, 2))
    source, head = Made(), 4
    _, sums = surveyed(source, texts=texts)
    expected = 0.0
    for text in texts:
        sinks = sinks_of(text, FULL)
        others = [
            (t, source.attention(t).reshape(6, len(t), -1)[head], sinks_of(t, FULL))
            for t in texts
            if t.group != text.group
        ]
        rows, real = PATTERNS[6].predict(text, FULL), others[0][1]
        real = source.attention(text).reshape(6, len(text), -1)[head]
        base = text_metrics(
            real, profile_rows(others, text, sinks, FULL), rows.covered, np.ones(len(text))
        )
        own = text_scores(real, rows, sinks, "raw")
        if own is not None and base is not None:
            expected += base["jsd"] - own["jsd"]
    found = channel(sums, "profile_jsd", "raw")[6, head]
    assert found == pytest.approx(expected, abs=2e-6 * len(texts))


def test_a_baseline_that_is_the_pattern_in_the_content_view_is_none() -> None:
    """There the first and the last token fall back to the query: `self` by another name.

    The pattern of every token to itself, special ones elsewhere, is held against the rest.
    """

    def rows(passage: Passage, visibility: Visibility) -> Rows:
        index = np.arange(len(passage))
        return Rows.from_cells(index, np.where(passage.is_special, 0, index), len(passage))

    texts = [passage(f"text{i}", 4 + i % 6) for i in range(12)]
    patterns = [*baselines(), Fixed("itself", rows, "positional"), scattered("some", 0.5)]
    source, head = Made(), 2
    engine = Engine(source, texts, patterns, token_budget=40)
    progress = engine.start()
    engine.run(progress, lambda progress, texts: None)
    score = {
        (text.text_id, k): text_scores(
            source.attention(text).reshape(6, len(text), -1)[head],
            rows_with_self(pattern.predict(text, FULL), sinks_of(text, FULL)),
            sinks_of(text, FULL),
            "content",
        )["jsd"]
        for text in texts
        for k, pattern in enumerate(patterns[:7])
    }
    fold = {t.text_id: fold_of(engine.buckets[t.group], FOLDS) for t in texts}
    expected = 0.0
    for name in fold:
        others = [t for t in fold if fold[t] != fold[name]]
        best = min((0, 4, 5), key=lambda k: np.mean([score[t, k] for t in others]))
        expected += score[name, best] - score[name, 6]
    found = channel(progress.sums, "fixed_jsd", "content")[6, head]
    assert found == pytest.approx(expected, abs=2e-6 * len(texts))
    assert abs(expected) > 0.1
    chosen = engine.calibration(progress).by_jsd
    assert np.isin(chosen[:, 0, 6], (0, 1, 2, 4, 5)).all(), "in the raw view first is not self"
    assert np.isin(chosen[:, 1, 6], (0, 4, 5)).all()


def test_dense_patterns_cover_what_they_say_and_tell_what_was_scored() -> None:
    texts = [passage("long", 200), passage("two", 70), passage("short", 9)]
    engine, sums = surveyed(Made(), texts=texts)
    progress = Progress(sums, RelationSums(6))
    summary = Summary.of(engine, progress)
    assert summary.coverage()[0] == 1.0, "uniform speaks of every row"
    assert summary.scored()[0] == pytest.approx((2 * SAMPLED_ROWS + 9) / 279)
    assert summary.scored()[3] == 1.0
    scores = summary.scores().to_pandas()
    assert scores[scores.pattern == "uniform"].scored.max() == pytest.approx(137 / 279)


@pytest.mark.parametrize("length", [20, 90])
def test_a_uniform_head_is_not_explained_however_long_the_texts(length: int) -> None:
    """`uniform` knows nothing: it explains no layer, of short texts as of long ones."""

    class Even(Made):
        def attention(self, passage: Passage) -> np.ndarray:
            shape = (self.layers, self.heads, len(passage), len(passage))
            return np.full(shape, 1 / len(passage), np.float32)

    engine = Engine(Even(), [passage(f"t{i}", length) for i in range(6)], PATTERNS[:6])
    progress = engine.start()
    engine.run(progress, lambda progress, texts: None)
    (line,) = [
        row
        for row in Summary.of(engine, progress).layers()
        .filter(pc.field("layer") == 0).to_pylist()
        if row["metric"] == "jsd" and row["view"] == "raw"
    ]  # fmt: skip
    p, q = np.zeros(length), np.full(length, 1 / length)
    p[0] = 1
    assert line["score"] == pytest.approx(row_metrics(q, p)["jsd"], abs=1e-5)


def test_a_registered_metric_is_one_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is scored, and stands in the table of scores with its interval."""
    monkeypatch.setitem(metrics.METRICS, "outside", metrics.metric("mass"))  # gone afterwards

    @metrics.register_metric("outside", "attention off the predicted keys", higher_is_better=False)
    def outside(sums: metrics.TextSums) -> object:
        return metrics.over(sums.row_sum - sums.mass, sums.weight)

    source = Made(row_sum=0.8)
    engine, sums = surveyed(source)
    for view in VIEWS:
        expected = channel(sums, "texts", view) * (0.8 if view == "raw" else 1.0)
        np.testing.assert_allclose(
            channel(sums, "outside", view), expected - channel(sums, "mass", view), atol=1e-5
        )
    table = Summary.of(engine, Progress(sums, RelationSums(6))).scores().to_pandas()
    found = table.query("metric == 'outside' and view == 'raw' and split == 'all'")
    assert found.score.between(-1e-6, 0.8 + 1e-6).all()
    assert found.low.notna().all()
    assert metrics.metric("outside").sign == -1


def test_more_baselines_than_there_is_room_for_are_refused() -> None:
    more = [replace(pattern, name=f"{pattern.name}2") for pattern in baselines()]
    with pytest.raises(UsageError, match="at most 7 patterns of the group baseline, got 12"):
        Engine(Made(), TEXTS, [*baselines(), *more])
    Engine(Made(), TEXTS, [*baselines(), more[0]])
