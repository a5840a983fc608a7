"""Heads as mixtures of patterns: which simple patterns are the building blocks of which heads.

With the components' rows `q_c` and weights `w` on the simplex the head's row is `sum_c w_c q_c`.
The likelihood of the head's attention, `sum a log sum_c w_c q_c`, is concave in `w`; expectation
maximisation raises it in every step (Dempster, Laird and Rubin 1977). Rows that a pattern does not
cover are uniform, and the uniform row is a component of its own: what no pattern explains.

All heads are fitted side by side. Cells of which every component says the same in proportion to
the uniform row count as one, with their attention summed: the likelihood differs by a constant.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.fitting.features import Sample
from headscribe.fitting.folds import halves
from headscribe.fitting.scores import Scorer
from headscribe.fitting.stages import selection_rows
from headscribe.fitting.statistics import mean_interval, number_groups

PARTS = (
    "next_token_only",
    "previous_token_only",
    "same_token_only",
    "first_token",
    "last_token",
    "punctuation_only",
    "previous_punctuation_only",
    "repetition_without_self",
    "part_of_speech_only",
    "to_head",
    "to_children",
)
"""Patterns that heads are made of, beside `uniform`: none is another's equivalent or union."""

REST = "uniform"
"""The component that takes what no pattern explains."""

FEW = 30
"""Patterns that a mixture may be made of."""

_STEPS = 300
_TOLERANCE = 1e-6
_LEAST = 0.01
_ALIKE = 0.9
_COMMON = 0.5
_HALVES = 2
_AT_ONCE = 8


@dataclass(frozen=True)
class Part:
    """One component of a head.

    Attributes:
        pattern: its name; `uniform` for what is not explained.
        gain: what it adds to the IoU on unseen texts, with the 95 % interval (NaN where one
            group holds all texts); None for `uniform`.
    """

    pattern: str
    weight: float
    gain: tuple[float, float, float] | None


def components_of(patterns: Sequence[str], labelled: Iterable[str]) -> tuple[str, ...]:
    """What heads are decomposed into: patterns of the set that labels come from, and no others.

    All of a small set; of a large one those of `PARTS` and whatever is a label of some head.
    """
    wanted = patterns if len(patterns) <= FEW else (*PARTS, *labelled)
    ordered = dict.fromkeys((*(name for name in PARTS if name in wanted), *wanted))
    return tuple(name for name in ordered if name in patterns)


def mixture_weights(
    components: Float[np.ndarray, "U C"],
    real: Float[np.ndarray, "B U"],
    start: Float[np.ndarray, "B C"] | None = None,
) -> Float[np.ndarray, "B C"]:
    """The weights of the components of several heads, by expectation maximisation.

    Args:
        components: what each component predicts, one of which is positive wherever `real` is.
        real: the attention of each head on the same cells; need not sum to anything.
        start: where to start; a weight of 0 stays 0. Equal weights by default.
    """
    heads, count = len(real), components.shape[1]
    weights = np.full((heads, count), 1 / count) if start is None else start.copy()
    # A few heads at a time, on what concerns them, so that the work stays in the cache.
    for first in range(0, heads, _AT_ONCE):
        left = first + np.flatnonzero(real[first : first + _AT_ONCE].any(axis=1))
        cells = np.flatnonzero(real[left].any(axis=0))
        used = np.flatnonzero(weights[left].any(axis=0))
        rows, own = components[np.ix_(cells, used)], real[np.ix_(left, cells)]
        columns, moved = np.ascontiguousarray(rows.T), weights[np.ix_(left, used)]
        total, before = own.sum(axis=1), np.full(len(left), -np.inf)
        for _ in range(_STEPS):
            if not len(left):
                break
            mixed = moved @ columns
            np.maximum(mixed, 1e-30, out=mixed)
            likelihood = np.einsum("hu,hu->h", own, np.log(mixed)) / total
            np.divide(own, mixed, out=mixed)
            moved *= mixed @ rows
            moved /= moved.sum(axis=1, keepdims=True)
            weights[np.ix_(left, used)] = moved
            going = likelihood - before >= _TOLERANCE
            before = likelihood
            if not going.all():
                left, own, moved = left[going], own[going], moved[going]
                total, before = total[going], before[going]
    return weights


