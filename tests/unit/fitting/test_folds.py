"""Texts dealt to folds and halves: every part filled, whatever the groups are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.fitting.folds import FOLDS, deal, grouped
from headscribe.text.splits import bucket_of, fold_of

GROUPS = st.lists(st.sampled_from([f"g{i}" for i in range(12)]), min_size=1, max_size=60)


@given(GROUPS, st.sampled_from([2, 3, 4, 5, 6]), st.integers(0, 5))
def test_every_fold_is_filled(groups, folds, seed):
    """Whatever documents there are: groups stay whole, no fold is empty."""
    dealt = grouped(sorted(groups))
    if len(set(dealt)) < folds:
        with pytest.raises(UsageError, match=f"at least {folds}"):
            deal(dealt, folds, seed)
        return
    fold = deal(dealt, folds, seed)
    by_group = {group: set(fold[[g == group for g in dealt]]) for group in dealt}
    assert all(len(folds) == 1 for folds in by_group.values())
    counted = Counter(next(iter(folds)) for folds in by_group.values())
    assert set(counted) == set(range(folds))
    shuffled = np.random.default_rng(seed).permutation(len(dealt))
    again = deal([dealt[i] for i in shuffled], folds, seed)
    np.testing.assert_array_equal(again, fold[shuffled])


@given(GROUPS)
def test_blocks_hold_neighbours(groups):
    groups = sorted(groups)
    found = grouped(groups)
    if len(set(groups)) >= FOLDS:
        assert found == tuple(groups)
        return
    assert len(set(found)) >= min(FOLDS, len(groups))
    for block in set(found):
        places = [i for i, one in enumerate(found) if one == block]
        assert places == list(range(places[0], places[-1] + 1))
        assert len({groups[i] for i in places}) == 1


def test_many_texts_keep_the_fold_of_their_hash():
    """Numbers of fits of corpora that the hash deals well stay what they were."""
    groups = [f"text {i}" for i in range(150)]
    expected = [fold_of(bucket_of(group, 0), FOLDS) for group in groups]
    assert deal(groups, FOLDS, 0).tolist() == expected


@pytest.mark.parametrize("texts", [5, 10, 20])
def test_few_texts_do_not_depend_on_luck(texts):
    for seed in range(40):
        fold = deal([f"t{i}" for i in range(texts)], FOLDS, seed)
        assert set(fold.tolist()) == set(range(FOLDS))
