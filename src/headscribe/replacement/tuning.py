"""Tuning the weights of formulas by the altered model's loss, and controls tuned the same way.

Tuning serves the loss, not the explanation: the IoU with the untouched heads usually falls. Its
results are reported apart, beside those of as many random terms and of offsets alone.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.fitting.formula import Formula, Term
from headscribe.models.model import Model
from headscribe.models.tap import tap
from headscribe.relations import parse
from headscribe.replacement.features import Tunable
from headscribe.replacement.passes import masked, masked_positions
from headscribe.replacement.plan import Plan
from headscribe.results.run import Unfinished
from headscribe.text.passages import Passage


@dataclass(frozen=True)
class Schedule:
    """How weights are tuned.

    Attributes:
        rate: Adam's learning rate at its highest: it rises over the first 20th of the steps and
            falls to 0 along a cosine.
        distilled: the share of the divergence from the untouched model's predictions in the loss;
            the rest is the loss of the tokens themselves.
        seed: chooses the texts of every step, and random terms.
    """

    steps: int = 300
    texts: int = 8
    rate: float = 0.15
    distilled: float = 0.5
    seed: int = 0

    def rate_at(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        warm = min(1.0, (step + 1) / max(1, self.steps // 20))
        return self.rate * warm * (1 + math.cos(math.pi * step / self.steps)) / 2


def tune(
    model: Model,
    formulas: Mapping[HeadId, Formula],
    passages: Sequence[Passage],
    schedule: Schedule = Schedule(),
    on_progress: OnProgress = silent,
    unfinished: Unfinished | None = None,
) -> dict[HeadId, Formula]:
    """Tune the weights of formulas that are all in the model at once; the terms stay.

    The loss, with `s = schedule.distilled`, is `s KL(untouched || altered) + (1 - s) loss`, of the
    next token; of a masked token, one a text and step; for encoders 1 minus the cosine of the last
    hidden states with the untouched model's.

    Args:
        model: the model; its weights are not changed.
        passages: the `fit` texts.
        schedule: steps, texts a step, learning rate.
        on_progress: called after every step.
        unfinished: keeps the weights on the way, and has those of an interrupted run.

    Raises:
        UsageError: there is no text or no formula, or what `Plan.check` raises.
    """
    if not passages or not formulas:
        raise UsageError(
            f"expected formulas and fit texts, got {len(formulas)} formulas, {len(passages)} texts"
        )
    Plan(dict(formulas)).check(model)
    usable = [passage for passage in passages if len(passage) > 1]
    terms = {head: formula.terms for head, formula in formulas.items()}
    tunable = Tunable(terms, model, usable[: schedule.texts])
    descend(model, tunable, usable, schedule, on_progress, unfinished=unfinished)
    found = tunable.terms()
    return {
        head: formula.with_weights([t.weight for t in found[head]])
        for head, formula in formulas.items()
    }


def descend(
    model: Model,
    tunable: Tunable,
    texts: Sequence[Passage],
    schedule: Schedule,
    on_progress: OnProgress = silent,
    watched: int = 0,
    unfinished: Unfinished | None = None,
) -> Float[Tensor, "n k"]:
    """Tune the weights in place, by Adam.

    Args:
        texts: texts of more than one token.
        schedule: steps, texts a step, learning rate.
        on_progress: called after every step.
        watched: in so many last steps gradients are taken text by text.
        unfinished: where a descent that is interrupted keeps its state.

    Returns:
        Those gradients, each text's share of the mean over its step, of `tunable.weights`.
    """
    descent = _Descent(tunable, schedule)
    kept = None if unfinished is None else unfinished.read()
    if kept is not None:
        descent.restore(kept)
    seen = [tunable.weights.new_zeros((0, len(tunable.weights)))]
    for step in range(descent.step, schedule.steps):
        batch = [texts[index] for index in descent.next_texts(len(texts))]
        shared = tunable.weights
        if step >= schedule.steps - watched:
            each = shared.detach().expand(len(batch), -1).clone().requires_grad_()
            tunable.by_text = shared = each
        loss = loss_of(model, batch, tunable, descent.chooser, schedule.distilled)
        (slope,) = torch.autograd.grad(loss, shared)
        tunable.by_text = None
        if slope.dim() == 2:
            seen.append(slope)
            slope = slope.sum(0)
        descent.move(slope)
        on_progress("tuning", step + 1, schedule.steps)
        if unfinished is not None:
            unfinished.keep(descent.state)
    return torch.cat(seen)


class _Descent:
    """Adam on the weights: its moments, and which texts are next."""

    def __init__(self, tunable: Tunable, schedule: Schedule) -> None:
        self._schedule = schedule
        self._weights = tunable.weights
        self._adam = torch.optim.Adam([tunable.weights], lr=schedule.rate, betas=(0.9, 0.99))
        self.chooser = np.random.default_rng(schedule.seed)
        self._waiting: list[int] = []
        self.step = 0

    def next_texts(self, texts: int) -> list[int]:
        """The texts of the next step; each comes once before any comes again."""
        count = self._schedule.texts
        while len(self._waiting) < count:
            self._waiting += self.chooser.permutation(texts).tolist()
        chosen, self._waiting = self._waiting[:count], self._waiting[count:]
        return chosen

    def move(self, slope: Float[Tensor, " k"]) -> None:
        """One step against a gradient."""
        for group in self._adam.param_groups:
            group["lr"] = self._schedule.rate_at(self.step)
        self._weights.grad = slope
        self._adam.step()
        self.step += 1

    def state(self) -> dict[str, np.ndarray]:
        """All that the next step depends on."""
        (moments,) = self._adam.state_dict()["state"].values()
        chooser = json.dumps(self.chooser.bit_generator.state).encode()
        return {
            "step": np.array(self.step),
            "weights": self._weights.detach().cpu().numpy(),
            "mean": moments["exp_avg"].cpu().numpy(),
            "square": moments["exp_avg_sq"].cpu().numpy(),
            "waiting": np.array(self._waiting, np.int64),
            "chooser": np.frombuffer(chooser, np.uint8),
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state."""
        self.step = int(state["step"])
        with torch.no_grad():
            self._weights.copy_(torch.from_numpy(state["weights"]))
        moments = {
            "step": torch.tensor(float(self.step)),
            "exp_avg": torch.from_numpy(state["mean"]),
            "exp_avg_sq": torch.from_numpy(state["square"]),
        }
        self._adam.load_state_dict(self._adam.state_dict() | {"state": {0: moments}})
        self._waiting = state["waiting"].tolist()
        self.chooser.bit_generator.state = json.loads(bytes(state["chooser"]))


