import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from headscribe.core import metrics
from headscribe.core.errors import UsageError
from tests.oracles.metrics import row_metrics, text_metrics


def rows(seed: int, number: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p, q = rng.random((2, number, number)) ** 3
    q[rng.random((number, number)) < 0.5] = 0
    q[:, 0] += 0.01
    return p / p.sum(1, keepdims=True) * 0.8, q / q.sum(1, keepdims=True)


@pytest.mark.parametrize("seed", range(5))
def test_divergence_is_that_of_scipy_for_arrays_and_tensors(seed: int) -> None:
    _, q = rows(seed, 40)
    _, p = rows(seed + 100, 40)
    p[0], p[1], q[1] = q[0], np.eye(40)[3], np.eye(40)[4]  # alike, and nothing in common
    found = metrics.divergence(p, q)
    np.testing.assert_allclose(found.sum(1), jensenshannon(p, q, 2, axis=1) ** 2, atol=1e-12)
    assert found[0].max() == 0
    assert found[1].sum() == 1
    whole = metrics.divergence(torch.from_numpy(p), torch.from_numpy(q)).numpy()
    np.testing.assert_allclose(whole, found, atol=1e-15)
    narrow = metrics.divergence(*(torch.from_numpy(one).float() for one in (p, q))).numpy()
    np.testing.assert_allclose(narrow, found, atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
def test_finishing_formulas_equal_the_definitions(seed: int) -> None:
    p, q = rows(seed)
    scores = [row_metrics(a, b) for a, b in zip(p, q, strict=True)]
    overlap = np.array([s["overlap"] for s in scores])
    whole = text_metrics(p, q, np.ones(5, bool), np.ones(5))
    assert whole is not None
    jsd, mass, hit = (sum(s[name] for s in scores) for name in ("jsd", "mass", "hit"))
    sums = metrics.TextSums(
        np.array(5.0), p.sum(), overlap.sum(), jsd, mass, np.array(2.0), hit, np.array(5.0),
        np.array(2.0), 5,
    )  # fmt: skip
    for name in ("jsd", "sae", "sae_sum", "iou", "overlap", "mass", "hit"):
        assert metrics.metric(name).formula(sums) == pytest.approx(whole[name]), name
    assert metrics.metric("mae").formula(sums) == pytest.approx(np.abs(p - q).mean())
    square = metrics.divergence(p, q).sum(1)
    np.testing.assert_allclose(np.sqrt(square), [s["jsd"] for s in scores], atol=1e-12)


def test_the_distance_of_nearly_equal_rows_does_not_cancel() -> None:
    """JSD^2 is (d ln p)^2 p / (8 ln 2), summed, for a small relative difference."""
    p = np.full(10, 0.1)
    q = p * (1 + 1e-9 * np.array([1, -1] * 5))
    expected = np.sqrt((1e-18 * p / (8 * np.log(2))).sum())
    assert np.sqrt(metrics.divergence(p, q).sum()) == pytest.approx(expected, rel=1e-6)
    assert metrics.divergence(p, p).sum() == 0


def test_a_metric_is_registered_once_and_no_built_in_one_is_replaced() -> None:
    with pytest.raises(UsageError, match="no built-in metric"):
        metrics.register_metric("jsd", "mine", higher_is_better=True)
    with pytest.raises(UsageError, match="expected an identifier"):
        metrics.register_metric("two words", "mine", higher_is_better=True)


def test_unknown_metrics_get_a_suggestion() -> None:
    assert metrics.metric("jsd").sign == -1
    assert metrics.metric("iou").sign == 1
    with pytest.raises(UsageError, match="did you mean `jsd`"):
        metrics.metric("jds")
