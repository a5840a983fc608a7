"""Curves: which heads when, equal plans once, and runs that go on."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.replacement import curves as module
from headscribe.replacement.curves import Arm, count_of, curves, points_of
from headscribe.replacement.measure import measure
from headscribe.replacement.plan import ZERO
from headscribe.results.run import Run
from tests.unit.replacement.tiny import SAME, UNIFORM, Handmade, every_head, passages, tiny


@pytest.fixture(scope="module")
def model():
    return tiny("llama")


def _arms(model):
    heads = every_head(model)
    return [
        Arm("formula", dict.fromkeys(heads, SAME), alone=True, random_orders=2),
        Arm("zero", dict.fromkeys(heads, ZERO), alone=True),
    ]


@given(fraction=st.floats(0.001, 1), heads=st.integers(1, 200))
@settings(max_examples=50, deadline=None)
def test_fractions_of_heads(fraction, heads):
    count = count_of(fraction, heads)
    assert 1 <= count <= heads
    assert abs(count - fraction * heads) <= 0.5 or count == 1


def test_points(model):
    order = every_head(model)[::-1]
    points = points_of(_arms(model), order, (0.25, 1.0), seed=5)
    best = [p for p in points if p.order == "best_first" and p.program == "formula"]
    assert [p.heads for p in best] == [tuple(order[:3]), tuple(order)]
    mixed = [p for p in points if p.order == "random"]
    assert [p.seed for p in mixed] == [5, 5, 6, 6]
    assert all(set(mixed[k].heads) < set(mixed[k + 1].heads) for k in (0, 2))
    alone = [p for p in points if p.order == "alone"]
    assert [p.heads[0] for p in alone] == [*order, *order]
    for fraction in (0.0, 1.1):
        with pytest.raises(UsageError, match="expected fractions above 0"):
            points_of(_arms(model), order, (fraction,))
    with pytest.raises(UsageError, match="expected an order of different heads"):
        points_of(_arms(model), [order[0], order[0]])


def test_the_document_and_the_table(model):
    result = curves(model, _arms(model), every_head(model), passages(model), fractions=(0.5, 1.0))
    document = json.loads(json.dumps(result.document()))
    assert document["metric"] == "perplexity"
    shape = {"program", "order", "tuned", "fraction", "heads", "value", "increase", "low", "high"}
    assert all(set(row) == shape for row in document["curve"])
    keys = [(r["program"], r["order"], r["fraction"], r["heads"]) for r in document["curve"]]
    assert keys == [
        ("formula", "best_first", 0.5, 6),
        ("formula", "best_first", 1.0, 12),
        ("formula", "random", 0.5, 6),
        ("formula", "random", 1.0, 12),
        ("zero", "best_first", 0.5, 6),
        ("zero", "best_first", 1.0, 12),
    ]
    rows = document["curve"]
    assert rows[1] | {"order": "random"} == rows[3]  # all heads are all heads
    for row in rows:
        expected = row["value"] / document["unaltered"] - 1
        assert row["increase"] == pytest.approx(expected)
        assert row["low"] <= row["increase"] <= row["high"]
    assert result.readings.loss.shape[0] == len(set(result.row)) == 2 + 2 + 2 + 24
    table = result.table()
    assert table.num_rows == len(result.points) * 4
    assert set(table.column("metric").to_pylist()) == {
        "perplexity", "word_perplexity", "loss", "kl"
    }  # fmt: skip


def test_an_interrupted_run_goes_on(model, tmp_path, monkeypatch):
    texts = passages(model)
    whole = curves(model, _arms(model), every_head(model), texts, fractions=(0.5, 1))
    run = Run.create(tmp_path / "run", "replace", {})

    def interrupted(*args, **settings):
        for index, found in enumerate(measure(*args, **settings)):
            if index == 2:
                raise KeyboardInterrupt
            yield found

    monkeypatch.setattr(module, "measure", interrupted)
    settings = {"fractions": (0.5, 1), "token_budget": 1}
    with pytest.raises(KeyboardInterrupt):
        curves(model, _arms(model), every_head(model), texts, run=run, **settings)
    state = run.kept("readings.unfinished")
    assert len(state["index"]) == 2
    again = []
    monkeypatch.setattr(
        module, "measure", lambda *a, **k: again.append(set(k["done"])) or measure(*a, **k)
    )
    resumed = curves(
        model, _arms(model), every_head(model), texts, run=Run.open(run.folder), **settings
    )
    assert again == [set(state["index"].tolist())]
    assert np.allclose(resumed.readings.loss, whole.readings.loss, atol=1e-4)
    assert Run.open(run.folder).table("replacement").num_rows == len(whole.points) * 4
    others = [Arm("formula", dict.fromkeys(every_head(model), UNIFORM))]
    with pytest.raises(UsageError, match="holds readings of other programs"):
        curves(model, others, every_head(model), texts, run=run, **settings)


def test_a_program_that_fails_stops_the_measurement(model):
    broken = Handmade(lambda p, v: np.full((len(p), len(p)), np.nan), "broken")
    programs = dict.fromkeys(every_head(model), SAME) | {HeadId(1, 2): broken}
    with pytest.raises(UsageError, match=r"head 1.2, text text:\d: broken fails"):
        curves(model, [Arm("formula", programs)], every_head(model), passages(model))
    with pytest.raises(UsageError, match="expected at least one text"):
        curves(model, _arms(model), every_head(model), [])
