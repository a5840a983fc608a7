"""Shares and what position expects: the fast sums against a slow, obvious computation."""

import numpy as np
import pytest

from headscribe.behaviours.catalogue import Behaviour, behaviours
from headscribe.behaviours.measure import FOLDS, Collector, half_of
from headscribe.behaviours.naming import excess_of
from headscribe.behaviours.offsets import CLASSES, FIRST, LAST, NEAR, RANGES, SIDE, place_classes
from headscribe.behaviours.texts import Asked, sinks_of
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.text.passages import Passage
from tests.unit.behaviours.conftest import planted, read_all

ASKED = ("determiner → its noun", "the same token elsewhere", "reads nouns", "word → its head")


def slow_class(query: int, key: int, content: list[int]) -> int:
    """The class of a key by the words of the docstring."""
    size = abs(key - query)
    if size > NEAR and key == content[0]:
        return FIRST
    if size > NEAR and key == content[-1]:
        return LAST
    step = size
    if size > NEAR:
        step, bound = NEAR + 1, 2 * NEAR
        while size > bound and step < NEAR + RANGES:
            step, bound = step + 1, 2 * bound
    return SIDE + (step if key > query else -step)


def test_place_classes_by_hand() -> None:
    content = np.ones(400, bool)
    content[0] = False
    queries = np.array([1, 7, 200])
    found = place_classes(queries, content)
    inner = list(range(1, 400))
    expected = np.array([[-1, *(slow_class(int(q), k, inner) for k in inner)] for q in queries])
    np.testing.assert_array_equal(found, expected)
    assert found.max() < CLASSES


