"""Whether known formulas come back, intervals cover, and nothing is found where nothing is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from fitting_page import keep
from jaxtyping import Float

from headscribe.fitting.atlas import collect
from headscribe.fitting.features import Sample
from headscribe.fitting.growth import Compound
from headscribe.fitting.labels import label_heads
from headscribe.fitting.selection import Budget
from headscribe.fitting.solver import Rows, fit_weights
from headscribe.fitting.sources import attention_items
from headscribe.fitting.stages import choose_all, features_of
from headscribe.fitting.statistics import number_groups, sandwich, weight_intervals
from headscribe.models.recorded import Recording
from headscribe.patterns.registry import registry
from headscribe.text.splits import bucket_of, fold_of

CPU = torch.device("cpu")
MASS = 60.0
"""Concentration of the Dirichlet rows: how little they stray from the formula."""

CHOSEN_FOR = 5
"""Repetitions for which terms are chosen once."""

TRUTHS = (
    {"key.is_special": 1.5, "distance == -1": 2.0, "key.word == query.head": 2.5},
    {"distance == 0": 2.0, "key.is_eos": 2.0, "key.head == query.head": 1.5},
    {"log1p(abs(distance))": -1.0, "key.is_bos": 1.5, "distance == 1": 2.0},
    {"key.lower == query.lower and distance != 0": 2.5, "distance == -2": 2.0, "key.is_bos": 1.0},
    {"key.is_punct": 1.5, "key.head == query.word": 2.0, "distance > 0": -1.0},
)


def null(folder: Path) -> None:
    """Count the heads that get a label though the keys of every row are permuted."""
    recording = Recording(folder)
    every = tuple(registry().select(["all"]))
    found = []
    for permuted in (True, False):
        rng = np.random.default_rng(0)
        items = (
            (passage, rng.permuted(attention, axis=2) if permuted else attention, seen)
            for passage, attention, seen in attention_items(recording, recording.passages)
        )
        sample = collect(items, pool=("key.is_special",), patterns=every)
        found.append(sum(bool(labels) for labels in label_heads(sample)))
    keep(
        {"set": "statistics", "program": "null", "heads": len(sample.attention),
         "patterns": len(sample.patterns), "labelled": found[0], "as_recorded": found[1]}
    )  # fmt: skip


def redrawn(sample: Sample, truth: dict[str, float], rng: np.random.Generator) -> Sample:
    """The sample with one head, whose rows are Dirichlet with a formula as their mean."""
    terms = tuple(Compound(gate) for gate in truth)
    rows = Rows.of(sample.lengths, CPU)
    logits = features_of(terms, sample, CPU).double() @ torch.tensor(list(truth.values())).double()
    gamma = rng.gamma(MASS * rows.softmax(logits).numpy()) + 1e-12
    total = np.bincount(sample.row, gamma)
    return replace(sample, attention=(gamma / total[sample.row])[None].astype(np.float32))


def covered(
    sample: Sample, terms: tuple[Compound, ...], truth: dict[str, float]
) -> Float[np.ndarray, " k"]:
    """For each true term 1 if its interval covers the true weight, 0 if not, NaN if not chosen."""
    rows, features = Rows.of(sample.lengths, CPU), features_of(terms, sample, CPU).double()
    real = torch.from_numpy(sample.attention[0]).double()
    fit = fit_weights(rows, features, real, "cross_entropy", ridge=0.0, tolerance=1e-12)
    groups = number_groups(sample.groups)[sample.row_text]
    covariance = sandwich(rows, features, fit.weights, real, groups, "cross_entropy")
    ends = weight_intervals(fit.weights.numpy(), covariance, len(np.unique(groups)))
    place = {term.source: k for k, term in enumerate(terms)}
    return np.array(
        [
            float(ends[place[gate], 0] <= weight <= ends[place[gate], 1])
            if gate in place
            else np.nan
            for gate, weight in truth.items()
        ]
    )


def recovery(folder: Path, repetitions: int) -> None:
    """Choose terms on one half of the texts, fit their weights on the other, count.

    The terms are chosen anew in every `CHOSEN_FOR`-th repetition of a formula.
    """
    recording = Recording(folder)
    sample = collect(
        (passage, attention[:1], seen)
        for passage, attention, seen in attention_items(recording, recording.passages)
    )
    half = np.array([fold_of(bucket_of(group, 0), 2) for group in sample.groups])
    sides = [sample.only((half == side)[sample.row_text]) for side in (0, 1)]
    found = expected = hits = exact = choices = 0
    chosen: dict[int, tuple[Compound, ...]] = {}
    inside: list[list[Float[np.ndarray, " k"]]] = [[] for _ in TRUTHS]
    for repetition in range(repetitions):
        number, turn = repetition % len(TRUTHS), repetition // len(TRUTHS)
        truth, rng = TRUTHS[number], np.random.default_rng(repetition)
        if turn % CHOSEN_FOR == 0:
            (fitted,) = choose_all(redrawn(sides[0], truth, rng), Budget(), 0, CPU)
            chosen[number] = fitted.terms
            sources = {term.source for term in fitted.terms}
            found, expected = found + len(sources), expected + len(truth)
            hits, exact = hits + len(sources & set(truth)), exact + (sources == set(truth))
            choices += 1
        inside[number].append(covered(redrawn(sides[1], truth, rng), chosen[number], truth))
    by_term = np.concatenate([np.nanmean(one, axis=0) for one in inside if one])
    every = np.concatenate([np.ravel(one) for one in inside if one])
    keep(
        {"set": "statistics", "program": "recovery", "repetitions": repetitions,
         "choices": choices, "formulas": len(TRUTHS), "precision": hits / found,
         "recall": hits / expected, "exact": exact, "coverage": float(np.nanmean(every)),
         "weights": int((~np.isnan(every)).sum()), "least": float(by_term.min()),
         "most": float(by_term.max())}
    )  # fmt: skip