def component_rows(sample: Sample, names: Sequence[str]) -> Float[np.ndarray, "N C"]:
    """The rows of patterns, uniform where one covers nothing; the uniform row last."""
    uniform = 1 / sample.lengths[sample.row]
    columns = []
    for name in names:
        column = sample.predictions.column(sample.patterns.index(name), len(uniform))
        covered = np.bincount(sample.row, column, len(sample.lengths)) > 0
        columns.append(np.where(covered[sample.row], column, uniform))
    return np.stack([*columns, uniform], axis=1)


def distinct(sample: Sample, names: Sequence[str]) -> tuple[str, ...]:
    """The patterns without those that say nearly the same as an earlier one, or nothing.

    Two patterns are alike if they share 0.9 of their attention on the rows that both cover, and
    those are at least half of what either covers: fall-backs do not tell them apart.
    """
    kept: dict[str, tuple[Bool[np.ndarray, " R"], Float[np.ndarray, " N"]]] = {}
    for name in names:
        if name not in sample.patterns or name == REST:
            continue
        column = sample.predictions.column(sample.patterns.index(name), len(sample.key_token))
        covers = np.bincount(sample.row, column, len(sample.lengths)) > 0
        if covers.any() and not any(
            _alike(sample, (covers, column), other) for other in kept.values()
        ):
            kept[name] = (covers, column)
    return tuple(kept)


def _alike(
    sample: Sample,
    one: tuple[Bool[np.ndarray, " R"], Float[np.ndarray, " N"]],
    two: tuple[Bool[np.ndarray, " R"], Float[np.ndarray, " N"]],
) -> bool:
    both = one[0] & two[0]
    shared = np.minimum(one[1], two[1])[both[sample.row]].sum()
    most = max(one[0].sum(), two[0].sum())
    return bool(both.sum() >= _COMMON * most and shared >= _ALIKE * both.sum())


def decompose(
    sample: Sample, patterns: Sequence[str] = PARTS, *, seed: int = 0, least: float = _LEAST
) -> tuple[tuple[Part, ...], ...]:
    """Write every head as a mixture of patterns, heaviest part first.

    Components below `least` are dropped and the rest fitted again. The gain of a part is the IoU
    of the mixture minus that of the mixture fitted without it, each on the half of the groups
    that its weights were not fitted on. At most as many rows are looked at as terms are chosen on.

    Args:
        sample: sampled rows with predictions of patterns.
        patterns: the components beside `uniform`; those that the sample lacks, or that repeat an
            earlier one, are left out.
    """
    sample = selection_rows(sample, seed)
    names = distinct(sample, patterns)
    rows = component_rows(sample, names)
    half = halves(sample, seed)
    if half is None:
        return _unproven(sample, names, rows, least)
    cells = half[sample.row_text][sample.row]
    components, real = _pooled(sample, rows, cells)
    weights, allowed = _pruned(components, real.sum(axis=0), least)
    crossed = _crossed(components, real, np.where(allowed, weights, 0)[None].repeat(_HALVES, 0))
    scorer, group = Scorer(sample), number_groups(sample.groups)
    gains: list[dict[int, tuple[float, float, float]]] = [{} for _ in weights]
    whole = _unseen(scorer, rows, crossed, cells, np.arange(len(weights)))
    for c in range(len(names)):
        heads = np.flatnonzero(allowed[:, c])
        if not len(heads):
            continue
        start = crossed[:, heads].copy()
        start[:, :, c] = 0
        start += 1e-3 * (allowed[heads] & (np.arange(len(names) + 1) != c))
        without = _crossed(components, real[:, heads], start)
        gain = whole[:, heads] - _unseen(scorer, rows, without, cells, heads)
        ends = np.stack(mean_interval(gain, group), axis=1)
        for h, (mean, low, high) in zip(heads.tolist(), ends.tolist(), strict=True):
            gains[h][c] = (mean, low, high)
    return tuple(_parts(names, weights[h], gains[h]) for h in range(len(weights)))