def slow(
    passages: list[Passage], attention: list[np.ndarray], asked: list[Behaviour],
    half: dict[str, int], view: Visibility,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """On keys, expected and content, by behaviour, group and head, in float64, loop by loop."""
    groups = list(half)
    fold, counts = {}, {0: 0, 1: 0}
    for group in groups:
        fold[group] = (half[group], counts[half[group]] % FOLDS)
        counts[half[group]] += 1
    shape = (len(asked), len(groups), len(attention[0]))
    on_keys, expected, content_mass = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    for b, behaviour in enumerate(asked):
        for h in range(shape[2]):
            rows = []
            for passage, heads in zip(passages, attention, strict=True):
                own = heads[h].astype(np.float64)
                sinks = sinks_of(passage, view)
                inner = [int(k) for k in np.flatnonzero(~sinks)]
                related = np.asarray(behaviour.relation.dense(passage, view), bool)
                for query in inner:
                    seen = [
                        k
                        for k in inner
                        if bool(view.admits(np.array(query), np.array(k), len(passage)))
                    ]
                    keys = [k for k in seen if related[query, k]]
                    if keys:
                        mass = own[query, inner].sum()
                        rows.append((passage.group, query, keys, seen, inner, own[query], mass))
            for group, query, keys, seen, inner, row, mass in rows:
                g = groups.index(group)
                on_keys[b, g, h] += row[keys].sum()
                content_mass[b, g, h] += mass
                by_class, met = np.zeros(CLASSES), np.zeros(CLASSES)
                for other, q, _, visible, ends, values, whole in rows:
                    if fold[other][0] == fold[group][0] and fold[other] != fold[group]:
                        for k in visible:
                            place = slow_class(q, k, ends)
                            by_class[place] += values[k]
                            met[place] += whole
                mean = by_class.sum() / max(met.sum(), 1e-9)
                profile = (by_class + mean) / (met + 1)
                weight = {k: profile[slow_class(query, k, inner)] for k in seen}
                expected[b, g, h] += mass * sum(weight[k] for k in keys) / sum(weight.values())
    return on_keys, expected, content_mass


@pytest.mark.parametrize("view", [FULL, CAUSAL])
def test_the_sums_equal_a_slow_computation(stories, view: Visibility) -> None:
    passages = list(stories[0][:8])
    chance = np.random.default_rng(3)
    asked = [behaviour for behaviour in behaviours() if behaviour.name in ASKED]
    attention = []
    for passage in passages:
        made = planted(passage, [asked[0].relation.source] * 2, 0.4, chance)
        made *= np.asarray(view.dense(len(passage)))
        attention.append((made / made.sum(-1, keepdims=True)).astype(np.float32))
    groups = dict.fromkeys(passage.group for passage in passages)
    clusters = {group: i for i, group in enumerate(groups)}
    half = {group: half_of(cluster) for group, cluster in clusters.items()}
    items = list(zip(passages, attention, strict=True))
    collector = Collector(Asked(asked), clusters, view, 2, np.float64)
    read_all(collector, items)
    sums = collector.sums()
    on_keys, expected, content = slow(passages, attention, asked, half, view)
    np.testing.assert_allclose(sums.on_keys, on_keys, atol=1e-9)
    np.testing.assert_allclose(sums.content, content, atol=1e-9)
    np.testing.assert_allclose(sums.expected, expected, atol=1e-9)
    first = excess_of(sums, 0)
    chosen = np.array(list(half.values())) == 0
    known = content[:, chosen].sum(1) > 0
    assert known.sum() >= 6
    total = np.where(known, content[:, chosen].sum(1), 1)
    share, mean = on_keys[:, chosen].sum(1) / total, expected[:, chosen].sum(1) / total
    np.testing.assert_allclose(first.share[known], share[known], atol=1e-9)
    np.testing.assert_allclose(first.excess[known], (share - mean)[known], atol=1e-9)
    quick = Collector(Asked(asked), clusters, view, 2)
    read_all(quick, items)
    for name, total in collector.totals.items():
        np.testing.assert_allclose(quick.totals[name], total, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(quick.sums().expected, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("view", [FULL, CAUSAL])
def test_parts_add_up_to_the_whole_in_any_order(stories, view: Visibility) -> None:
    passages = stories[0][:12]
    chance = np.random.default_rng(8)
    items = [
        (passage, planted(passage, ["distance == 1"] * 3, 0.4, chance)) for passage in passages
    ]
    asked = Asked([one for one in behaviours() if one.applies_to(stories[1], view)][:60])
    groups = dict.fromkeys(passage.group for passage in passages)
    clusters = {group: i for i, group in enumerate(groups)}

    def collected(some: list[tuple[Passage, np.ndarray]]) -> Collector:
        collector = Collector(asked, clusters, view, 3, np.float64)
        read_all(collector, some)
        return collector

    whole = collected(items).sums()
    order = chance.permutation(len(items))
    merged = Collector(asked, clusters, view, 3, np.float64)
    for part in (order[:5], order[5:6], order[6:6], order[6:]):
        merged.add(collected([items[i] for i in part]).arrays())
    again = Collector(asked, clusters, view, 3, np.float64)
    again.add(merged.arrays())
    for name, value in vars(whole).items():
        np.testing.assert_allclose(vars(again.sums())[name], value, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("view", [FULL, CAUSAL, Visibility(causal=True, window=6)])
def test_what_even_rows_have_at_each_place(stories, view: Visibility) -> None:
    passages = list(stories[0][:4])
    clusters = {passage.group: i for i, passage in enumerate(passages)}
    collector = Collector(Asked(behaviours()[:1]), clusters, view, 1, np.float64)
    items = []
    for passage in passages:
        seen = view.dense(len(passage)).astype(np.float32)
        items.append((passage, (seen / seen.sum(-1, keepdims=True))[None]))
    read_all(collector, items)
    sums = collector.sums()
    evenness = 7  # has no chance of its own
    np.testing.assert_allclose(
        sums.places[:, :evenness, 0], sums.even[:, :evenness], rtol=1e-6, atol=1e-6
    )
    assert not sums.even[:, evenness].any()
