"""Splits by a stable hash of the group and the seed."""

from hashlib import blake2b
from typing import Literal, get_args

from headscribe.core.errors import UsageError

Split = Literal["fit", "select", "test"]
"""`fit`: tune on it; `select`: choose with it; `test`: report on it."""

SPLITS: tuple[Split, ...] = get_args(Split)
"""The splits, in the order of their use."""

BUCKETS = 120
"""Number of buckets; a multiple of 4 for the splits, and of 2 to 6, 8, 10 and 12 for folds."""


def bucket_of(group: str, seed: int) -> int:
    """The bucket of a group, `0..BUCKETS - 1`: the same on every machine, in every order.

    Whatever is kept by bucket stays together in every split and every fold.
    """
    digest = blake2b(f"{seed}:{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def split_of(bucket: int) -> Split:
    """The split of a bucket: half of them `fit`, a quarter `select`, a quarter `test`.

    Goes by the remainder of 4, so that splits and five folds cut across each other.
    """
    splits: tuple[Split, ...] = ("fit", "fit", "select", "test")
    return splits[_checked(bucket) % 4]


def fold_of(bucket: int, folds: int = 5) -> int:
    """The fold of a bucket, `0..folds - 1`, for cross-fitting.

    Raises:
        UsageError: `folds` does not divide `BUCKETS`, so that folds would differ in size.
    """
    if folds < 2 or BUCKETS % folds:
        raise UsageError(
            f"expected a number of folds that divides {BUCKETS} (2 to 6, 8, 10, 12), got {folds}"
        )
    return _checked(bucket) % folds


def _checked(bucket: int) -> int:
    if not 0 <= bucket < BUCKETS:
        raise UsageError(f"expected a bucket within 0..{BUCKETS - 1}, got {bucket}")
    return bucket
