"""Choosing the few terms of a formula.

Terms are added one after the other: the score test of every relation in the pool, given the terms
already chosen (`g^2 / 2h`, with `h` what is left of the relation's curvature after projecting out
the chosen terms), plus terms grown from the residual; the weights are refitted after each. A few
terms more than wanted are taken in; `fitting/pruning.py` lets go of the dispensable ones.
"""

import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.fitting.features import Sample
from headscribe.fitting.formula import MAX_FORMULA_ATOMS, Term
from headscribe.fitting.growth import Compound, Grown, Table, grow_sets, grow_steps, set_tables
from headscribe.fitting.pool import MAX_ATOMS
from headscribe.fitting.solver import Fit, Rows, fit_weights, variances
from headscribe.relations import parse

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
_PER_ATOM_BROAD, _ALIKE = 0.03, 0.6  # the same, and what counts as nearly equal, of candidates
_KEPT = 24  # grown terms that wait to be chosen

Grower = Callable[..., list[Grown]]


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
    price: float = 6e-4
    grown: int = 8
    grow_at: tuple[int, ...] = (2, 5, 8, 11, 16, 20)


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
        self.tables: tuple[Table, ...] = set_tables(sample, GATES) if grown else ()

    def column(self, k: int) -> Float[Tensor, " N"]:
        """A relation of the pool over all cells."""
        return torch.from_numpy(self.sample.features.column(k, self.cells)).to(self.device)

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
class _Working:
    """The terms of one head so far, with the weights fitted to its attention."""

    rows: Rows
    real: Float[Tensor, " N"]
    ridge: float
    features: Float[Tensor, "N k"]
    fit: Fit
    terms: list[Compound] = field(default_factory=list)

    @classmethod
    def of(cls, design: "Design", real: Float[Tensor, " N"], ridge: float) -> "_Working":
        features = torch.zeros((design.cells, 0), device=design.device)
        even = design.rows.softmax(torch.zeros(design.cells, device=design.device))
        nothing = torch.zeros(0, dtype=torch.float64, device=design.device)
        return cls(design.rows, real, ridge, features, Fit(nothing, even, 0.0))

    @property
    def predicted(self) -> Float[Tensor, " N"]:
        return self.fit.predicted

    @property
    def projection(self) -> Projection:
        return Projection.of(self.rows, self.features, self.predicted, self.ridge)

    def grow(
        self, grower: Grower, tables: Sequence[Table], limit: int, held: Container[str]
    ) -> list[Grown]:
        """Terms grown for the residual, but for those that are held already or too long."""
        host = self.predicted.cpu().numpy(), self.real.cpu().numpy()
        growns = grower(tables, *host, len(self.rows.lengths), limit)
        return [
            grown for grown in growns if grown.term.source not in held and grown.atoms <= MAX_ATOMS
        ]

    def take(self, found: Sequence[tuple[Compound, Float[Tensor, " N"]]]) -> None:
        """Take terms in and refit the weights."""
        self.terms += [term for term, _ in found]
        self.features = torch.cat([self.features, *(c[:, None] for _, c in found)], dim=1)
        start = torch.cat([self.fit.weights, self.fit.weights.new_zeros(len(found))])
        self.fit = fit_weights(
            self.rows, self.features, self.real, "cross_entropy",
            start=start, ridge=self.ridge, steps=3, tolerance=1e-5,
        )  # fmt: skip


def _first_best(score: Float[np.ndarray, " n"]) -> int:
    """The first of those that score best; rounding does not decide between equals."""
    return int(np.argmax(score >= (1 - _TIE) * score.max()))


def choose_terms(
    design: Design, real: Float[Tensor, " N"], budget: Budget
) -> tuple[tuple[Compound, ...], Fit]:
    """Choose the terms of one head's formula, a few more than wanted.

    Args:
        real: the head's attention on the sample's cells.
        budget: how many terms, and how they are found.
    """
    work = _Working.of(design, real, budget.ridge)
    grown: list[Grown] = []
    columns = work.features
    left, sample = MAX_FORMULA_ATOMS, design.sample
    while len(work.terms) < budget.terms + budget.extra:
        if budget.grown and len(work.terms) in budget.grow_at:
            held = {one.term.source for one in grown}
            grown = [*work.grow(grow_sets, design.tables, budget.grown, held), *grown][:_KEPT]
            if grown:
                stacked = np.stack([one.column for one in grown], axis=1)
                columns = torch.from_numpy(stacked).to(columns)
        chosen = work.projection
        score = design.scores(work.predicted, real, chosen).cpu().numpy() * design.worth
        other = chosen.scores(design.rows, columns, work.predicted, real).cpu().numpy()
        other *= np.array([_worth(one) for one in grown])
        allowed = min(MAX_ATOMS, left)
        score[design.atoms > allowed] = 0
        score[[sample.position[term.gate] for term in work.terms if not term.sets]] = 0
        other[[k for k, o in enumerate(grown) if o.atoms > allowed or o.term in work.terms]] = 0
        best, best_grown = _first_best(score), _first_best(np.append(other, 0.0))
        if len(other) and other[best_grown % len(other)] > score[best]:
            one = grown[best_grown]
            left -= one.atoms
            work.take([(one.term, columns[:, best_grown])])
        elif score[best] > 0:
            left -= int(design.atoms[best])
            work.take([(Compound(sample.pool[best]), design.column(best))])
        else:
            break
    return tuple(work.terms), work.fit


