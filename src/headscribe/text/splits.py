"""Splits by a stable hash of the group and the seed."""

from collections.abc import Iterable, Sequence
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
    return _digest(group, seed) % BUCKETS


def _digest(group: str, seed: int) -> int:
    digest = blake2b(f"{seed}:{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def buckets_of(groups: Iterable[str], seed: int, parts: Sequence[int] = (4, 5)) -> dict[str, int]:
    """The bucket of each group of a corpus, so that no split and none of five folds is empty.

    `parts` are the numbers of parts that are to be filled: four for the splits, five folds.

    That of `bucket_of` where these leave none empty. A few groups may miss one by chance: they are
    dealt out in the order of their hashes instead, evenly, as far as they reach.

    >>> sorted(buckets_of(["one", "two", "three"], seed=0).values())
    [0, 1, 2]
    """
    names = set(groups)
    known = {group: bucket_of(group, seed) for group in names}
    if all(len({bucket % n for bucket in known.values()}) == n for n in parts):
        return known
    ordered = sorted(names, key=lambda group: (_digest(group, seed), group))
    return {group: place % BUCKETS for place, group in enumerate(ordered)}


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
