"""Row metrics from whole rows in float64, one loop a row, straight from the definitions."""

import math

import numpy as np


def row_metrics(real: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Every metric of one row; `real` may sum to less than 1, `predicted` sums to 1."""
    p, q = real.astype(np.float64), predicted.astype(np.float64)
    assert p.shape == q.shape
    assert abs(q.sum() - 1) < 1e-5
    square = 0.0
    for a, b in zip(p, q, strict=True):
        middle = (a + b) / 2
        square += 0.5 * a * math.log2(a / middle) if a > 0 else 0.0
        square += 0.5 * b * math.log2(b / middle) if b > 0 else 0.0
    support = q > 0
    return {
        "overlap": float(np.minimum(p, q).sum()),
        "sae": float(np.abs(p - q).sum()),
        "union": float(np.maximum(p, q).sum()),
        "jsd": math.sqrt(max(square, 0.0)),
        "mass": float(p[support].sum()),
        "hit": float(bool(support[p == p.max()].any())),
    }


def text_metrics(
    real: np.ndarray, predicted: np.ndarray, covered: np.ndarray, row_weight: np.ndarray
) -> dict[str, float] | None:
    """Metrics of a matrix: means over covered rows weighted by `row_weight`, and the IoU."""
    rows = [i for i in range(len(real)) if covered[i] and row_weight[i] > 0]
    if not rows:
        return None
    scores = [row_metrics(real[i], predicted[i]) for i in rows]
    weight = np.array([row_weight[i] for i in rows], np.float64)
    mean = {k: float(np.average([s[k] for s in scores], weights=weight)) for k in scores[0]}
    mean["iou"] = mean["overlap"] / mean["union"]
    mean["sae_sum"] = float((np.array([s["sae"] for s in scores]) * weight).sum())
    return mean