def _worth(grown: Grown) -> float:
    """The share of its score that counts: shorter terms go before longer ones."""
    return 1 - _PER_ATOM * (grown.atoms - 1) - _PER_MEMBER * grown.term.members


@dataclass(frozen=True)
class Breadth:
    """How candidates are taken in.

    Attributes:
        terms: so many.
        at_once: terms a turn.
        grown: graded terms that are grown each turn.
        ridge: penalty on squared weights, in standard deviations of the features.
    """

    terms: int = 30
    at_once: int = 3
    grown: int = 24
    ridge: float = 1e-4


def choose_candidates(
    design: Design, tables: Sequence[Table], real: Float[Tensor, " N"], breadth: Breadth
) -> tuple[Term, ...]:
    """Many candidate terms of a head, for a criterion other than the attention to choose from.

    A few are taken in at a time: those of the pool and of grown graded sets that score best, none
    of them nearly the same as another of the same turn. Their weights are those of the joint fit.
    """
    work = _Working.of(design, real, breadth.ridge)
    while len(work.terms) < breadth.terms:
        offered = _offers(design, tables, work, breadth.grown)
        taken = _apart(work, offered, min(breadth.at_once, breadth.terms - len(work.terms)))
        if not taken:
            break
        work.take(taken)
    sources = [term.source for term in work.terms]
    return tuple(map(Term, sources, work.fit.weights.tolist()))


def _offers(
    design: Design, tables: Sequence[Table], work: _Working, limit: int
) -> Iterator[tuple[Compound, Float[Tensor, " N"]]]:
    """Relations of the pool and grown terms, best first."""
    chosen, sample = work.projection, design.sample
    taken = {term.source for term in work.terms}
    score = design.scores(work.predicted, work.real, chosen).cpu().numpy()
    score *= 1 - _PER_ATOM_BROAD * (design.atoms - 1)
    score[[sample.position[one] for one in taken if one in sample.position]] = 0
    offers: list[tuple[float, int | Grown]] = [
        (float(score[k]), int(k)) for k in np.argsort(-score, kind="stable")[:limit]
    ]
    grown = work.grow(grow_steps, tables, limit, taken.union(sample.pool))
    if grown:
        columns = torch.from_numpy(np.stack([one.column for one in grown], axis=1))
        other = chosen.scores(work.rows, columns.to(work.features), work.predicted, work.real)
        shares = 1 - _PER_ATOM_BROAD * (np.array([one.atoms for one in grown]) - 1)
        offers += zip((other.cpu().numpy() * shares).tolist(), grown, strict=True)
    offers.sort(key=lambda offer: -offer[0])
    for value, one in offers:
        if value <= 0:
            return
        if isinstance(one, Grown):
            yield one.term, torch.from_numpy(one.column).to(work.features)
        else:
            yield Compound(sample.pool[one]), design.column(one)


def _apart(
    work: _Working, offered: Iterable[tuple[Compound, Float[Tensor, " N"]]], room: int
) -> list[tuple[Compound, Float[Tensor, " N"]]]:
    """The first of the offers that are not nearly the same as an earlier one."""
    taken: list[tuple[Compound, Tensor]] = []
    seen: list[tuple[Tensor, float]] = []
    for term, column in offered:
        centred = work.rows.centred(column[:, None], work.predicted)[:, 0]
        moved = work.predicted * centred
        size = float(moved @ centred) ** 0.5
        if any(abs(float(moved @ other)) > _ALIKE * size * length for other, length in seen):
            continue
        seen.append((centred, size))
        taken.append((term, column))
        if len(taken) == room:
            break
    return taken
