import numpy as np
import pytest

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
def test_finishing_formulas_equal_the_definitions(seed: int) -> None:
    p, q = rows(seed)
    scores = [row_metrics(a, b) for a, b in zip(p, q, strict=True)]
    overlap = np.array([s["overlap"] for s in scores])
    np.testing.assert_allclose(metrics.sae(overlap, p.sum(1)), [s["sae"] for s in scores])
    whole = text_metrics(p, q, np.ones(5, bool), np.ones(5))
    assert whole is not None
    assert metrics.iou(overlap.sum(), 5, p.sum()) == pytest.approx(whole["iou"])


def test_a_distance_is_never_the_root_of_a_negative_number() -> None:
    np.testing.assert_array_equal(
        metrics.jsd_from_square(np.array([-1e-9, 0.25, 1.1])), [0, 0.5, 1]
    )


def test_unknown_metrics_get_a_suggestion() -> None:
    assert metrics.metric("jsd").sign == -1
    assert metrics.metric("iou").sign == 1
    with pytest.raises(UsageError, match="did you mean `jsd`"):
        metrics.metric("jds")
