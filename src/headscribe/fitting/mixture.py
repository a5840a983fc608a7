"""A head as a mixture of patterns: which simple patterns are the building blocks of which heads.

With the components' rows `q_c` and weights `w` on the simplex the head's row is `sum_c w_c q_c`.
The likelihood of the head's attention, `sum a log sum_c w_c q_c`, is concave in `w`; expectation
maximisation raises it in every step (Dempster, Laird and Rubin 1977). A background that covers
everything (uniform, or the head's profile) takes the rows that a pattern does not cover.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscribe.fitting.features import Sample
from headscribe.fitting.scores import Scorer
from headscribe.fitting.statistics import mean_interval, number_groups

_STEPS = 300
_TOLERANCE = 1e-7
_LEAST = 0.01


def mixture_weights(
    components: Float[np.ndarray, "N C"], real: Float[np.ndarray, " N"], rows: int
) -> Float[np.ndarray, " C"]:
    """The weights of the components of one head, by expectation maximisation.

    Args:
        components: the rows of each component, one of which is positive wherever `real` is.
        real: the head's attention; its rows sum to 1.
        rows: number of rows.
    """
    weights = np.full(components.shape[1], 1 / components.shape[1])
    before = -np.inf
    for _ in range(_STEPS):
        mixed = np.maximum(components @ weights, 1e-30)
        likelihood = float(real @ np.log(mixed)) / rows
        weights = weights * (components.T @ (real / mixed)) / rows
        weights /= weights.sum()
        if likelihood - before < _TOLERANCE:
            break
        before = likelihood
    found: Float[np.ndarray, " C"] = weights
    return found


def component_rows(
    sample: Sample, names: Sequence[str], background: Float[np.ndarray, " N"]
) -> Float[np.ndarray, "N C"]:
    """The rows of patterns, the background's where a pattern covers nothing; background last."""
    columns = []
    for name in names:
        column = sample.predictions.column(sample.patterns.index(name), len(background))
        covered = np.bincount(sample.row, column, len(sample.lengths)) > 0
        columns.append(np.where(covered[sample.row], column, background))
    return np.stack([*columns, background], axis=1)


@dataclass(frozen=True)
class Part:
    """One component of a head.

    Attributes:
        pattern: its name; `background` for what is not explained.
        weight: its share of the attention.
        gain: what it adds to the IoU on unseen texts, and the 95 % interval; None for the
            background.
    """

    pattern: str
    weight: float
    gain: tuple[float, float, float] | None


def decompose(
    sample: Sample,
    head: int,
    background: Float[np.ndarray, " N"],
    fold: Int[np.ndarray, " R"],
    *,
    least: float = _LEAST,
) -> tuple[Part, ...]:
    """Write one head as a mixture of the sample's patterns, heaviest part first.

    Components below `least` are dropped and the rest fitted again. The gain of a part is the
    cross-fitted IoU of the mixture minus that of the mixture fitted without it.

    Args:
        sample: sampled rows with predictions of patterns.
        head: the head's place in the attention.
        background: rows that take what no pattern explains, on the sample's cells.
        fold: the fold of each row.
        least: the smallest weight that a part may have.
    """
    real = sample.attention[head].astype(np.float64)
    names = list(sample.patterns)
    while True:
        rows = component_rows(sample, names, background)
        weights = mixture_weights(rows, real, len(sample.lengths))
        kept = [name for name, weight in zip(names, weights[:-1], strict=True) if weight >= least]
        if kept == names:
            break
        names = kept
    group = number_groups(sample.groups)
    whole = _unseen(sample, rows, real, fold)
    parts = []
    for c, name in enumerate(names):
        gain = whole - _unseen(sample, np.delete(rows, c, axis=1), real, fold)
        mean, low, high = mean_interval(gain, group)
        parts.append(Part(name, float(weights[c]), (float(mean), float(low), float(high))))
    parts.sort(key=lambda part: (-part.weight, part.pattern))
    return (*parts, Part("background", float(weights[-1]), None))


def _unseen(
    sample: Sample,
    components: Float[np.ndarray, "N C"],
    real: Float[np.ndarray, " N"],
    fold: Int[np.ndarray, " R"],
) -> Float[np.ndarray, " texts"]:
    """IoU by text, each fold with weights fitted on the others."""
    predicted = np.zeros(len(real))
    for f in np.unique(fold):
        held = (fold == f)[sample.row]
        weights = mixture_weights(components[~held], real[~held], int((fold != f).sum()))
        predicted[held] = components[held] @ weights
    iou: Float[np.ndarray, " texts"] = Scorer(sample).iou(predicted, real)
    return iou
