"""The stages of a fit: choose every head's terms on some rows, fit the weights, score on others."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscribe.core.errors import RunError
from headscribe.core.metrics import VIEWS
from headscribe.core.processes import cores
from headscribe.fitting.features import Sample
from headscribe.fitting.formula import ALL, FIRST, REST, Term
from headscribe.fitting.growth import Compound, step_tables
from headscribe.fitting.pool import CROSSED, WIDE_GATES
from headscribe.fitting.pruning import Pruner, ink
from headscribe.fitting.scores import Scorer, cell_classes, profile_rows
from headscribe.fitting.selection import (
    Breadth,
    Budget,
    Design,
    choose_candidates,
    choose_terms,
)
from headscribe.fitting.solver import Rows, fit_weights, removals
from headscribe.fitting.whole import SURE, Search

Result = TypeVar("Result")

SELECTION_ROWS = 1200
"""Rows that terms are chosen on; their weights are then fitted on all rows of the sample."""

FINAL_STEPS = 12

Scores = Float[np.ndarray, "2 2 texts"]
"""Scores by text: view (`raw`, `content`), metric (IoU, Jensen-Shannon distance), text."""


@dataclass(frozen=True)
class Fitted:
    """The formula of one head as the stages hand it on.

    Attributes:
        weights: one a term, float64.
    """

    terms: tuple[Compound, ...]
    weights: Float[np.ndarray, " k"]

    @property
    def whole(self) -> bool:
        """Whether no weight is left to fit: all stand for infinity, or there is none."""
        return bool(np.isin(self.weights, (FIRST, ALL, REST)).all())


@contextmanager
def one_torch_thread() -> Iterator[None]:
    """Heads run side by side, so that each may use one thread only; sums keep their order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def for_all_heads(
    work: Callable[[int], Result], heads: int, on_done: Callable[[int, int], None] | None = None
) -> list[Result]:
    """Do the work of every head, several at a time, results in the order of the heads.

    `on_done` is called with the heads that are done, and all heads.
    """
    workers = min(cores(), heads)
    found = []
    with one_torch_thread(), ThreadPoolExecutor(max(workers, 1)) as executor:
        for result in executor.map(work, range(heads)):
            found.append(result)
            if on_done is not None:
                on_done(len(found), heads)
    return found


def selection_rows(
    sample: Sample,
    seed: int,
    limit: int = SELECTION_ROWS,
    among: Bool[np.ndarray, " R"] | None = None,
) -> Sample:
    """At most `limit` rows of a sample, chosen at random, among all rows or some."""
    rows = np.arange(len(sample.lengths)) if among is None else np.flatnonzero(among)
    if len(rows) > limit:
        rows = rows[np.random.default_rng(seed).choice(len(rows), limit, replace=False)]
    if len(rows) == len(sample.lengths):
        return sample
    keep = np.zeros(len(sample.lengths), bool)
    keep[rows] = True
    return sample.only(keep)


def split_rows(sample: Sample, seed: int) -> tuple[Sample, Sample]:
    """Rows to choose terms on, and as many others to prove them on; all rows for both if few."""
    count = len(sample.lengths)
    if count <= SELECTION_ROWS:
        return sample, sample
    order = np.random.default_rng(seed).permutation(count)
    chosen, proving = np.zeros(count, bool), np.zeros(count, bool)
    chosen[order[:SELECTION_ROWS]] = True
    proving[order[-SELECTION_ROWS:]] = True
    return sample.only(chosen), sample.only(proving)


def features_of(
    terms: Sequence[Compound], sample: Sample, device: torch.device
) -> Float[Tensor, "N k"]:
    """The values of some terms over the cells of a sample."""
    cells = len(sample.key_token)
    columns = [term.column(sample) for term in terms]
    stacked = np.stack(columns, axis=1) if columns else np.zeros((cells, 0), np.float32)
    return torch.from_numpy(stacked).to(device)


def choose_all(sample: Sample, budget: Budget, seed: int, device: torch.device) -> list[Fitted]:
    """Choose the terms of every head and fit their weights on a sample.

    Terms are chosen on some rows, have to prove their worth on others, and are weighed on all;
    infinite weights are taken where they do as well for their ink (`fitting/whole.py`).
    """
    part, other = split_rows(sample, seed)
    design = Design(part, device, grown=budget.grown > 0)
    rows = Rows.of(sample.lengths, device)
    pruner = Pruner(other, Rows.of(other.lengths, device), budget.price, budget.ridge)
    search = Search(other, budget.price, budget.terms, grown=budget.grown > 0)
    flat = [search.flat(real) for real in other.attention]
    if any(flat):
        search.conditions  # noqa: B018  (once, before the heads are worked on side by side)

    def work(head: int) -> Fitted:
        whole = search.best(other.attention[head]) if flat[head] else None
        if whole is not None and whole.loss <= SURE:
            return Fitted(whole.terms, np.array(whole.weights))
        real = torch.from_numpy(part.attention[head]).to(device)
        chosen, first = choose_terms(design, real, budget)
        proving = torch.from_numpy(other.attention[head]).to(device)
        terms, fit = pruner.prune(chosen, first.weights, proving, budget.terms)
        if whole is not None:
            lost = search.loss(fit.predicted.cpu().numpy(), other.attention[head]) - whole.loss
            if lost >= budget.price * (sum(map(ink, whole.terms)) - sum(map(ink, terms))):
                return Fitted(whole.terms, np.array(whole.weights))
        if other is not sample:
            fit = fit_weights(
                rows,
                features_of(terms, sample, device),
                torch.from_numpy(sample.attention[head]).to(device),
                "overlap",
                start=fit.weights,
                ridge=budget.ridge,
                steps=FINAL_STEPS,
            )
        return Fitted(terms, fit.weights.cpu().numpy())

    return for_all_heads(work, len(sample.attention))


