"""Controls: the profile, the mean, the best fixed pattern, other heads' programs."""

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.replacement.controls import MeanAttention, Profile, estimate, shuffled
from headscribe.scoring.predictions import sinks_of
from tests.oracles.survey import profile_cell
from tests.unit.replacement.tiny import FIXED, Handmade, every_head, passages, tiny


class Recorded:
    def __init__(self):
        self.seen = []

    def observe(self, call):
        for b, passage in enumerate(call.batch):
            n = len(passage)
            self.seen.append((call.layer, passage, call.probabilities()[b, :, :n, :n].numpy()))


@pytest.mark.parametrize("family", ["mistral", "bert"])
def test_estimates_equal_the_slow_ones(family):
    model = tiny(family)
    texts = passages(model)
    found = estimate(model, texts, FIXED, token_budget=1000)
    recorded = Recorded()
    for text in texts:
        model.run([text], recorded)
    for head in every_head(model):
        mine = [(p, a[head.head]) for layer, p, a in recorded.seen if layer == head.layer]
        visibility = model.visibility(head.layer)
        total, count = {}, {}
        longest = max(map(len, texts))
        mean = np.zeros((longest, longest))
        overlaps = np.zeros(len(FIXED))
        for passage, attention in mine:
            sinks, n = sinks_of(passage, visibility), len(passage)
            mean[:n, :n] += attention
            for i in range(n):
                for j in range(n):
                    if visibility.admits(np.array(i), np.array(j), n):
                        cell = profile_cell(i, j, sinks, visibility.causal)
                        total[cell] = total.get(cell, 0) + attention[i, j]
                        count[cell] = count.get(cell, 0) + 1
            for k, pattern in enumerate(FIXED):
                rows = pattern.predict(passage, visibility).to_dense()
                overlaps[k] += np.minimum(rows, attention).sum() / n
        passage, attention = mine[-1]
        sinks, n = sinks_of(passage, visibility), len(passage)
        expected = np.zeros((n, n))
        for i in range(n):
            for j in range(n):
                if visibility.admits(np.array(i), np.array(j), n):
                    expected[i, j] = (
                        total[profile_cell(i, j, sinks, visibility.causal)]
                        / count[profile_cell(i, j, sinks, visibility.causal)]
                    )
        expected /= expected.sum(axis=1, keepdims=True)
        rows = found.profile[head].predict(passage, visibility).to_dense()
        np.testing.assert_allclose(rows, expected, atol=2e-5)
        averaged = mean[:n, :n] / mean[:n, :n].sum(axis=1, keepdims=True)
        rows = found.mean[head].predict(passage, visibility).to_dense()
        np.testing.assert_allclose(rows, averaged, atol=2e-5)
        assert found.fixed[head] is FIXED[int(overlaps.argmax())]


def test_rows_beyond_the_longest_fit_text_stay_uncovered():
    model = tiny("llama")
    short, long = passages(model, ("w5 w6", "w5 w6 w7 w8"))
    mean = MeanAttention(np.tril(np.ones((2, 2))))
    assert mean.predict(short, model.visibility(0)).covered.all()
    assert mean.predict(long, model.visibility(0)).covered.tolist() == [True, True, False, False]


def test_what_cannot_be_estimated():
    model = tiny("llama")
    with pytest.raises(UsageError, match="expected at least one fit text"):
        estimate(model, [], FIXED)
    ahead = Handmade(FIXED[0].matrix, "next", needs_later_keys=True)
    with pytest.raises(UsageError, match="at least one fixed pattern"):
        estimate(model, passages(model), [ahead])


@pytest.mark.parametrize("count", [2, 3, 12])
def test_no_head_keeps_its_own_program(count):
    programs = {HeadId(0, k): Profile(np.zeros(1), name=str(k)) for k in range(count)}
    for seed in range(5):
        mixed = shuffled(programs, seed)
        assert all(mixed[head] is not programs[head] for head in programs)
        assert {id(p) for p in mixed.values()} == {id(p) for p in programs.values()}
    assert shuffled(programs, 1) == shuffled(programs, 1)
    with pytest.raises(UsageError, match="at least two heads"):
        shuffled({HeadId(0, 0): programs[HeadId(0, 0)]}, 0)
