"""Many candidate terms of a head, for a criterion other than the attention to choose from.

Terms are taken in a few at a time: those of the pool and of grown graded sets that score best in
the conditional score test of `fitting/selection.py`, none of them nearly the same as another of the
same turn; after each turn the weights are refitted by cross-entropy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.fitting.features import Sample
from headscribe.fitting.formula import Term
from headscribe.fitting.graded import Graded, Growth
from headscribe.fitting.selection import Design, Projection
from headscribe.fitting.solver import Fit, Rows, fit_weights
from headscribe.fitting.stages import for_all_heads
from headscribe.fitting.wide import CROSSED, GATES

_ALIKE = 0.6
_PER_ATOM = 0.03  # what a longer term has to score more, as a share


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


def candidates(
    sample: Sample,
    breadth: Breadth = Breadth(),
    device: torch.device | None = None,
    told: Callable[[int, int], None] | None = None,
) -> list[tuple[Term, ...]]:
    """Candidate terms of every head with the weights of their joint fit, best first.

    Args:
        sample: rows of the `fit` texts, with the wide pool and its attributes.
        breadth: how many, and how they are found.
        device: where to compute; the CPU by default.
        told: hears how many heads are done, and of how many.
    """
    device = device or torch.device("cpu")
    design = Design(sample, device, grown=False)
    growth = Growth(sample, GATES, CROSSED)

    def work(head: int) -> tuple[Term, ...]:
        real = torch.from_numpy(sample.attention[head]).to(device)
        return _of_head(design, growth, real, breadth)

    return for_all_heads(work, len(sample.attention), told)


def _of_head(
    design: Design, growth: Growth, real: Float[Tensor, " N"], breadth: Breadth
) -> tuple[Term, ...]:
    rows = design.rows
    sources: list[str] = []
    features = torch.zeros((design.cells, 0), device=design.device)
    even = rows.softmax(torch.zeros(design.cells, device=design.device))
    fit = Fit(torch.zeros(0, dtype=torch.float64, device=design.device), even, 0.0)
    while len(sources) < breadth.terms:
        offered = _offers(design, growth, real, fit.predicted, features, sources, breadth)
        room = min(breadth.at_once, breadth.terms - len(sources))
        taken = _apart(rows, fit.predicted, offered, design, room)
        if not taken:
            break
        sources += [source for source, _ in taken]
        features = torch.cat([features, *(column[:, None] for _, column in taken)], dim=1)
        start = torch.cat([fit.weights, fit.weights.new_zeros(len(taken))])
        fit = fit_weights(
            rows,
            features,
            real,
            "cross_entropy",
            start=start,
            ridge=breadth.ridge,
            steps=3,
            tolerance=1e-5,
        )
    return tuple(map(Term, sources, fit.weights.tolist()))


def _offers(
    design: Design,
    growth: Growth,
    real: Tensor,
    predicted: Tensor,
    features: Tensor,
    sources: Sequence[str],
    breadth: Breadth,
) -> list[int | Graded]:
    """Relations of the pool, by place, and grown terms, best first."""
    chosen = Projection.of(design.rows, features, predicted, breadth.ridge)
    pool = design.sample.pool
    score = design.scores(predicted, real, chosen).cpu().numpy()
    score *= 1 - _PER_ATOM * (design.atoms - 1)
    score[[design.sample.position[one] for one in sources if one in design.sample.position]] = 0
    host = predicted.cpu().numpy(), real.cpu().numpy()
    held = {*pool, *sources}
    grown = [one for one in growth.grow(*host, breadth.grown) if one.source not in held]
    offers: list[tuple[float, int | Graded]] = [
        (float(score[k]), int(k)) for k in np.argsort(-score, kind="stable")[: breadth.grown]
    ]
    if grown:
        columns = torch.from_numpy(np.stack([one.column for one in grown], axis=1)).to(predicted)
        atoms = np.array([one.atoms for one in grown])
        other = chosen.scores(design.rows, columns, predicted, real).cpu().numpy()
        other *= 1 - _PER_ATOM * (atoms - 1)
        offers += zip(other.tolist(), grown, strict=True)
    offers.sort(key=lambda offer: -offer[0])
    return [one for value, one in offers if value > 0]


def _apart(
    rows: Rows, predicted: Tensor, offered: Sequence[int | Graded], design: Design, room: int
) -> list[tuple[str, Float[Tensor, " N"]]]:
    """The first of the offers that are not nearly the same as an earlier one."""
    taken: list[tuple[str, Tensor]] = []
    seen: list[tuple[Tensor, float]] = []
    for one in offered:
        if len(taken) == room:
            break
        if isinstance(one, Graded):
            source, column = one.source, torch.from_numpy(one.column)
        else:
            source = design.sample.pool[one]
            column = torch.from_numpy(design.sample.features.column(one, design.cells))
        column = column.to(predicted)
        centred = rows.centred(column[:, None], predicted)[:, 0]
        moved = predicted * centred
        size = float(moved @ centred) ** 0.5
        if any(abs(float(moved @ other)) > _ALIKE * size * length for other, length in seen):
            continue
        seen.append((centred, size))
        taken.append((source, column))
    return taken