def loss_of(
    model: Model,
    texts: Sequence[Passage],
    tunable: Tunable,
    chooser: np.random.Generator,
    distilled: float,
) -> Tensor:
    """What a step lowers, see `tune`; `chooser` draws the token that masked models predict."""
    if model.kind == "masked":
        texts, target, at = _masked(model, texts, chooser)
    inputs = model.inputs(texts)
    lengths = torch.tensor([len(text) for text in texts], device=model.hf.device)
    real = torch.arange(int(lengths.max()), device=lengths.device)[None] < lengths[:, None]
    if model.kind == "causal":
        text, query = torch.nonzero(real[:, 1:]).T
        target, at = inputs["input_ids"][text, query + 1], (text, query)

    def found() -> Tensor:
        if model.kind == "encoder":
            states: Tensor = model.stack.body(**inputs)[0]
            return states[real]
        return torch.log_softmax(model.hf(**inputs).logits[at].float(), dim=-1)

    with torch.no_grad():
        before = found()
    with tap(model, None, tunable, batch=tuple(texts), lengths=lengths):
        after = found()
    if model.kind == "encoder":
        return 1 - torch.cosine_similarity(before, after, dim=-1).mean()
    apart = (before.exp() * (before - after)).sum(-1).mean()
    return distilled * apart - (1 - distilled) * after.gather(1, target[:, None]).mean()


def _masked(
    model: Model, texts: Sequence[Passage], chooser: np.random.Generator
) -> tuple[list[Passage], Tensor, tuple[Tensor, Tensor]]:
    """The texts with one token each masked, those tokens, and where they are."""
    mask = model.tokenizer.mask_token_id
    if mask is None:
        raise UsageError(f"{model.name}: expected a tokenizer with a mask token, it has none")
    place = [int(chooser.choice(masked_positions(text, None))) for text in texts]
    copies = [
        masked(text, at, mask, str(model.tokenizer.mask_token))
        for text, at in zip(texts, place, strict=True)
    ]
    target = torch.tensor([int(text.ids[at]) for text, at in zip(texts, place, strict=True)])
    device = model.hf.device
    return (
        copies,
        target.to(device),
        (torch.arange(len(texts), device=device), torch.tensor(place, device=device)),
    )


def random_terms(
    formulas: Mapping[HeadId, Formula], pool: Sequence[str], seed: int = 0
) -> dict[HeadId, Formula]:
    """A control: for every head as many terms, drawn from a pool, of weight 0.

    Raises:
        UsageError: the pool has fewer relations than a formula has terms.
    """
    most = max((len(formula.terms) for formula in formulas.values()), default=0)
    if len(pool) < most:
        raise UsageError(f"expected a pool of at least {most} relations, got {len(pool)}")
    chooser = np.random.default_rng(seed)
    return {
        head: Formula(
            f"random {head}",
            tuple(
                Term(pool[k], 0.0)
                for k in sorted(chooser.choice(len(pool), len(formula.terms), replace=False))
            ),
        )
        for head, formula in sorted(formulas.items())
    }


def offset_terms(model: Model, formulas: Mapping[HeadId, Formula]) -> dict[HeadId, Formula]:
    """A control that reads positions alone: the first key, the query itself, offsets, distance.

    As many terms as each head's formula has, of weight 0, nearest offsets first.
    """
    found = {}
    for head, formula in sorted(formulas.items()):
        sources = ["key.index == 0", "log1p(abs(distance))", "distance == 0"]
        sources += [f"distance == {-k}" for k in range(1, len(formula.terms) + 1)]
        if not model.visibility(head.layer).causal:
            ahead = [f"distance == {k}" for k in range(1, len(formula.terms) + 1)]
            both = [one for pair in zip(sources[3:], ahead, strict=True) for one in pair]
            sources = [*sources[:3], *both]
        terms = tuple(Term(parse(source).source, 0.0) for source in sources[: len(formula.terms)])
        found[head] = Formula(f"offsets {head}", terms)
    return found
