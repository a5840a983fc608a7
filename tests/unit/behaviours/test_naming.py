"""What is chosen and confirmed, on sums that are made up."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from headscribe.behaviours.measure import Sums
from headscribe.behaviours.naming import name
from headscribe.behaviours.places import EVENLY

CLUSTERS = 60


def made(excess: Float[np.ndarray, "B"], noise: float, seed: int) -> Sums:
    """One head whose behaviours have some excess, up to noise from cluster to cluster."""
    chance = np.random.default_rng(seed)
    count = len(excess)
    beyond = excess[:, None] + chance.normal(scale=noise, size=(count, CLUSTERS))
    flat = np.ones((count, CLUSTERS))
    return Sums(
        half=np.arange(CLUSTERS) % 2, folds=np.zeros(CLUSTERS, np.int64),
        on_keys=0.3 + beyond[:, :, None], expected=0.3 * flat[:, :, None],
        content=flat[:, :, None], rows=flat, hits=np.zeros((count, 2, 1)),
        all_content=np.ones((CLUSTERS, 1)), all_rows=np.ones(CLUSTERS),
        places=np.zeros((CLUSTERS, 8, 1)), even=np.zeros((CLUSTERS, 8)),
        by_place=np.zeros((1, count, 1, 1)), met=np.zeros((1, count, 1, 1)),
        overall=np.zeros((1, 1, 1)),
    )  # fmt: skip


def test_a_family_does_not_pay_for_another() -> None:
    excess = np.r_[np.full(10, 0.17), np.zeros(500)]
    of = ["syntax"] * 10 + ["word class"] * 500
    both = name(made(excess, 0.2, 3), of)
    alone = name(made(excess[:10], 0.2, 3), of[:10])
    np.testing.assert_array_equal(both.named[:10], alone.named)
    together = name(made(excess, 0.2, 3), ["all"] * 510)
    assert both.confirmed[:10].sum() >= 8 > together.confirmed[:10].sum()


def test_what_is_not_there_is_not_confirmed() -> None:
    """Of 20 times 500 behaviours without excess; what looks like one on one half alone is noise."""
    found = [name(made(np.zeros(500), 0.2, seed), ["word class"] * 500) for seed in range(20)]
    assert sum(one.confirmed.sum() for one in found) == 0
    lucky = made(np.zeros(500), 0.01, 0)
    lucky.on_keys[:, ::2] += 0.2
    one = name(lucky, ["word class"] * 500)
    assert one.named.all()
    assert not one.confirmed.any()


def test_what_is_there_is_confirmed() -> None:
    found = name(made(np.full(40, 0.3), 0.2, 1), ["syntax"] * 40)
    assert found.confirmed.all()


def test_what_is_faint_is_confirmed_where_it_is_all_there_is() -> None:
    """8 points, surely above 5 on both halves: for heads that are even at most."""
    sums = made(np.array([0.08, 0.0]), 0.02, 2)
    even, previous = np.zeros_like(sums.places), np.zeros_like(sums.places)
    even[:, EVENLY], previous[:, 0] = 0.7, 0.7
    for places, found in ((sums.places, True), (even, True), (previous, False)):
        one = name(replace(sums, places=places), ["word pieces"] * 2)
        assert one.confirmed[:, 0].tolist() == [found, False]
    beside = name(made(np.array([0.08, 0.3]), 0.02, 2), ["word pieces"] * 2)
    assert beside.confirmed[:, 0].tolist() == [False, True]
    unsure = name(made(np.array([0.08, 0.0]), 0.2, 2), ["word pieces"] * 2)
    assert not unsure.confirmed.any()
