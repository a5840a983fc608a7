"""A survey by loops over texts, heads, patterns and rows, in float64."""

from collections import defaultdict

import numpy as np

from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.text.passages import Passage
from tests.oracles.metrics import text_metrics


def content_view(
    real: np.ndarray, predicted: np.ndarray, sinks: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Real rows, predicted rows, coverage and row weights without the sinks."""
    p, q = real.astype(np.float64).copy(), predicted.astype(np.float64).copy()
    p[:, sinks], q[:, sinks], p[sinks], q[sinks] = 0, 0, 0, 0
    weight = p.sum(axis=1)
    covered = q.sum(axis=1) > 0
    p[weight > 0] /= weight[weight > 0, None]
    q[covered] /= q[covered].sum(axis=1, keepdims=True)
    return p, q, covered, weight


def text_scores(
    real: np.ndarray, rows: Rows, sinks: np.ndarray, view: str
) -> dict[str, float] | None:
    """Metrics of one head on one text in one view."""
    predicted, covered = rows.to_dense().astype(np.float64), rows.covered
    if view == "raw":
        return text_metrics(real, predicted, covered, np.ones(len(real)))
    p, q, covered, weight = content_view(real, predicted, sinks)
    return text_metrics(p, q, covered, weight)


def gate(real: np.ndarray, rows: Rows, sinks: np.ndarray) -> dict[tuple[str, str], float]:
    """Sums over content rows by state: rows, attention on sinks, attention on the last token."""
    sums: dict[tuple[str, str], float] = defaultdict(float)
    content = [i for i in range(len(real)) if not sinks[i]]
    spoken = any(rows.covered[i] for i in content)
    for i in content:
        state = "on" if rows.covered[i] else "off" if spoken else "absent"
        sums[state, "rows"] += 1
        sums[state, "sink"] += float(real[i][sinks].sum())
        sums[state, "last"] += float(real[i, -1])
    return dict(sums)


def profile_cell(
    query: int, key: int, sinks: np.ndarray, causal: bool
) -> tuple[int, int | str | tuple[str, int]]:
    """The class of a cell: kind of query, class of key (offsets exact up to 8, then doubling).

    The first content token, and the last one where a layer can know it, have offsets of their own.
    """

    def kind(i: int) -> int:
        return 0 if not sinks[i] else 1 if i == 0 else 2

    if sinks[key]:
        return kind(query), "opening" if key == 0 else "closing"
    offset = key - query
    content = [i for i in range(len(sinks)) if not sinks[i]]
    if key == content[0] or (key == content[-1] and not causal):
        end = "first" if key == content[0] else "last"
        return kind(query), (end, offset if abs(offset) <= 8 else 9)
    if abs(offset) <= 8:
        return kind(query), offset
    step, limit = 9, 16
    while abs(offset) > limit:
        step, limit = step + 1, limit * 2
    return kind(query), step if offset > 0 else -step


def profile_rows(
    fit: list[tuple[Passage, np.ndarray, np.ndarray]],
    passage: Passage,
    sinks: np.ndarray,
    visibility: Visibility,
) -> np.ndarray:
    """The profile of one head, estimated on `fit` (passage, attention, sinks), on another text."""
    total: dict[object, float] = defaultdict(float)
    count: dict[object, int] = defaultdict(int)
    for other, attention, other_sinks in fit:
        mask = visibility.dense(len(other))
        for i, j in np.argwhere(mask):
            cell = profile_cell(int(i), int(j), other_sinks, visibility.causal)
            total[cell] += float(attention[i, j])
            count[cell] += 1
    length = len(passage)
    mask = visibility.dense(length)
    rows = np.zeros((length, length))
    for i, j in np.argwhere(mask):
        cell = profile_cell(int(i), int(j), sinks, visibility.causal)
        rows[i, j] = total[cell] / count[cell] if count[cell] else 0.0
    empty = rows.sum(axis=1) == 0
    rows[empty] = mask[empty]
    return rows / rows.sum(axis=1, keepdims=True)
