"""Choosing the few terms of a formula.

Terms are added one after the other: the score test of every relation in the pool, given the terms
already chosen (`g^2 / 2h`, with `h` what is left of the relation's curvature after projecting out
the chosen terms), plus terms grown from the residual; the weights are refitted after each. A few
terms more than wanted are taken in; `fitting/pruning.py` lets go of the dispensable ones.
"""

import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.fitting.features import Sample
from headscribe.fitting.grown import Compound, grow, tables
from headscribe.fitting.pool import MAX_ATOMS
from headscribe.fitting.solver import Fit, Rows, fit_weights, variances
from headscribe.fitting.sorting import Table
from headscribe.relations import parse

MAX_FORMULA_ATOMS = 36
"""Comparisons that a whole formula may make."""

GATES = (
    "key.is_bos",
    "key.is_eos",
    "key.index == 0",
    "distance == 0",
    "key.word == query.head",
    "key.head == query.word",
    "key.lower == query.lower and distance != 0",
    "key.prev.id == query.id",
    "key.prev.id == query.id and distance != 1",
)
"""Relations that terms are grown within, where the pool has them."""

_COLLINEAR = 1e-3
_TIE = 1e-3
_PER_ATOM, _PER_MEMBER = 0.04, 0.004  # what a longer term has to score more, as shares
_KEPT = 24  # grown terms that wait to be chosen


@dataclass(frozen=True)
class Budget:
    """How a formula is chosen.

    Attributes:
        terms: at most so many.
        extra: terms taken in beyond that, before the dispensable ones go.
        ridge: penalty on squared weights, in standard deviations of the features.
        price: overlap that a term has to gain for each unit of its ink (`fitting/pruning.py`).
        grown: terms grown at a time; 0 for terms of the pool alone.
        grow_at: numbers of chosen terms at which terms are grown.
    """

    terms: int = 12
    extra: int = 4
    ridge: float = 1e-4
    price: float = 4e-4
    grown: int = 8
    grow_at: tuple[int, ...] = (2, 5, 8, 11, 16, 20)


@dataclass(frozen=True)
class Chosen:
    """The terms that a head's formula may have, and their weights on the sample that chose them."""

    terms: tuple[Compound, ...]
    fit: Fit


def _csr(
    ptr: Int[np.ndarray, " n"],
    cell: Int[np.ndarray, " m"],
    value: Float[np.ndarray, " m"],
    cells: int,
    device: torch.device,
) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(ptr.astype(np.int32)),
            torch.from_numpy(cell.astype(np.int32)),
            torch.from_numpy(value),
            size=(len(ptr) - 1, cells),
            device=device,
            check_invariants=False,
        )


