"""Terms chosen by what they do in the altered model.

All candidate terms of all heads stand in the model at once and are tuned (`replacement/tuning.py`).
Then those go that the altered model's loss misses least, head by head, and the others are tuned on,
by turns. What a going costs is `w^2 / 2 [F^-1]_kk`, with `F = E[g g^T]` over the gradients `g` of
single texts in the head's weights: the optimal-brain-surgeon criterion (Hassibi and Stork, NeurIPS
1992) with the empirical Fisher matrix for the Hessian (Singh and Alistarh, NeurIPS 2020).

Terms that are chosen so serve the altered model. They are reported apart, as tuned weights are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.solver import removal
from headscribe.models.model import Model
from headscribe.replacement.features import MEMORY, FeatureCache, Tunable
from headscribe.replacement.plan import Plan
from headscribe.replacement.tuning import Schedule, descend
from headscribe.text.passages import Passage

_RIDGE = 0.05


@dataclass(frozen=True)
class Narrowing:
    """How candidates become formulas.

    Attributes:
        terms: at most so many a head stay.
        first: steps before the first terms go.
        on_the_way: terms a head that stay at each turn before the last.
        steps: steps after each turn.
        watched: of these the last ones, whose gradients say what a term is worth.
        rate: the learning rate.
        memory: bytes to keep features in.
    """

    terms: int = 12
    first: int = 100
    on_the_way: tuple[int, ...] = (22, 17, 14)
    steps: int = 60
    watched: int = 50
    rate: float = 0.1
    memory: int = MEMORY


def narrowed(
    model: Model,
    candidates: Mapping[HeadId, Sequence[Term]],
    passages: Sequence[Passage],
    narrowing: Narrowing = Narrowing(),
    schedule: Schedule = Schedule(),  # noqa: B008
    on_progress: OnProgress = silent,
) -> dict[HeadId, Formula]:
    """Choose the terms of every head in the altered model; their weights are to be tuned yet.

    Args:
        model: the model; its weights are not changed.
        candidates: terms for each head to replace, with weights to begin with.
        passages: the `fit` texts; all their features should find room in the memory.
        narrowing: how many terms, and how they are tuned on the way.
        schedule: texts a step, the loss, the seed.
        on_progress: called after every step of every turn.

    Raises:
        UsageError: there is no text or no candidate, or what `Plan.check` raises.
    """
    usable = [passage for passage in passages if len(passage) > 1]
    if not usable or not any(candidates.values()):
        raise UsageError(
            f"expected candidate terms and fit texts, got {len(usable)} texts and "
            f"{sum(map(len, candidates.values()))} terms"
        )
    _check(model, candidates, narrowing.terms)
    cache, terms = FeatureCache(narrowing.memory), dict(candidates)
    turns = [limit for limit in narrowing.on_the_way if limit > narrowing.terms]
    steps = narrowing.first
    for limit in [*turns, narrowing.terms]:
        turn = replace(schedule, steps=steps, rate=narrowing.rate)
        tunable = Tunable(terms, model, usable[: schedule.texts], cache)
        slopes = descend(model, tunable, usable, turn, on_progress, narrowing.watched)
        terms = _kept(tunable, slopes, limit)
        steps = narrowing.steps
    return {head: Formula(head.prose, tuple(own)) for head, own in terms.items()}


def _check(model: Model, candidates: Mapping[HeadId, Sequence[Term]], size: int) -> None:
    """Refuse what no formula may hold, a few terms at a time."""
    for head, terms in candidates.items():
        for start in range(0, len(terms), size):
            part = Formula(head.prose, tuple(terms[start : start + size]))
            Plan({head: part}).check(model)


def _kept(
    tunable: Tunable, slopes: Float[Tensor, "n k"], limit: int
) -> dict[HeadId, Sequence[Term]]:
    """The terms of every head that cost the most to lose, in their order."""
    weights = tunable.weights.detach().double()
    found: dict[HeadId, Sequence[Term]] = {}
    for head, terms in tunable.terms().items():
        span = tunable.span[head]
        costs = drop_costs(weights[span], slopes[:, span].double())
        order = torch.argsort(costs, descending=True, stable=True)[:limit]
        found[head] = [terms[k] for k in sorted(order.tolist())]
    return found


def drop_costs(weights: Float[Tensor, " k"], slopes: Float[Tensor, "n k"]) -> Float[Tensor, " k"]:
    """What dropping each weight costs, the others adapted: `w^2 / 2 [F^-1]_kk`, `F = E[g g^T]`.

    Up to a factor that all share. A share of the diagonal is added to `F`, which few texts leave
    nearly singular.
    """
    fisher = slopes.T @ slopes / max(len(slopes), 1)
    return removal(fisher, weights, _RIDGE).costs
