"""Letting go of what a formula does not need: terms, and conditions of terms.

A formula costs ink: a term as much as it has comparisons and, for its literal sets, a fifth of that
for every member. Whatever raises the smooth overlap by less than `price` for each unit of ink goes:
a term goes altogether, or a simpler one takes its place (the same without one of its conditions).
So collinear terms become one, and of two that do the same the plainer stays. What a move costs is
foreseen from the Gauss-Newton model of all terms and their simpler forms together, where all other
weights adapt (the optimal-brain-surgeon criterion; Hassibi and Stork, NeurIPS 1992), and the best
move is then tried: the weights are refitted, and it is taken back if it cost more than it saves.
At last the literal sets let go of members that do not gain their ink.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from headscribe.fitting.features import Sample
from headscribe.fitting.growth import Compound
from headscribe.fitting.solver import (
    SMOOTHING,
    Fit,
    Rows,
    fit_weights,
    gradient_and_curvature,
    variances,
)
from headscribe.relations import parse
from headscribe.relations.syntax import Logic, canonical

_MEMBER = 0.2
_STEPS = 3
_TOLERANCE = 1e-5
_HOPE = 10.0  # what is foreseen is mostly too much, by several times: the overlap has kinks
_REFUSED = 3
_NEARLY = 1e-3
_SAME = 1e-9  # what rounding leaves of a column that others add up to, as a share


@cache
def _atoms(source: str) -> int:
    return parse(source).atoms


@cache
def _less(relation: str) -> tuple[str, ...]:
    """A conjunction without some of its conditions."""
    expression = parse(relation).expression
    if not isinstance(expression, Logic) or expression.operator != "and":
        return ()
    parts = expression.operands
    return tuple(
        canonical(kept[0] if len(kept) == 1 else Logic("and", kept))
        for size in range(1, len(parts))
        for kept in combinations(parts, size)
    )


def ink(term: Compound) -> float:
    """What a term costs a reader: comparisons, and a fifth for every member of a set of several."""
    members = sum(len(values) for _, values in term.sets if len(values) > 1)
    return _atoms(term.source) + _MEMBER * members


def simpler(term: Compound, pool: dict[str, int]) -> Iterator[Compound]:
    """The same term without some of its conditions, as far as the pool has it."""
    gates = (term.gate, *(one for one in _less(term.gate) if one in pool)) if term.gate else ("",)
    if term.gate and term.sets:
        gates = (*gates, "")
    for gate in gates:
        for size in range(len(term.sets) + 1):
            for sets in combinations(term.sets, size):
                if (gate or sets) and (gate, sets) != (term.gate, term.sets):
                    yield Compound(gate, sets)


@dataclass(frozen=True)
class Move:
    """A term that goes, and the simpler one that takes its place, if any.

    Attributes:
        by: the column of the simpler one among terms and simpler forms; None: nothing.
        saved: ink.
        cost: what the objective is foreseen to lose.
        weights: what the weights would be, of the terms that stay and then of the new one.
    """

    term: int
    by: int | None
    saved: float
    cost: float
    weights: Float[np.ndarray, " n"]


@dataclass
class _Working:
    """A formula while it is made shorter: terms with their columns, and simpler forms."""

    terms: list[Compound]
    features: Float[Tensor, "N k"]
    fit: Fit
    columns: dict[Compound, Tensor] = field(default_factory=dict)
    refused: set[tuple[Compound, Compound | None]] = field(default_factory=set)


@dataclass(frozen=True)
class Pruner:
    """Makes formulas shorter on one sample.

    Attributes:
        sample: the rows that terms have to prove their worth on.
        ridge: penalty on squared weights, in standard deviations of the features.
    """

    sample: Sample
    rows: Rows
    price: float
    ridge: float

    def prune(
        self,
        terms: Sequence[Compound],
        weights: Float[Tensor, " k"],
        real: Float[Tensor, " N"],
        limit: int,
    ) -> tuple[tuple[Compound, ...], Fit]:
        """Fit the weights to the overlap and let go of what is not worth its ink.

        Args:
            terms: the terms, more than wanted perhaps.
            weights: where to start.
            real: the head's attention on the sample.
            limit: at most so many terms stay.
        """
        device = real.device
        columns = [torch.from_numpy(term.column(self.sample)).to(device) for term in terms]
        features = torch.stack(columns, 1) if columns else real.new_zeros((len(real), 0))
        work = _Working(list(terms), features, self._fit(features, real, weights))
        while True:
            over = len(work.terms) > limit
            move = self._best(work, real, over=over)
            if move is None:
                break
            self._try(work, real, move, forced=over)
        self._trim(work, real)
        kept = independent(work.terms, work.features, self.rows)
        if len(kept) < len(work.terms):
            work.terms, work.features = [work.terms[k] for k in kept], work.features[:, kept]
            work.fit = self._fit(work.features, real, work.fit.weights[kept])
        return tuple(work.terms), work.fit

    def _fit(self, features: Tensor, real: Tensor, start: Tensor) -> Fit:
        return fit_weights(
            self.rows, features, real, "overlap",
            start=start, ridge=self.ridge, steps=_STEPS, tolerance=_TOLERANCE,
        )  # fmt: skip

    def _try(self, work: _Working, real: Tensor, move: Move, *, forced: bool) -> None:
        """Refit without the term and keep that, unless it costs more than it saves."""
        kept = [i for i in range(len(work.terms)) if i != move.term]
        terms, features = [work.terms[i] for i in kept], work.features[:, kept]
        by = self._substitute(work, move)
        if by is not None:
            terms.append(by)
            features = torch.cat([features, work.columns[by][:, None]], 1)
        fit = self._fit(features, real, torch.from_numpy(move.weights).to(real.device))
        if forced or fit.objective - work.fit.objective <= self.price * move.saved:
            work.terms, work.features, work.fit = terms, features, fit
        else:
            work.refused.add((work.terms[move.term], by))

    def _trim(self, work: _Working, real: Tensor) -> None:
        """Take out of literal sets what does not gain its ink, all sets at once."""
        slope, bend = (effect.cpu().numpy() for effect in _cell_effects(self.rows, work.fit, real))
        terms, dropped = list(work.terms), 0
        for k, term in enumerate(terms):
            weight = float(work.fit.weights[k])
            cell = np.flatnonzero(work.features[:, k].cpu().numpy())
            cost = -weight * slope[cell] + weight**2 * bend[cell] / 2
            terms[k] = trimmed(term, self.sample, cell, cost, _MEMBER * self.price)
            dropped += term.members - terms[k].members
        if not dropped:
            return
        features = work.features.clone()
        for k, (new, old) in enumerate(zip(terms, work.terms, strict=True)):
            if new != old:
                features[:, k] = torch.from_numpy(new.column(self.sample)).to(real)
        fit = self._fit(features, real, work.fit.weights)
        if fit.objective - work.fit.objective <= self.price * _MEMBER * dropped:
            work.terms, work.features, work.fit = terms, features, fit

    def _best(self, work: _Working, real: Tensor, *, over: bool) -> Move | None:
        """The move that costs least for the ink that it saves; None where none may be worth it.

        The last term may go too: then a head reads all keys evenly.
        """
        if not work.terms:
            return None
        self._extend(work, over=over)
        moves = [move for move in self._moves(work, real) if over or self._open(work, move)]
        best = min(moves, key=lambda move: move.cost / move.saved, default=None)
        if best is None or over:
            return best
        promising = best.cost <= _HOPE * self.price * best.saved
        return best if promising and len(work.refused) < _REFUSED else None

    def _open(self, work: _Working, move: Move) -> bool:
        return (work.terms[move.term], self._substitute(work, move)) not in work.refused

    @staticmethod
    def _substitute(work: _Working, move: Move) -> Compound | None:
        return None if move.by is None else list(work.columns)[move.by - len(work.terms)]

    def _extend(self, work: _Working, *, over: bool) -> None:
        """Bring the columns of simpler forms up to the terms that are left."""
        wanted: dict[Compound, Tensor] = {}
        if not over:
            pool = self.sample.position
            for term in work.terms:
                for compound in simpler(term, pool):
                    if compound in work.terms or compound in wanted:
                        continue
                    if compound not in work.columns:
                        column = torch.from_numpy(compound.column(self.sample))
                        wanted[compound] = column.to(work.features.device)
                    else:
                        wanted[compound] = work.columns[compound]
        work.columns = wanted

    def _moves(self, work: _Working, real: Tensor) -> Iterator[Move]:
        """All moves with what each is foreseen to cost."""
        count = len(work.terms)
        every = torch.cat([work.features, *(c[:, None] for c in work.columns.values())], 1)
        gradient, curvature = gradient_and_curvature(
            self.rows, every, work.fit.predicted, real, "overlap"
        )
        weights = np.zeros(every.shape[1])
        weights[:count] = work.fit.weights.cpu().numpy()
        spread = variances(every).cpu().numpy()
        slope = gradient.cpu().numpy() + 2 * self.ridge * spread * weights
        bend = curvature.cpu().numpy() + 2 * self.ridge * np.diag(spread)
        place = {term: count + i for i, term in enumerate(work.columns)}
        for k, term in enumerate(work.terms):
            kept = [i for i in range(count) if i != k]
            shorter = [
                compound for compound in simpler(term, self.sample.position) if compound in place
            ]
            yield Move(k, None, ink(term), *_without(slope, bend, weights, k, kept))
            for compound in shorter:
                by, saved = place[compound], ink(term) - ink(compound)
                if saved > 0:
                    yield Move(k, by, saved, *_without(slope, bend, weights, k, [*kept, by]))


def independent(terms: Sequence[Compound], features: Float[Tensor, "N k"], rows: Rows) -> list[int]:
    """The places of the terms that say something of their own, in order.

    A term says nothing if it has one value for all keys of every row, and nothing of its own if
    others add up to it but for such a part: a copy, a complement, a sum. This is told exactly, from
    the values on all rows; of terms that say the same together the one with the most ink goes.
    """
    kept = list(range(len(terms)))
    # Once to see whether there is reason to look closely, then closely.
    for values, same in ((features, _NEARLY), (features.double(), _SAME)):
        columns = rows.centred(values, 1 / rows.lengths.index_select(0, rows.row).to(values))
        inner = (columns.T @ columns).double().cpu().numpy()
        size = (values.T @ values).double().diagonal().cpu().numpy()
        kept = [k for k in range(len(terms)) if inner[k, k] > same * size[k]]
        for k in sorted(kept, key=lambda k: ink(terms[k]), reverse=True):
            others = [one for one in kept if one != k]
            scale = np.sqrt(inner.diagonal()[others])
            among = inner[np.ix_(others, others)] / np.outer(scale, scale)
            pull = inner[others, k] / scale
            explained = pull @ np.linalg.lstsq(among, pull, rcond=same)[0]
            if inner[k, k] - explained <= same * inner[k, k]:
                kept = others
        if len(kept) == len(terms):
            break
    return kept


def trimmed(
    term: Compound,
    sample: Sample,
    cell: Int[np.ndarray, " n"],
    cost: Float[np.ndarray, " n"],
    price: float,
) -> Compound:
    """A term without the members of its sets that cost less than `price` to leave out.

    Args:
        cost: what the objective loses at each if the term no longer held there.
        price: what a member has to gain; the best one of a set always stays.
    """
    sets = []
    for name, values in term.sets:
        index = {value: i for i, value in enumerate(values)}
        if name == "distance":
            code = np.array([index[d] for d in sample.distance[cell].tolist()], np.int64)
        else:
            side, _, attribute = name.partition(".")
            token = sample.key_token if side == "key" else sample.row_token[sample.row]
            code = np.array([index[v] for v in sample.tokens[attribute][token[cell]]], np.int64)
        loss = np.bincount(code, cost, len(values))
        keep = loss >= price
        if name == "distance":
            inside = np.flatnonzero(keep)
            keep[inside.min(initial=len(keep)) : inside.max(initial=-1) + 1] = True
        keep[int(np.argmax(loss))] = True
        sets.append((name, tuple(v for v, kept in zip(values, keep, strict=True) if kept)))
    return Compound(term.gate, tuple(sets))


def _cell_effects(
    rows: Rows, fit: Fit, real: Float[Tensor, " N"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Slope and Gauss-Newton curvature of the mean smooth overlap in each cell's own logit."""
    p, difference = fit.predicted, fit.predicted - real
    size = torch.sqrt(difference**2 + SMOOTHING**2)
    pull, inverse = difference / size / 2, 0.5 / size
    slope = p * (pull - rows.sums(p * pull).index_select(0, rows.row))
    shared = rows.sums(p * p * inverse).index_select(0, rows.row)
    bend = p * p * ((1 - 2 * p) * inverse + shared)
    count = len(rows.lengths)
    return slope.double() / count, bend.double() / count


def _without(
    slope: Float[np.ndarray, " n"],
    bend: Float[np.ndarray, "n n"],
    weights: Float[np.ndarray, " n"],
    k: int,
    free: list[int],
) -> tuple[float, Float[np.ndarray, " m"]]:
    """What the quadratic model says of `w_k = 0` with the free weights at their best."""
    cost = -slope[k] * weights[k] + bend[k, k] * weights[k] ** 2 / 2
    if not free:
        return float(cost), weights[free]
    pull = slope[free] - bend[free, k] * weights[k]
    inner = bend[np.ix_(free, free)]
    scale = np.sqrt(np.maximum(np.diag(inner), 1e-12))
    step = np.linalg.lstsq(inner / np.outer(scale, scale), -pull / scale, rcond=1e-8)[0] / scale
    return float(cost + pull @ step / 2), weights[free] + step