class Design:
    """The pool over one sample, arranged so that all its scores cost a few sparse products."""

    def __init__(self, sample: Sample, device: torch.device, *, grown: bool = True) -> None:
        self.sample = sample
        self.device = device
        self.rows = Rows.of(sample.lengths, device)
        features, cells = sample.features, len(sample.key_token)
        self.cells = cells
        self.matrix = _csr(features.ptr, features.cell, features.value, cells, device)
        self.squares = _csr(features.ptr, features.cell, features.value**2, cells, device)
        column = np.repeat(np.arange(len(sample.pool)), np.diff(features.ptr))
        row = sample.row[features.cell]
        new = np.ones(len(row), bool)
        new[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
        start = np.flatnonzero(new)
        self.by_row = _csr(np.append(start, len(row)), features.cell, features.value, cells, device)
        counts = np.bincount(column[start], minlength=len(sample.pool))
        self.row_counts = torch.from_numpy(counts).to(device)
        total = np.bincount(column, features.value, len(sample.pool)) / cells
        square = np.bincount(column, features.value**2, len(sample.pool)) / cells
        self.variance = torch.from_numpy(np.maximum(square - total**2, 0)).to(device)
        self.atoms = np.array([parse(source).atoms for source in sample.pool])
        self.worth = 1 - _PER_ATOM * (self.atoms - 1)
        self.tables: tuple[Table, ...] = tables(sample, GATES) if grown else ()

    def scores(
        self, predicted: Float[Tensor, " N"], real: Float[Tensor, " N"], chosen: "Projection"
    ) -> Float[Tensor, " K"]:
        """The score-test statistic of every relation of the pool, given the chosen terms."""
        count = len(self.rows.lengths)
        gradient = (self.matrix @ (predicted - real)).double() / count
        mean = self.by_row @ predicted
        spread = torch.segment_reduce(mean * mean, "sum", lengths=self.row_counts, unsafe=True)
        own = ((self.squares @ predicted) - spread).double() / count
        cross = (self.matrix @ chosen.jacobian).double() / count
        return chosen.statistic(gradient, own, cross, self.variance)


@dataclass(frozen=True)
class Projection:
    """What the chosen terms already explain, at the current weights."""

    jacobian: Float[Tensor, "N k"]
    curvature: Float[Tensor, "k k"]
    ridge: float

    @classmethod
    def of(cls, rows: Rows, features: Tensor, predicted: Tensor, ridge: float) -> "Projection":
        """Of the features of the chosen terms, with the rows that they predict."""
        centred = rows.centred(features, predicted)
        jacobian = predicted[:, None] * centred
        variance = variances(features)
        curvature = (jacobian.T @ centred).double() / len(rows.lengths)
        return cls(jacobian, curvature + 2 * ridge * torch.diag(variance), ridge)

    def scores(
        self, rows: Rows, columns: Float[Tensor, "N n"], predicted: Tensor, real: Tensor
    ) -> Float[Tensor, " n"]:
        """The score-test statistic of dense columns, given the chosen terms."""
        count, squares = len(rows.lengths), columns * columns
        gradient = (columns.T @ (predicted - real)).double() / count
        mean = rows.sums(predicted[:, None] * columns)
        own = (squares.T @ predicted - (mean * mean).sum(0)).double() / count
        cross = (columns.T @ self.jacobian).double() / count
        return self.statistic(gradient, own, cross, variances(columns))

    def statistic(
        self, gradient: Tensor, own: Tensor, cross: Tensor, variance: Tensor
    ) -> Float[Tensor, " n"]:
        """Half the squared score over what is left of the curvature; 0 where next to nothing is."""
        left = own + 2 * self.ridge * variance
        if cross.shape[1]:
            left = left - (cross * torch.linalg.solve(self.curvature, cross.T).T).sum(1)
        fine = left > _COLLINEAR * own + 1e-12
        return torch.where(fine, gradient**2 / 2 / torch.where(fine, left, 1.0), 0.0)


@dataclass
class _State:
    """The terms of one head so far."""

    terms: list[Compound] = field(default_factory=list)
    atoms: list[int] = field(default_factory=list)
    features: Tensor = field(default_factory=lambda: torch.zeros(0))

    def with_term(self, term: Compound, atoms: int, column: Tensor) -> "_State":
        features = torch.cat([self.features, column[:, None]], dim=1)
        return _State([*self.terms, term], [*self.atoms, atoms], features)


@dataclass
class _Candidates:
    """Terms grown for one head."""

    terms: list[Compound]
    atoms: list[int]
    columns: Tensor

    @property
    def worth(self) -> Float[np.ndarray, " n"]:
        """The share of its score that counts: shorter terms go before longer ones."""
        members = np.array([term.members for term in self.terms])
        return 1 - _PER_ATOM * (np.array(self.atoms) - 1) - _PER_MEMBER * members

    def add(self, design: Design, predicted: Tensor, real: Tensor, limit: int) -> None:
        fresh: list[tuple[Compound, int, Tensor]] = []
        host = predicted.cpu().numpy(), real.cpu().numpy()
        for one in grow(design.tables, *host, len(design.rows.lengths), limit):
            atoms = parse(one.term.source).atoms
            if atoms <= MAX_ATOMS and one.term not in self.terms:
                fresh.append((one.term, atoms, torch.from_numpy(one.column).to(self.columns)))
        self.terms = [*(term for term, _, _ in fresh), *self.terms][:_KEPT]
        self.atoms = [*(atoms for _, atoms, _ in fresh), *self.atoms][:_KEPT]
        columns = [column for _, _, column in fresh] + list(self.columns.T)
        if columns:
            self.columns = torch.stack(columns[:_KEPT], dim=1)


def _first_best(score: Float[np.ndarray, " n"]) -> int:
    """The first of those that score best; rounding does not decide between equals."""
    return int(np.argmax(score >= (1 - _TIE) * score.max()))


def choose_terms(design: Design, real: Float[Tensor, " N"], budget: Budget) -> Chosen:
    """Choose the terms of one head's formula, a few more than wanted.

    Args:
        design: the pool over the sample.
        real: the head's attention on the sample's cells.
        budget: how many terms, and how they are found.
    """
    rows, pool, positions = design.rows, design.sample.pool, design.sample.position
    state = _State(features=torch.zeros((design.cells, 0), device=design.device))
    grown = _Candidates([], [], state.features)
    fit = Fit(
        torch.zeros(0, dtype=torch.float64, device=design.device),
        rows.softmax(torch.zeros(design.cells, device=design.device)),
        0.0,
    )
    wanted = budget.terms + budget.extra
    while len(state.terms) < wanted:
        if budget.grown and len(state.terms) in budget.grow_at:
            grown.add(design, fit.predicted, real, budget.grown)
        chosen = Projection.of(rows, state.features, fit.predicted, budget.ridge)
        score = design.scores(fit.predicted, real, chosen).cpu().numpy() * design.worth
        other = chosen.scores(rows, grown.columns, fit.predicted, real).cpu().numpy() * grown.worth
        allowed = min(MAX_ATOMS, MAX_FORMULA_ATOMS - sum(state.atoms))
        score[design.atoms > allowed] = 0
        other[np.array(grown.atoms, int) > allowed] = 0
        other[[k for k, term in enumerate(grown.terms) if term in state.terms]] = 0
        score[[positions[one.gate] for one in state.terms if not one.sets]] = 0
        best, best_grown = _first_best(score), _first_best(np.append(other, 0.0))
        if len(other) and other[best_grown % len(other)] > score[best]:
            state = state.with_term(
                grown.terms[best_grown], grown.atoms[best_grown], grown.columns[:, best_grown]
            )
        elif score[best] > 0:
            column = design.sample.features.column(best, design.cells)
            full = torch.from_numpy(column).to(design.device)
            state = state.with_term(Compound(pool[best]), int(design.atoms[best]), full)
        else:
            break
        start = torch.cat([fit.weights, fit.weights.new_zeros(1)])
        fit = fit_weights(
            rows,
            state.features,
            real,
            "cross_entropy",
            start=start,
            ridge=budget.ridge,
            steps=3,
            tolerance=1e-5,
        )
    return Chosen(tuple(state.terms), fit)
