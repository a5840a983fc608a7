"""The atlas: a formula for every head of a model, with its gain over the head's profile.

`fit_heads` is a pure function from passages with attention to an `Atlas`. Every score that it
reports was measured on texts that had no part in choosing terms or weights: with `folds`, each
fold is scored by the formulas chosen and fitted on the others (and by the profile estimated
there); with `test`, texts of their own are scored. The formula that is shown is chosen on all texts
to fit; what dropping its terms costs is measured by fold with weights fitted on the others.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
import torch
from jaxtyping import Float, Int

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.visibility import Visibility
from headscribe.fitting.features import Collector, Sample
from headscribe.fitting.folds import deal, regrouped
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.growth import Compound
from headscribe.fitting.heads import ALL_METRICS, Atlas, Estimate, HeadFormula, series
from headscribe.fitting.labels import THRESHOLD, label_heads
from headscribe.fitting.pool import grown_attributes, rare_relations, relation_pool
from headscribe.fitting.scores import best_pattern, pattern_iou, profile_of
from headscribe.fitting.selection import Budget
from headscribe.fitting.solver import Rows
from headscribe.fitting.stages import (
    Fitted,
    choose_all,
    drop_changes,
    features_of,
    for_all_heads,
    packed,
    score_all,
    unpacked,
)
from headscribe.fitting.statistics import number_groups, sandwich, weight_intervals
from headscribe.patterns.contract import Pattern
from headscribe.results.run import NOT_KEPT, Stages
from headscribe.text.grouping import FOLDS
from headscribe.text.passages import Passage

Item = tuple[Passage, Float[np.ndarray, "_ _ _"], Visibility]
"""A passage, the attention of every head on it `(H, T, T)`, and what the layers see."""


def collect(
    items: Iterable[Item],
    *,
    look_ahead: bool = True,
    rows_per_text: int = 64,
    seed: int = 0,
    pool: Sequence[str] | None = None,
    attributes: Sequence[str] | None = None,
    patterns: Sequence[Pattern] = (),
    rare: Sequence[str] | None = None,
) -> Sample:
    """Evaluate the pool of relations on sampled rows of all passages.

    Args:
        items: passages with attention; read once, one at a time.
        look_ahead: whether relations may read tokens after the query in a causal layer.
        pool: the relations; generated from the grammar by default.
        attributes: token attributes whose literal sets may be grown; by what the texts provide.
        patterns: patterns whose predictions to keep, for labels and mixtures; those that need
            word fields that the texts do not have are left out.
        rare: relations that few heads need; by default those of the grammar with its pool.
    """
    stream = iter(items)
    first = next(stream, None)
    if first is None:
        raise UsageError("expected at least one text to fit to, got none")
    provides, visibility = first[0].words.provides, first[2]
    if rare is None:
        own = pool is None
        rare = rare_relations(provides, visibility, look_ahead=look_ahead) if own else ()
    if pool is None:
        pool = relation_pool(provides, visibility, look_ahead=look_ahead)
    if attributes is None:
        attributes = grown_attributes(provides, visibility, look_ahead=look_ahead)
    able = [
        pattern
        for pattern in patterns
        if pattern.needs <= provides and not (visibility.causal and pattern.needs_later_keys)
    ]
    collector = Collector(pool, attributes, rows_per_text, seed, able, rare)
    for passage, attention, seen in chain([first], stream):
        collector.add(passage, attention, seen)
    return collector.finish()


def fit_heads(
    sample: Sample,
    heads: Sequence[HeadId],
    budget: Budget = Budget(),  # noqa: B008  (frozen)
    *,
    folds: int = FOLDS,
    test: Sample | None = None,
    seed: int = 0,
    threshold: float = THRESHOLD,
    device: torch.device | None = None,
    on_progress: OnProgress = silent,
    run: Stages = NOT_KEPT,
    prefix: str = "",
) -> Atlas:
    """Fit a formula to every head; see `fit_source` for what is common to both.

    Args:
        sample: what `collect` made of the texts to fit; `test`: of texts to score, of one pool.
        heads: the name of each head, in the order of the attention.
        folds: number of folds, where there is no `test`; fewer texts make as many folds.
        prefix: of the names of the stages that are kept in `run`.

    Raises:
        UsageError: the names do not match the attention, or there is one text and no `test`.
    """
    if len(heads) != len(sample.attention):
        raise UsageError(f"expected {len(sample.attention)} head names, got {len(heads)}")
    device = device or torch.device("cpu")
    documents, sample = len(set(sample.groups)), regrouped(sample)
    folds = min(folds, len(set(sample.groups)))
    if folds < 2 and test is None:
        raise UsageError(
            "expected at least 2 texts, so that formulas are scored on texts that they were not "
            "fitted on, got 1: cut it into several, or give texts to score (--test)"
        )
    text_fold = deal(sample.groups, folds, seed) if folds > 1 else np.zeros(len(sample.groups), int)
    fold = text_fold[sample.row_text]
    stages = (0 if test is not None else folds) + 2

    def kept(name: str, chosen_on: Sample) -> list[Fitted]:
        return run.stage(
            prefix + name,
            lambda _: list(choose_all(chosen_on, budget, seed, device)),
            pack=packed,
            unpack=unpacked,
        )

    final = kept("formulas", sample)
    on_progress("formulas", 1, stages)
    profile = profile_of(sample, fold, folds)
    by_fold: list[tuple[Fitted, ...]] = []
    if test is None:
        scored = np.full((len(heads), 2, 2, 2, len(sample.groups)), np.nan)
        for f in range(folds):
            chosen = kept(f"fold{f}-of-{folds}", sample.only(fold != f))
            part = score_all(chosen, profile.table(without=f), sample.only(fold == f), device)
            scored[..., text_fold == f] = part[..., text_fold == f]
            by_fold.append(tuple(chosen))
            on_progress("folds", f + 2, stages)
        group = number_groups(sample.groups)
    else:
        test = regrouped(test)
        scored = score_all(final, profile.table(), test, device)
        group = number_groups(test.groups)
    formulas = _formulas(final, sample, fold, folds, heads, budget, device)
    on_progress("terms", stages, stages)
    atlas = _atlas(
        heads, formulas, scored, group, budget, 0 if test is not None else folds, by_fold
    )
    atlas = replace(
        atlas,
        fitted=tuple(final),
        profile=profile.table(),
        notes=_notes(documents, len(set(group.tolist())), folds if test is None else 0),
    )
    return _with_patterns(atlas, sample, text_fold, seed, threshold) if sample.patterns else atlas


def _notes(documents: int, groups: int, folds: int) -> tuple[str, ...]:
    """What a reader of the scores should know of how the texts were dealt."""
    if not folds:
        return ()
    found = []
    if groups > documents:
        some = "document" if documents == 1 else "documents"
        found.append(
            f"the texts are {documents} {some}, too few for folds: folds and intervals take "
            f"{groups} blocks of neighbouring texts, which are more alike than documents are"
        )
    if folds < FOLDS:
        found.append(f"{folds} folds, since there are no more texts: give more for firmer scores")
    return tuple(found)


def score_heads(
    sample: Sample,
    heads: Sequence[HeadId],
    formulas: Sequence[Formula],
    profile: Float[np.ndarray, "H C"] | None = None,
    *,
    seed: int = 0,
    threshold: float = THRESHOLD,
    device: torch.device | None = None,
) -> Atlas:
    """Score formulas that were fitted elsewhere, such as those of another corpus or recording.

    Args:
        sample: what `collect` made of the texts to score, its pool the relations of all formulas.
        heads: the name of each head, in the order of the attention.
        profile: what they have to gain over, from the texts that they were fitted to; by default
            the profile is estimated on other texts of the sample.
    """
    device = device or torch.device("cpu")
    sample = regrouped(sample)
    fitted = tuple(
        Fitted(
            tuple(Compound(term.relation) for term in formula.terms),
            np.array([term.weight for term in formula.terms], np.float64),
        )
        for formula in formulas
    )
    folds = min(FOLDS, len(set(sample.groups)))
    fold = deal(sample.groups, folds, seed) if folds > 1 else np.zeros(len(sample.groups), int)
    if profile is not None:
        scored = score_all(fitted, profile, sample, device)
    else:
        if folds < 2:
            raise UsageError(
                "expected at least 2 texts, to estimate on one the profile that formulas have to "
                "beat on the other, got 1"
            )
        sums = profile_of(sample, fold[sample.row_text], folds)
        scored = np.full((len(heads), 2, 2, 2, len(sample.groups)), np.nan)
        for f in range(folds):
            rows = fold[sample.row_text] == f
            part = score_all(fitted, sums.table(without=f), sample.only(rows), device)
            scored[..., fold == f] = part[..., fold == f]
    group = number_groups(sample.groups)
    terms = max(len(formula.terms) for formula in formulas)
    shown = [
        replace(formula, name=head.prose) for formula, head in zip(formulas, heads, strict=True)
    ]
    atlas = _atlas(heads, shown, scored, group, Budget(terms=terms), 0, [])
    atlas = replace(atlas, fitted=fitted, profile=profile)
    return _with_patterns(atlas, sample, fold, seed, threshold) if sample.patterns else atlas


def _with_patterns(
    atlas: Atlas,
    sample: Sample,
    text_fold: Int[np.ndarray, " texts"],
    seed: int,
    threshold: float,
) -> Atlas:
    """Add labels and the best patterns of the catalogue, measured on the texts to fit."""
    labels = label_heads(sample, seed, threshold=threshold)
    names, iou = best_pattern(pattern_iou(sample), sample.patterns, text_fold)
    group = number_groups(sample.groups)
    head_formulas = [
        replace(head, labels=labels[h], pattern=(names[h], Estimate.of(iou[h], group)))
        for h, head in enumerate(atlas.heads)
    ]
    return replace(atlas, heads=tuple(head_formulas))


def _atlas(
    heads: Sequence[HeadId],
    formulas: Sequence[Formula],
    scored: Float[np.ndarray, "H 2 2 2 texts"],
    group: Int[np.ndarray, " texts"],
    budget: Budget,
    folds: int,
    by_fold: list[tuple[Fitted, ...]],
) -> Atlas:
    head_formulas = []
    for h, head in enumerate(heads):
        scores = {
            (what, view, metric): Estimate.of(
                series(scored[h : h + 1], what, view, metric)[0], group
            )
            for what in ("formula", "profile", "gain")
            for view in ("raw", "content")
            for metric in ALL_METRICS
        }
        head_formulas.append(HeadFormula(head, formulas[h], scores, folds=folds))
    return Atlas(tuple(head_formulas), budget.terms, folds, scored, group, tuple(by_fold))


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

    def intervals_of(h: int) -> Float[np.ndarray, "k 2"]:
        fitted = final[h]
        if fitted.whole:
            return np.full((len(fitted.terms), 2), np.nan)
        covariance = sandwich(
            rows,
            features_of(fitted.terms, sample, device),
            torch.from_numpy(fitted.weights).to(device),
            torch.from_numpy(sample.attention[h]).to(device),
            group,
            "overlap",
            budget.ridge,
        )
        return weight_intervals(fitted.weights, covariance, int(group.max()) + 1)

    def work(h: int) -> Formula:
        fitted, intervals = final[h], intervals_of(h)
        drop = np.concatenate(changes[h]).mean(axis=0) if changes[h] else None
        terms = [
            Term(
                term.source,
                float(fitted.weights[k]),
                None if np.isnan(intervals[k, 0]) else float(intervals[k, 0]),
                None if np.isnan(intervals[k, 1]) else float(intervals[k, 1]),
                None if drop is None else float(drop[k]),
            )
            for k, term in enumerate(fitted.terms)
        ]
        order = np.argsort(drop, kind="stable") if drop is not None else range(len(terms))
        if fitted.whole:  # what takes all of a row stands before what takes the rest
            order = np.argsort(-fitted.weights, kind="stable")
        return Formula(heads[h].prose, tuple(terms[k] for k in order))

    return for_all_heads(work, len(final))
