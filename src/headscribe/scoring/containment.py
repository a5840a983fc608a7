"""Which patterns contain which: patterns scored against each other, no head involved."""

import numpy as np
from jaxtyping import Float, Int

from headscribe.scoring.plan import BatchPlan

_CELLS = 1 << 15
"""Cells that are compared at a time."""

_DENSE_CELLS = 1 << 22
"""Cells of all patterns' rows that exist at a time: 16 MB, whatever the length of a text."""


def containment_sums(plan: BatchPlan) -> Float[np.ndarray, "3 P P"]:
    """Compare the rows of every two patterns on the sampled content rows that both cover.

    Rows of sinks are left out: what patterns say of special tokens is convention, and would make
    patterns look alike that are not, and different that are one.

    Returns:
        At `[:, a, b]`: the number of such rows; the overlap `sum_j min(a, b)` summed over them;
        the mass of `a` that lies inside the support of `b`, summed over them.
    """
    patterns = len(plan.predictions)
    total = np.zeros((3, patterns, patterns))
    for b, length in enumerate(plan.lengths.tolist()):
        sampled = np.flatnonzero((plan.sampled & ~plan.sinks)[b, :length])
        step = max(1, _DENSE_CELLS // (patterns * length))
        for begin in range(0, len(sampled), step):
            total += _compared(plan, b, sampled[begin : begin + step])
    return total


def _compared(
    plan: BatchPlan, text: int, rows: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "3 P P"]:
    """The sums of some rows of one text."""
    patterns, length = len(plan.predictions), int(plan.lengths[text])
    total = np.zeros((3, patterns, patterns))
    dense = np.zeros((patterns, len(rows), length), np.float32)
    place = np.full(length, -1)
    place[rows] = np.arange(len(rows))
    for p, line in enumerate(plan.predictions):
        said = line[text]
        row = place[said.query]
        keep = row >= 0
        dense[p, row[keep], said.key[keep]] = said.weight[keep]
    covered = (dense > 0).any(axis=2).astype(float)
    total[0] = covered @ covered.T
    flat = dense.reshape(patterns, -1)
    for p in range(patterns):
        # Only cells of the pattern's own support add to either sum.
        support = np.flatnonzero(flat[p])
        for start in range(0, len(support), _CELLS):
            cells = support[start : start + _CELLS]
            own, others = flat[p, cells], flat[:, cells]
            total[1, p] += np.minimum(own, others).sum(axis=1)
            total[2, p] += (own * (others > 0)).sum(axis=1)
    return total
