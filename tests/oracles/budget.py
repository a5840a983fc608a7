"""Where attention goes, cell by cell in float64, by the words of `behaviours/budget.py`."""

from collections.abc import Sequence

import numpy as np

from headscribe.behaviours.catalogue import Behaviour
from headscribe.behaviours.measure import Sums
from headscribe.behaviours.offsets import place_classes
from headscribe.behaviours.texts import sinks_of
from headscribe.core.visibility import Visibility
from headscribe.text.passages import Passage

NEAR = {-1: 2, 1: 3}


def slow_parts(
    items: Sequence[tuple[Passage, np.ndarray]],
    view: Visibility,
    sums: Sums,
    groups: dict[str, int],
    lists: Sequence[Sequence[tuple[int, Behaviour]]],
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Shares of the six parts, `(2, 6, H)`, and of each head's behaviours in order, `(2, n)`."""
    parts = np.zeros((2, 6, len(lists)))
    given = [np.zeros((2, len(listed))) for listed in lists]
    rows = np.zeros(2)
    for passage, attention in items:
        group = groups[passage.group]
        half, fold = int(sums.half[group]), int(sums.folds[group])
        content = ~sinks_of(passage, view)
        queries = np.flatnonzero(content)
        visible = np.asarray(view.dense(len(passage)), bool)
        classes = place_classes(queries, content)
        rows[half] += len(queries)
        for head, listed in enumerate(lists):
            numbers = np.array([number for number, _ in listed], int)
            profiles = sums.profiles(fold, numbers, head).astype(float)
            related = [np.asarray(one.relation.dense(passage, view), bool) for _, one in listed]
            for place, query in enumerate(queries):
                seen = [int(key) for key in np.flatnonzero(visible[query] & content)]
                mass = float(attention[head, query, content].sum(dtype=float))
                for key in range(len(passage)):
                    value = float(attention[head, query, key])
                    if not content[key]:
                        parts[half, 0, head] += value
                        continue
                    if key == query:
                        parts[half, 1, head] += value
                        continue
                    if key not in seen:
                        continue
                    distance = key - query
                    where = NEAR.get(distance, 4 if abs(distance) <= 4 else 5)
                    mine = next((k for k, one in enumerate(related) if one[query, key]), None)
                    if mine is None:
                        parts[half, where, head] += value
                        continue
                    weight = profiles[mine]
                    total = sum(weight[classes[place, other]] for other in seen)
                    expected = mass * weight[classes[place, key]] / total
                    given[head][half, mine] += value - expected
                    parts[half, where, head] += expected
    return parts / rows[:, None, None], [one / rows[:, None] for one in given]
