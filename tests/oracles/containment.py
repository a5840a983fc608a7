"""Pattern against pattern by loops over rows."""

import numpy as np


def containment(one: np.ndarray, other: np.ndarray, sinks: np.ndarray) -> tuple[int, float, float]:
    """Rows that both cover, their overlap, and the mass of `one` on the support of `other`."""
    rows, overlap, inside = 0, 0.0, 0.0
    for i in range(len(one)):
        if sinks[i] or one[i].sum() == 0 or other[i].sum() == 0:
            continue
        rows += 1
        overlap += float(np.minimum(one[i], other[i]).sum())
        inside += float(one[i][other[i] > 0].sum())
    return rows, overlap, inside
