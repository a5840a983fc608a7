"""The atlas: a formula for every head of a model, with its gain over the head's profile.

`fit_heads` is a pure function from passages with attention to an `Atlas`. Every score that it
reports was measured on texts that had no part in choosing terms or weights: with `folds`, each
fold is scored by the formulas chosen and fitted on the others (and by the profile estimated
there); with `test`, texts of their own are scored. The formula that is shown is chosen on all texts
to fit; what dropping its terms costs is measured by fold with weights fitted on the others.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float, Int

from headscribe.core.arrays import HeadsAttention
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import Visibility
from headscribe.fitting.catalogue import best_pattern
from headscribe.fitting.features import Collector, Sample
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.labels import Label, label_heads
from headscribe.fitting.pool import grown_attributes, relation_pool
from headscribe.fitting.selection import Budget
from headscribe.fitting.solver import Rows
from headscribe.fitting.stages import (
    Fitted,
    choose_all,
    cross_profile,
    drop_changes,
    features_of,
    for_all_heads,
    score_all,
)
from headscribe.fitting.statistics import mean_interval, number_groups, sandwich, weight_intervals
from headscribe.patterns.contract import Pattern
from headscribe.text.passages import Passage
from headscribe.text.splits import bucket_of, fold_of

Item = tuple[Passage, HeadsAttention, Visibility]
"""A passage, the attention of every head on it `(H, T, T)`, and what the layers see."""

Progress = Callable[[str, int, int], None]
"""Told the stage, and how many of how many stages are done."""

METRICS = ("iou", "jsd")


@dataclass(frozen=True)
class Estimate:
    """A mean over texts with its 95 % interval, clustered by group."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(
        cls, values: Float[np.ndarray, " texts"], group: Int[np.ndarray, " texts"]
    ) -> "Estimate":
        """Estimate the mean; NaN values do not count."""
        mean, low, high = mean_interval(values, group)
        return cls(float(mean), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class HeadFormula:
    """What is known of one head.

    Attributes:
        head: the head.
        formula: its formula, named after the head.
        scores: estimates by (`formula` or `profile` or `gain`, view, metric); a gain is positive
            where the formula is better than the profile.
        labels: the patterns that it follows; empty for `unexplained`.
        pattern: the best pattern of the catalogue and its IoU; None where none was asked for.
    """

    head: HeadId
    formula: Formula
    scores: dict[tuple[str, str, str], Estimate]
    labels: tuple[Label, ...] = ()
    pattern: tuple[str, Estimate] | None = None

    def __str__(self) -> str:
        own, profile = self.scores["formula", "raw", "iou"], self.scores["profile", "raw", "iou"]
        gain = self.scores["gain", "raw", "iou"]
        lines = str(self.formula).splitlines()
        lines[0] = (
            f"{self.head.prose}   IoU {own} on unseen texts   profile {profile.mean:.2f}, "
            f"gain {gain.mean:+.2f} ({gain.low:+.2f} to {gain.high:+.2f})"
        )
        return "\n".join(lines)


@dataclass(frozen=True)
class Atlas:
    """A formula for every head.

    Attributes:
        heads: the heads, in the order of the attention.
        terms: terms a formula may have.
        folds: number of folds; 0 where texts of their own were scored.
        by_text: scores by text, `(H, formula/profile, view, metric, texts)`.
        group: the number of each text's group.
        by_fold: the formulas that were scored, by fold.
    """

    heads: tuple[HeadFormula, ...]
    terms: int
    folds: int
    by_text: Float[np.ndarray, "H 2 2 2 texts"]
    group: Int[np.ndarray, " texts"]
    by_fold: tuple[tuple[Fitted, ...], ...] = field(repr=False, default=())

    def mean(self, what: str, view: str = "raw", metric: str = "iou") -> Estimate:
        """The mean over heads, with an interval over texts."""
        return Estimate.of(_series(self.by_text, what, view, metric).mean(axis=0), self.group)

    def __getitem__(self, head: HeadId | str) -> HeadFormula:
        wanted = HeadId.parse(head) if isinstance(head, str) else head
        for one in self.heads:
            if one.head == wanted:
                return one
        raise UsageError(f"head {wanted} is not in the atlas of {len(self.heads)} heads")

    def to_json(self) -> dict[str, object]:
        """The stable document of `fit --json`."""
        gains = [one.scores["gain", "raw", "iou"].mean for one in self.heads]
        return {
            "terms": self.terms,
            "heads": len(self.heads),
            "folds": self.folds,
            "test": {metric: _summary(self, "formula", metric) for metric in METRICS}
            | {
                "gain": _summary(self, "gain", "iou") | {"above_0.05": sum(g > 0.05 for g in gains)}
            },
            "by_head": [
                {
                    "head": str(one.head),
                    "formula": one.formula.to_json(),
                    "iou": one.scores["formula", "raw", "iou"].mean,
                    "jsd": one.scores["formula", "raw", "jsd"].mean,
                    "gain": one.scores["gain", "raw", "iou"].mean,
                    "labels": [label.pattern for label in one.labels],
                }
                for one in self.heads
            ],
        }


def _series(
    by_text: Float[np.ndarray, "H 2 2 2 texts"], what: str, view: str, metric: str
) -> Float[np.ndarray, "H texts"]:
    v, m = ("raw", "content").index(view), METRICS.index(metric)
    if what == "gain":
        sign = 1 if metric == "iou" else -1
        difference: Float[np.ndarray, "H texts"] = by_text[:, 0, v, m] - by_text[:, 1, v, m]
        return sign * difference
    return by_text[:, ("formula", "profile").index(what), v, m]


def _summary(atlas: Atlas, what: str, metric: str) -> dict[str, float]:
    estimate = atlas.mean(what, "raw", metric)
    each = [one.scores[what, "raw", metric].mean for one in atlas.heads]
    return {
        "mean": estimate.mean,
        "median": float(np.median(each)),
        "low": estimate.low,
        "high": estimate.high,
    }


def collect(
    items: Iterable[Item],
    *,
    look_ahead: bool = True,
    rows_per_text: int = 64,
    seed: int = 0,
    pool: Sequence[str] | None = None,
    patterns: Sequence[Pattern] = (),
) -> Sample:
    """Evaluate the pool of relations on sampled rows of all passages.

    Args:
        items: passages with attention; read once, one at a time.
        look_ahead: whether relations may read tokens after the query in a causal layer.
        rows_per_text: at most so many rows of every text.
        seed: chooses the rows.
        pool: the relations; generated from the grammar by default.
        patterns: patterns whose predictions to keep, for labels and mixtures; those that need
            word fields that the texts do not have are left out.
    """
    stream = iter(items)
    first = next(stream, None)
    if first is None:
        raise UsageError("expected at least one text to fit to, got none")
    provides, visibility = first[0].words.provides, first[2]
    if pool is None:
        pool = relation_pool(provides, visibility, look_ahead=look_ahead)
    attributes = grown_attributes(provides, visibility, look_ahead=look_ahead)
    able = [
        pattern
        for pattern in patterns
        if pattern.needs <= provides and not (visibility.causal and pattern.needs_later_keys)
    ]
    collector = Collector(pool, attributes, rows_per_text, seed, able)
    for passage, attention, seen in chain([first], stream):
        collector.add(passage, attention, seen)
    return collector.finish()


def fit_heads(
    sample: Sample,
    heads: Sequence[HeadId],
    budget: Budget = Budget(),  # noqa: B008  (frozen)
    *,
    folds: int = 5,
    test: Sample | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    progress: Progress | None = None,
) -> Atlas:
    """Fit a formula to every head.

    Args:
        sample: what `collect` made of the texts to fit.
        heads: the name of each head, in the order of the attention.
        budget: how many terms, and how they are found.
        folds: number of folds, where there is no `test`.
        test: what `collect` made of texts to score, with the same pool.
        seed: deals groups to folds and chooses the rows that terms are chosen on.
        device: where to compute; the CPU by default.
        progress: told of every stage.

    Raises:
        UsageError: the names do not match the attention, or a fold holds no text.
    """
    if len(heads) != len(sample.attention):
        raise UsageError(f"expected {len(sample.attention)} head names, got {len(heads)}")
    device = device or torch.device("cpu")
    buckets = [bucket_of(group, seed) for group in sample.groups]
    text_fold = np.array([fold_of(bucket, folds) for bucket in buckets])
    fold = text_fold[sample.row_text]
    if len(set(text_fold)) < folds and test is None:
        raise UsageError(f"expected texts in each of {folds} folds, got {len(sample.groups)} texts")
    told = progress or (lambda stage, done, of: None)
    stages = (0 if test is not None else folds) + 2
    final = choose_all(sample, budget, seed, device)
    told("formulas", 1, stages)
    profile = cross_profile(sample, fold, folds)
    by_fold: list[tuple[Fitted, ...]] = []
    if test is None:
        scored = np.full((len(heads), 2, 2, 2, len(sample.groups)), np.nan)
        for f in range(folds):
            chosen = choose_all(sample.only(fold != f), budget, seed, device)
            part = score_all(chosen, profile.table(without=f), sample.only(fold == f), device)
            scored[..., text_fold == f] = part[..., text_fold == f]
            by_fold.append(tuple(chosen))
            told("folds", f + 2, stages)
        group = number_groups(sample.groups)
    else:
        scored = score_all(final, profile.table(), test, device)
        group = number_groups(test.groups)
    formulas = _formulas(final, sample, fold, folds, heads, budget, device)
    told("terms", stages, stages)
    atlas = _atlas(
        heads, formulas, scored, group, budget, 0 if test is not None else folds, by_fold
    )
    return _with_patterns(atlas, sample, text_fold, seed) if sample.patterns else atlas


def _with_patterns(
    atlas: Atlas, sample: Sample, text_fold: Int[np.ndarray, " texts"], seed: int
) -> Atlas:
    """Add labels and the best patterns of the catalogue, measured on the texts to fit."""
    labels, best = label_heads(sample, seed), best_pattern(sample, text_fold)
    group = number_groups(sample.groups)
    found = [
        replace(one, labels=labels[h], pattern=(best.name[h], Estimate.of(best.iou[h], group)))
        for h, one in enumerate(atlas.heads)
    ]
    return replace(atlas, heads=tuple(found))


def _atlas(
    heads: Sequence[HeadId],
    formulas: Sequence[Formula],
    scored: Float[np.ndarray, "H 2 2 2 texts"],
    group: Int[np.ndarray, " texts"],
    budget: Budget,
    folds: int,
    by_fold: list[tuple[Fitted, ...]],
) -> Atlas:
    found = []
    for h, head in enumerate(heads):
        scores = {
            (what, view, metric): Estimate.of(
                _series(scored[h : h + 1], what, view, metric)[0], group
            )
            for what in ("formula", "profile", "gain")
            for view in ("raw", "content")
            for metric in METRICS
        }
        found.append(HeadFormula(head, formulas[h], scores))
    return Atlas(tuple(found), budget.terms, folds, scored, group, tuple(by_fold))


def _formulas(
    final: Sequence[Fitted],
    sample: Sample,
    fold: Int[np.ndarray, " R"],
    folds: int,
    heads: Sequence[HeadId],
    budget: Budget,
    device: torch.device,
) -> list[Formula]:
    """The formulas that are shown, most useful term first, with intervals and costs."""
    changes: list[list[Float[np.ndarray, "texts k"]]] = [[] for _ in final]
    for f in range(folds):
        held = fold == f
        if not held.any() or held.all():
            continue
        parts = drop_changes(final, sample.only(~held), sample.only(held), budget, device)
        for h, part in enumerate(parts):
            changes[h].append(part[np.unique(sample.row_text[held])])
    rows = Rows.of(sample.lengths, device)
    group = number_groups(sample.groups)[sample.row_text]

    def work(h: int) -> Formula:
        one = final[h]
        weights = torch.from_numpy(one.weights).to(device)
        covariance = sandwich(
            rows,
            features_of(one.terms, sample, device),
            weights,
            torch.from_numpy(sample.attention[h]).to(device),
            group,
            "overlap",
            budget.ridge,
        )
        intervals = weight_intervals(one.weights, covariance, int(group.max()) + 1)
        drop = np.concatenate(changes[h]).mean(axis=0) if changes[h] else None
        terms = [
            Term(
                term.source,
                float(one.weights[k]),
                None if np.isnan(intervals[k, 0]) else float(intervals[k, 0]),
                None if np.isnan(intervals[k, 1]) else float(intervals[k, 1]),
                None if drop is None else float(drop[k]),
            )
            for k, term in enumerate(one.terms)
        ]
        order = np.argsort(drop, kind="stable") if drop is not None else range(len(terms))
        return Formula(heads[h].prose, tuple(terms[k] for k in order))

    return for_all_heads(work, len(final))