def _unproven(
    sample: Sample, names: Sequence[str], rows: Float[np.ndarray, "N C"], least: float
) -> tuple[tuple[Part, ...], ...]:
    """Mixtures of texts of one group: weights, and no gains on unseen texts."""
    components, real = _pooled(sample, rows, np.zeros(len(sample.row), int))
    weights, allowed = _pruned(components, real.sum(axis=0), least)
    nothing = (float("nan"),) * 3
    return tuple(
        _parts(names, own, dict.fromkeys(np.flatnonzero(kept[:-1]).tolist(), nothing))
        for own, kept in zip(weights, allowed, strict=True)
    )


def _parts(
    names: Sequence[str],
    weights: Float[np.ndarray, " C"],
    gains: dict[int, tuple[float, float, float]],
) -> tuple[Part, ...]:
    parts = [Part(names[c], float(weights[c]), gain) for c, gain in gains.items()]
    parts.append(Part(REST, float(weights[-1]), None))
    return tuple(sorted(parts, key=lambda part: (-part.weight, part.pattern)))


def _pooled(
    sample: Sample, rows: Float[np.ndarray, "N C"], cells: Int[np.ndarray, " N"]
) -> tuple[Float[np.ndarray, "U C"], Float[np.ndarray, "2 H U"]]:
    """The distinct cells in proportion to the uniform row, and the attention on them by half."""
    relative = np.ascontiguousarray(rows / rows[:, -1:], np.float32)
    keys = relative.view(np.dtype((np.void, relative.dtype.itemsize * relative.shape[1]))).ravel()
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    size = len(first)
    index = place + size * cells
    pooled = [np.bincount(index, one, _HALVES * size) for one in sample.attention]
    real = np.stack(pooled).reshape(-1, _HALVES, size).transpose(1, 0, 2)
    return relative[first].astype(np.float64), np.ascontiguousarray(real)


def _pruned(
    components: Float[np.ndarray, "U C"], real: Float[np.ndarray, "H U"], least: float
) -> tuple[Float[np.ndarray, "H C"], Bool[np.ndarray, "H C"]]:
    """Weights fitted to all texts, and which components are left at `least` or more."""
    weights = mixture_weights(components, real)
    allowed = np.ones(weights.shape, bool)
    while True:
        small = allowed & (weights < least)
        small[:, -1] = False
        changed = np.flatnonzero(small.any(axis=1))
        if not len(changed):
            return weights, allowed
        allowed &= ~small
        weights[changed] = mixture_weights(
            components, real[changed], np.where(allowed, np.maximum(weights, 1e-6), 0)[changed]
        )


def _crossed(
    components: Float[np.ndarray, "U C"],
    real: Float[np.ndarray, "2 H U"],
    start: Float[np.ndarray, "2 H C"],
) -> Float[np.ndarray, "2 H C"]:
    """The weights for each half, fitted on the other."""
    other = real[::-1].reshape(-1, real.shape[2])
    start = start / start.sum(axis=2, keepdims=True)
    found = mixture_weights(components, other, start.reshape(-1, start.shape[2]))
    return found.reshape(start.shape)


def _unseen(
    scorer: Scorer,
    rows: Float[np.ndarray, "N C"],
    weights: Float[np.ndarray, "2 H C"],
    cells: Int[np.ndarray, " N"],
    heads: Int[np.ndarray, " H"],
) -> Float[np.ndarray, "texts H"]:
    """IoU by text of some heads' mixtures, each half with its own weights."""
    found = []
    for k, head in enumerate(heads):
        both = rows @ weights[:, k].T
        predicted = np.where(cells == 0, both[:, 0], both[:, 1])
        found.append(scorer.iou(predicted, scorer.sample.attention[head]))
    return np.stack(found, axis=1)
