"""Labels: the patterns that a head follows, taken one after the other, or none.

A pattern is a label of a head if mixing it into what is already there gains more than a threshold
on unseen texts, in IoU and in Jensen-Shannon distance: both one-sided tests, clustered by group,
under Benjamini-Yekutieli control over all heads and patterns. What is already there is at first
the uniform row for positional and sink patterns, and the head's profile for all others, which know
more than positions; then the mixture with the labels found so far.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from headscribe.fitting.features import Sample
from headscribe.fitting.profile import Profile, cell_classes, profile_rows
from headscribe.fitting.scores import Scorer
from headscribe.fitting.stages import selection_rows
from headscribe.fitting.statistics import benjamini_yekutieli, number_groups, one_sided
from headscribe.text.splits import bucket_of, fold_of

THRESHOLD = 0.05
"""Gains that matter, in IoU and in JSD."""

_LOOKED_AT = 3
_MOST = 4
_STEPS = 12


@dataclass(frozen=True)
class Label:
    """A pattern that a head follows: its gains given the labels before it, and the p-value."""

    pattern: str
    gain_iou: float
    gain_jsd: float
    p: float


def _shares(
    support: Float[np.ndarray, "H n"],
    base: Float[np.ndarray, "H n"],
    value: Float[np.ndarray, " n"],
    rows: int,
) -> Float[np.ndarray, " H"]:
    """The pattern's share of the mixture with what is there, by expectation maximisation."""
    share = np.full(len(support), 0.5)
    for _ in range(_STEPS):
        own = share[:, None] * value
        share = (support * own / np.maximum(own + (1 - share[:, None]) * base, 1e-30)).sum(1) / rows
    return share


