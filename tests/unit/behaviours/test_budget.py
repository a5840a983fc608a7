"""The budgets of both halves against a computation cell by cell."""

from dataclasses import replace

import numpy as np
import pytest

from headscribe.behaviours.budget import Accountant
from headscribe.behaviours.catalogue import behaviours
from headscribe.behaviours.measure import Collector
from headscribe.behaviours.naming import name
from headscribe.behaviours.texts import Asked, sinks_of
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from tests.oracles.budget import slow_parts
from tests.unit.behaviours.conftest import planted, read_all

ASKED = ("determiner → its noun", "the same token elsewhere", "reads nouns", "word → its head")
CONFIRMED = ((0, 1, 2, 3), (0, 2), (1,), ())
"""Of four heads the confirmed behaviours: lists that begin alike, and that do not."""


@pytest.mark.parametrize("view", [FULL, CAUSAL])
def test_budgets_equal_a_slow_computation(stories, view: Visibility) -> None:
    chance = np.random.default_rng(7)
    asked = [behaviour for behaviour in behaviours() if behaviour.name in ASKED]
    items = []
    for passage in stories[0][:8]:
        made = planted(passage, [asked[0].relation.source] * len(CONFIRMED), 0.4, chance)
        made *= np.asarray(view.dense(len(passage)))
        items.append((passage, (made / made.sum(-1, keepdims=True)).astype(np.float32)))
    groups = dict.fromkeys(passage.group for passage, _ in items)
    clusters = {group: i for i, group in enumerate(groups)}
    collector = Collector(Asked(asked), clusters, view, len(CONFIRMED), np.float64)
    read_all(collector, items)
    sums = collector.sums()
    confirmed = np.zeros((len(asked), len(CONFIRMED)), bool)
    for head, listed in enumerate(CONFIRMED):
        confirmed[list(listed), head] = True
    named = replace(name(sums, [one.family for one in asked]), confirmed=confirmed)
    texts = [passage.text_id for passage, _ in items]
    accountant = Accountant(asked, sums, named, clusters, view, texts)
    read_all(accountant, items)
    found = accountant.accounts()
    order = [[one.behaviour for one in remaining] for remaining in found.remaining]
    assert [sorted(one) for one in order] == [list(one) for one in CONFIRMED]
    lists = [[(number, asked[number]) for number in one] for one in order]
    parts, given = slow_parts(items, view, sums, clusters, lists)
    np.testing.assert_allclose(found.parts, parts, atol=1e-9)
    for head, shares in enumerate(given):
        mine = [found.of_behaviours[which][head] for which in (0, 1)]
        np.testing.assert_allclose(np.array(mine).reshape(shares.shape), shares, atol=1e-9)
    assert max(abs(shares).max() for shares in given if shares.size) > 0.005
    for (passage, attention), picked in zip(items, found.picked, strict=True):
        content = ~sinks_of(passage, view)
        rows = attention[:, content].astype(float) * content
        columns = (rows / rows.sum(-1, keepdims=True)).sum(1)
        assert picked.tolist() == columns.argmax(-1).tolist()