def candidates(
    sample: Sample,
    breadth: Breadth = Breadth(),  # noqa: B008  (frozen)
    on_done: Callable[[int, int], None] | None = None,
) -> list[tuple[Term, ...]]:
    """Candidate terms of every head with the weights of their joint fit, best first.

    Args:
        sample: rows of the `fit` texts, with the wide pool and its attributes.
        breadth: how many, and how they are found.
        on_done: called with the heads that are done, and all heads.
    """
    design = Design(sample, torch.device("cpu"), grown=False)
    tables = step_tables(sample, WIDE_GATES, CROSSED)

    def work(head: int) -> tuple[Term, ...]:
        real = torch.from_numpy(sample.attention[head])
        return choose_candidates(design, tables, real, breadth)

    return for_all_heads(work, len(sample.attention), on_done)


def predicted_rows(
    fitted: Fitted, sample: Sample, rows: Rows, device: torch.device
) -> Float[np.ndarray, " N"]:
    """The rows that a formula predicts for a sample."""
    weights = torch.from_numpy(fitted.weights).to(device)
    features = features_of(fitted.terms, sample, device)
    return rows.softmax(features @ weights.to(features.dtype)).cpu().numpy()


def score_all(
    fitted: Sequence[Fitted],
    profile: Float[np.ndarray, "H C"],
    sample: Sample,
    device: torch.device,
) -> Float[np.ndarray, "H 2 2 2 texts"]:
    """Scores of every head's formula (first) and profile (second) on a sample."""
    scorer, rows, classes = Scorer(sample), Rows.of(sample.lengths, device), cell_classes(sample)

    def work(head: int) -> Float[np.ndarray, "2 2 2 texts"]:
        real = sample.attention[head]
        both = (
            predicted_rows(fitted[head], sample, rows, device),
            profile_rows(profile[head], classes, sample),
        )
        return np.array([[scorer.score(rows_, real, view) for view in VIEWS] for rows_ in both])

    return np.array(for_all_heads(work, len(sample.attention)))


def drop_changes(
    fitted: Sequence[Fitted], train: Sample, test: Sample, budget: Budget, device: torch.device
) -> list[Float[np.ndarray, "texts k"]]:
    """What dropping each term does to every text's IoU, for every head.

    Weights are fitted on rows of `train`; when a term goes, the others move to where a
    second-order step puts them, `w - w_k [H^-1]_k / [H^-1]_kk`.
    """
    train = selection_rows(train, 0)
    train_rows, rows = Rows.of(train.lengths, device), Rows.of(test.lengths, device)
    scorer = Scorer(test)

    def work(head: int) -> Float[np.ndarray, "texts k"]:
        one = fitted[head]
        weights = torch.from_numpy(one.weights).to(device)
        if one.whole:
            without = weights[:, None].repeat(1, len(weights)).fill_diagonal_(0)
        else:
            features = features_of(one.terms, train, device)
            real = torch.from_numpy(train.attention[head]).to(device)
            fit = fit_weights(
                train_rows, features, real, "overlap", start=weights, ridge=budget.ridge, steps=4
            )
            weights = fit.weights
            without = removals(train_rows, features, fit, real, "overlap", budget.ridge).weights
        every = torch.cat([weights[:, None], without], 1)
        unseen = features_of(one.terms, test, device)
        predicted = rows.softmax(unseen @ every.to(unseen.dtype)).cpu().numpy()
        iou = scorer.iou(predicted, test.attention[head])
        return iou[:, 1:] - iou[:, :1]

    return for_all_heads(work, len(train.attention))


def packed(formulas: Sequence[Fitted]) -> list[Any]:
    """Formulas for `Run.stage`; weights in full, so that an interrupted fit ends the same."""
    return [
        {
            "terms": [{"gate": term.gate, "sets": term.sets} for term in fitted.terms],
            "weights": fitted.weights.tolist(),
        }
        for fitted in formulas
    ]


def unpacked(kept: Any) -> list[Fitted]:  # noqa: ANN401
    """The formulas again.

    Raises:
        RunError: they are damaged.
    """
    try:
        return [_read(one) for one in kept]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"expected the formulas of a finished stage, got {error}") from error


def _read(stored: dict[str, Any]) -> Fitted:
    terms = tuple(
        Compound(
            str(term["gate"]),
            tuple((str(name), tuple(values)) for name, values in term["sets"]),
        )
        for term in stored["terms"]
    )
    return Fitted(terms, np.array(stored["weights"], np.float64))