class _Labeller:
    """Labels the heads of one sample with some of its patterns."""

    def __init__(self, sample: Sample, half: Int[np.ndarray, " texts"]) -> None:
        self.sample = sample
        self.group = number_groups(sample.groups)
        self.half = half
        self.scorer = Scorer(sample)
        row_half = half[sample.row_text]
        self.cells = [np.flatnonzero((row_half == side)[sample.row]) for side in (0, 1)]

    def shares(
        self, pattern: int, there: Float[np.ndarray, "H N"]
    ) -> tuple[Float[np.ndarray, "2 H"], Float[np.ndarray, " H"]]:
        """Shares fitted on each half, and the likelihood that they gain."""
        sample, found = self.sample, sample_column(self.sample, pattern)
        cell, value = found
        row = sample.row[cell]
        side = self.half[sample.row_text[row]]
        shares, gained = [], np.zeros(len(there))
        for one in (0, 1):
            mine = side == one
            rows = len(np.unique(row[mine]))
            if not rows:
                shares.append(np.zeros(len(there)))
                continue
            real = sample.attention[:, cell[mine]].astype(np.float64)
            base = there[:, cell[mine]].astype(np.float64)
            share = _shares(real, base, value[mine].astype(np.float64), rows)
            mixed = (1 - share[:, None]) * base + share[:, None] * value[mine]
            inside = (real * np.log(np.maximum(mixed, 1e-30) / np.maximum(base, 1e-30))).sum(1)
            outside = rows - real.sum(1)
            gained += inside + outside * np.log(np.maximum(1 - share, 1e-9))
            shares.append(share)
        return np.array(shares), gained

    def mixed(
        self, pattern: int, shares: Float[np.ndarray, " 2"], there: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """What is there, mixed with a pattern by the share fitted on the other half."""
        sample = self.sample
        cell, value = sample_column(sample, pattern)
        covered = np.zeros(len(sample.lengths), bool)
        covered[sample.row[cell]] = True
        share = shares[1 - self.half][sample.row_text][sample.row] * covered[sample.row]
        mixed = (1 - share) * there
        mixed[cell] += share[cell] * value
        return mixed

    def run(
        self,
        patterns: Sequence[int],
        there: Float[np.ndarray, "H N"],
        threshold: float,
        rate: float,
    ) -> list[list[Label]]:
        """Label all heads with some patterns, `there` being what a label has to gain over."""
        heads = len(there)
        labels: list[list[Label]] = [[] for _ in range(heads)]
        open_heads = np.ones(heads, bool)
        there = there.copy()
        for _ in range(_MOST):
            fitted = [self.shares(p, there) for p in patterns]
            gained = np.array([likelihood for _, likelihood in fitted])
            p_values = np.ones((heads, len(patterns)))
            gains = np.zeros((heads, len(patterns), 2))
            for h in np.flatnonzero(open_heads).tolist():
                before = self.scorer.score(there[h], self.sample.attention[h])
                for k in np.argsort(-gained[:, h], kind="stable")[:_LOOKED_AT].tolist():
                    rows = self.mixed(patterns[k], fitted[k][0][:, h], there[h])
                    after = self.scorer.score(rows, self.sample.attention[h])
                    both = np.stack([after.iou - before.iou, before.jsd - after.jsd], axis=1)
                    p_values[h, k] = one_sided(both, self.group, threshold).max()
                    gains[h, k] = np.nanmean(both, axis=0)
            passed = benjamini_yekutieli(p_values, rate)
            if not passed.any():
                break
            for h in range(heads):
                if not passed[h].any():
                    open_heads[h] = False
                    continue
                best = int(np.argmax(np.where(passed[h], gains[h, :, 0], -1.0)))
                iou, jsd = (float(gain) for gain in gains[h, best])
                name = self.sample.patterns[patterns[best]]
                labels[h].append(Label(name, iou, jsd, float(p_values[h, best])))
                there[h] = self.mixed(patterns[best], fitted[best][0][:, h], there[h])
        return labels


def sample_column(
    sample: Sample, pattern: int
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """The cells and weights that a pattern predicts."""
    span = slice(*sample.predictions.ptr[pattern : pattern + 2])
    return sample.predictions.cell[span], sample.predictions.value[span]


def label_heads(
    sample: Sample, seed: int = 0, *, threshold: float = THRESHOLD, rate: float = 0.05
) -> tuple[tuple[Label, ...], ...]:
    """The labels of every head; none for a head that is `unexplained`.

    The groups are dealt to two halves: shares and profiles fitted on one are tested on the other.
    At most as many rows are looked at as terms are chosen on.

    Args:
        sample: sampled rows with predictions of patterns.
        seed: deals the groups.
        threshold: the gain that matters, in IoU and in JSD.
        rate: the false-discovery rate.
    """
    sample = selection_rows(sample, seed)
    half = np.array([fold_of(bucket_of(group, seed), 2) for group in sample.groups])
    row_half = half[sample.row_text]
    labeller = _Labeller(sample, half)
    uniform = np.broadcast_to(1 / sample.lengths[sample.row], sample.attention.shape)
    first = [k for k, flag in enumerate(sample.positional) if flag]
    second = [k for k, flag in enumerate(sample.positional) if not flag]
    nothing: list[list[Label]] = [[] for _ in sample.attention]
    simple = labeller.run(first, uniform, threshold, rate) if first else nothing
    if not second:
        return tuple(tuple(one) for one in simple)
    profile, classes = Profile.of(sample, row_half, 2), cell_classes(sample)
    rows = np.zeros(sample.attention.shape)
    for side in (0, 1):
        held = (row_half == side)[sample.row]
        for h, table in enumerate(profile.table(without=side)):
            rows[h, held] = profile_rows(table, classes, sample)[held]
    further = labeller.run(second, rows, threshold, rate)
    return tuple((*one, *two) for one, two in zip(simple, further, strict=True))


def agreement(
    one: Sequence[Sequence[Label]], two: Sequence[Sequence[Label]]
) -> tuple[float, float]:
    """How far the labels of two disjoint halves of a corpus agree: mean Jaccard index over heads.

    Returns:
        Over all heads, where two without labels agree; and over the heads that either half
        labels, NaN if there is none.
    """
    scores = []
    for a, b in zip(one, two, strict=True):
        first, second = {label.pattern for label in a}, {label.pattern for label in b}
        union = first | second
        scores.append(len(first & second) / len(union) if union else np.nan)
    known = [score for score in scores if not np.isnan(score)]
    every = float(np.mean(np.where(np.isnan(scores), 1.0, scores)))
    return every, float(np.mean(known)) if known else float("nan")
