"""Weights fitted to what a head's rows do to the model, not only to how they look.

Two keys with equal values are the same to a layer. With `v_j` the values, an error of a row,
`d = sum_j (p_j - a_j) v_j`, changes the loss to second order by `1/2 d^T G d`, where
`G = E[g g^T]` over tokens, and `g` is the gradient of the loss in the head's output, with labels
drawn from the untouched model's own predictions (the Fisher information; Amari, Neural Computation
1998) and with the attention of all later layers held as it is. The weights `w` of a formula,
`p = softmax(w . x)`, lower

    share * (1 - overlap(p, a)) + mean(d^T G d) / mean(d0^T G d0) + ridge * |w|^2,

`d0` being the error of uniform attention, by damped Gauss-Newton steps. Each head is fitted alone
and to the untouched model: nothing here has seen an altered one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.visibility import Visibility
from headscribe.fitting.atlas import Item, collect
from headscribe.fitting.features import Sample
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.solver import SMOOTHING, damped_newton, removal
from headscribe.fitting.stages import for_all_heads
from headscribe.models.model import Model
from headscribe.replacement.trace import trace
from headscribe.text.passages import Passage

T = TypeVar("T")

_TINY = 1e-9
_RIDGE = 1e-4

_SHARE = 1.0
"""What the overlap counts, beside the effect."""


@dataclass(frozen=True, eq=False)
class _Rows:
    """The sampled rows of a head's texts, each as wide as the longest text.

    Attributes:
        value: the values in coordinates where the metric is the identity, scaled by uniform error.
    """

    visible: Bool[Tensor, "R T"]
    attention: Float[Tensor, "R T"]
    value: Float[Tensor, "R T D"]


@dataclass(frozen=True, eq=False)
class _Effect:
    """Values and pulls of every head on one text, see `Traced`."""

    value: Float[Tensor, "H T D"]
    pull: Float[Tensor, "S H T D"]


def counted(items: Iterable[T], stage: str, total: int, on_progress: OnProgress) -> Iterator[T]:
    """The same items, and how many of them have been taken."""
    for done, item in enumerate(items, 1):
        yield item
        on_progress(stage, done, total)


def fitted_to_effect(
    model: Model,
    candidates: Mapping[HeadId, Sequence[Term]],
    passages: Sequence[Passage],
    *,
    terms: int = 12,
    rows_per_text: int = 40,
    draws: int = 3,
    seed: int = 0,
    on_progress: OnProgress = silent,
) -> dict[HeadId, Formula]:
    """Formulas of the best of some terms, with weights fitted to the effect of each head's rows.

    Args:
        candidates: terms for each head, with weights to begin with.
        passages: the `fit` texts.
        terms: at most so many stay. While there are more, those go that cost the objective least
            (`w^2 / 2 [H^-1]_kk`; Hassibi and Stork, NeurIPS 1992), and the others are refitted.
        rows_per_text: at most so many rows of every text.
        draws: labels drawn for every token.

    Raises:
        UsageError: there is no text.
    """
    if not passages:
        raise UsageError("expected at least one text to fit weights to, got none")
    alike: dict[Visibility, dict[HeadId, Sequence[Term]]] = {}
    for head, terms_of in sorted(candidates.items()):
        alike.setdefault(model.visibility(head.layer), {})[head] = terms_of
    formulas: dict[HeadId, Formula] = {}
    for part in alike.values():
        before = len(formulas)

        def said(stage: str, done: int, total: int, before: int = before) -> None:
            every = len(candidates)
            at = (done, total) if stage == "tracing" else (before + done, every)
            on_progress(stage, *at)

        formulas |= _fitted(model, part, passages, terms, rows_per_text, draws, seed, said)
    return dict(sorted(formulas.items()))


def _fitted(
    model: Model,
    candidates: Mapping[HeadId, Sequence[Term]],
    passages: Sequence[Passage],
    terms: int,
    rows_per_text: int,
    draws: int,
    seed: int,
    on_progress: OnProgress,
) -> dict[HeadId, Formula]:
    """Fit heads of layers that see the same keys."""
    chooser = torch.Generator().manual_seed(seed)
    heads = sorted(candidates)
    place = [head.layer * model.heads + head.head for head in heads]
    traced: list[_Effect] = []

    def items() -> Iterator[Item]:
        each = counted(passages, "tracing", len(passages), on_progress)
        for passage in each:
            one = trace(model, passage, draws, chooser)
            traced.append(_Effect(one.value, one.pull))  # the attention is in the sample
            yield passage, one.attention[place].numpy(), model.visibility(heads[0].layer)

    pool = sorted({term.relation for head in heads for term in candidates[head]})
    sample = collect(items(), pool=pool, rows_per_text=rows_per_text, seed=seed)
    columns = _Columns(sample)

    def work(n: int) -> Formula:
        head, given = heads[n], candidates[heads[n]]
        if not given:
            return Formula(head.prose, ())
        start = torch.tensor([term.weight for term in given])
        features = torch.stack([columns.dense(term.relation) for term in given], dim=-1)
        rows = _rows(columns, sample.attention[n], traced, place[n])
        kept, weights = _eliminated(rows, features, start, _SHARE, terms)
        chosen = (given[k].relation for k in kept)
        return Formula(head.prose, tuple(map(Term, chosen, weights.tolist())))

    def told(done: int, total: int) -> None:
        on_progress("fitting to the effect", done, total)

    return dict(zip(heads, for_all_heads(work, len(heads), told), strict=True))


def _eliminated(
    rows: _Rows,
    features: Float[Tensor, "R T k"],
    start: Float[Tensor, " k"],
    share: float,
    limit: int,
) -> tuple[list[int], Float[Tensor, " n"]]:
    """The terms that stay, and their weights: a third of the surplus goes at a time."""
    kept = list(range(features.shape[-1]))
    weights = _fit(rows, features, start, share, steps=15 if len(kept) <= limit else 6)
    while len(kept) > limit:
        going = max(1, (len(kept) - limit) // 3)
        costs = _drop_costs(rows, features, weights, share)
        stay = sorted(
            torch.argsort(costs, descending=True, stable=True)[: len(kept) - going].tolist()
        )
        features, weights = features[..., stay], weights[stay]
        kept = [kept[k] for k in stay]
        weights = _fit(rows, features, weights, share, steps=15 if len(kept) <= limit else 4)
    return kept, weights


def _drop_costs(
    rows: _Rows, features: Tensor, weights: Tensor, share: float
) -> Float[Tensor, " k"]:
    spread = _spread(rows, features)
    scaled, at = features / spread, weights * spread.double()
    predicted, _ = _objective(rows, scaled, at, share, _RIDGE)
    _, curvature = _slope(rows, scaled, predicted, at, share, _RIDGE)
    return removal(curvature, at).costs


def _spread(rows: _Rows, features: Float[Tensor, "R T k"]) -> Float[Tensor, " k"]:
    """The standard deviation of each feature over the visible cells."""
    count = rows.visible.sum()
    held = features * rows.visible[..., None]
    mean = held.sum((0, 1)) / count
    return ((held**2).sum((0, 1)) / count - mean**2).clamp_min(1e-12).sqrt()


class _Columns:
    """Cells laid end to end, as rows of equal width."""

    def __init__(self, sample: Sample) -> None:
        self.sample = sample
        self.row = torch.from_numpy(sample.row)
        begin = np.cumsum([0, *sample.lengths[:-1]])
        self.place = torch.from_numpy(np.arange(len(sample.row)) - begin[sample.row])
        self.shape = len(sample.lengths), int(sample.lengths.max())
        self.key = self.filled(torch.from_numpy(sample.key_token))

    def filled(self, cells: Tensor) -> Tensor:
        full = cells.new_zeros(self.shape)
        full[self.row, self.place] = cells
        return full

    def dense(self, relation: str) -> Float[Tensor, "R T"]:
        column = self.sample.features.column(self.sample.position[relation], len(self.row))
        return self.filled(torch.from_numpy(column))


def _rows(
    columns: _Columns, attention: Float[np.ndarray, " N"], traced: Sequence[_Effect], head: int
) -> _Rows:
    pull = torch.cat([effect.pull[:, head].flatten(0, 1) for effect in traced]).double()
    metric = pull.T @ pull / len(pull)
    size = metric.shape[0]
    metric += _TINY * float(metric.trace()) * torch.eye(size, dtype=torch.float64)
    factor = torch.linalg.cholesky(metric + 1e-30 * torch.eye(size)).float()
    value = (torch.cat([effect.value[head] for effect in traced]) @ factor)[columns.key]
    visible = columns.filled(torch.ones(len(columns.row), dtype=torch.bool))
    real = columns.filled(torch.from_numpy(attention))
    even = visible / visible.sum(1, keepdim=True)
    error = torch.einsum("rt,rtd->rd", even - real, value)
    size_of_error = float((error**2).sum(1).mean())
    scale = size_of_error**0.5 if size_of_error > 0 else 1.0
    return _Rows(visible, real, value / scale)


def _fit(
    rows: _Rows,
    features: Float[Tensor, "R T k"],
    start: Float[Tensor, " k"],
    share: float,
    ridge: float = _RIDGE,
    steps: int = 15,
) -> Float[Tensor, " k"]:
    """Damped Gauss-Newton steps from the given weights; float64 weights in features' own units."""
    spread = _spread(rows, features)
    scaled = features / spread
    weights = start.double() * spread.double()

    def at(w: Tensor) -> tuple[Tensor, float]:
        return _objective(rows, scaled, w, share, ridge)

    def slope(w: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
        return _slope(rows, scaled, predicted, w, share, ridge)

    weights, _, _ = damped_newton(weights, at, slope, steps, tolerance=1e-6, damping=1e-6)
    return weights / spread.double()


def _objective(
    rows: _Rows, features: Tensor, weights: Tensor, share: float, ridge: float
) -> tuple[Float[Tensor, "R T"], float]:
    logits = (features @ weights.to(features.dtype)).masked_fill(~rows.visible, -torch.inf)
    predicted = torch.softmax(logits, dim=-1)
    difference = predicted - rows.attention
    error = torch.einsum("rt,rtd->rd", difference, rows.value)
    apart = (torch.sqrt(difference**2 + SMOOTHING**2) - SMOOTHING).sum() / 2
    total = ((error**2).sum() + share * apart) / len(error)
    return predicted, float(total) + ridge * float(weights @ weights)


def _slope(
    rows: _Rows, features: Tensor, predicted: Tensor, weights: Tensor, share: float, ridge: float
) -> tuple[Float[Tensor, " k"], Float[Tensor, "k k"]]:
    """The objective's gradient, and its Gauss-Newton matrix, float64."""
    size, count = features.shape[-1], len(predicted)
    difference = predicted - rows.attention
    moved = predicted[..., None] * (
        features - torch.einsum("rt,rtk->rk", predicted, features)[:, None]
    )
    jacobian = torch.einsum("rtd,rtk->rdk", rows.value, moved).reshape(-1, size)
    error = torch.einsum("rt,rtd->rd", difference, rows.value).reshape(-1)
    inverse = share / 2 / torch.sqrt(difference**2 + SMOOTHING**2)
    gradient = 2 * (jacobian.T @ error) + torch.einsum("rtk,rt->k", moved, difference * inverse)
    bent = (moved * inverse.sqrt()[..., None]).reshape(-1, size)
    curvature = 2 * (jacobian.T @ jacobian) + bent.T @ bent
    penalty = 2 * ridge * torch.eye(size, dtype=torch.float64)
    return gradient.double() / count + 2 * ridge * weights, curvature.double() / count + penalty
