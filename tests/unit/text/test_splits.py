"""Buckets are stable, splits and folds have the promised sizes and cut across each other."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.text.splits import BUCKETS, SPLITS, bucket_of, fold_of, split_of

KNOWN = [37, 24, 69, 119]


def test_known_buckets_never_change():
    assert [bucket_of(group, 0) for group in ("a", "story 1", "日本", "")] == KNOWN
    assert bucket_of("a", 1) != bucket_of("a", 0)


@settings(max_examples=50, deadline=None)
@given(group=st.text(), seed=st.integers(-(2**63), 2**63))
def test_every_group_has_a_bucket(group, seed):
    bucket = bucket_of(group, seed)
    assert 0 <= bucket < BUCKETS
    assert bucket == bucket_of(group, seed)
    assert split_of(bucket) in SPLITS


def test_halves_and_quarters_within_every_fold():
    assert SPLITS == ("fit", "select", "test")
    counted = Counter((split_of(bucket), fold_of(bucket)) for bucket in range(BUCKETS))
    for fold in range(5):
        assert [counted[split, fold] for split in SPLITS] == [12, 6, 6]


def test_buckets_are_even():
    counted = Counter(bucket_of(f"group {i}", 7) for i in range(24_000))
    assert len(counted) == BUCKETS
    assert max(counted.values()) < 2 * 200 > 200 > min(counted.values()) > 100


@pytest.mark.parametrize("folds", [0, 1, 7, -5])
def test_uneven_folds_are_refused(folds):
    with pytest.raises(UsageError, match="divides 120"):
        fold_of(3, folds)


@pytest.mark.parametrize("bucket", [-1, 120])
def test_no_such_bucket(bucket):
    with pytest.raises(UsageError, match=r"0\.\.119"):
        split_of(bucket)
    with pytest.raises(UsageError, match=r"0\.\.119"):
        fold_of(bucket)
