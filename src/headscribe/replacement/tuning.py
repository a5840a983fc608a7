"""Tuning the weights of formulas by the altered model's loss, and controls tuned the same way.

Tuning serves the loss, not the explanation: the IoU with the untouched heads usually falls. Its
results are reported apart, beside those of as many random terms and of offsets alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula, Term
from headscribe.models.model import Model
from headscribe.models.tap import tap
from headscribe.relations import parse
from headscribe.replacement.features import Tunable
from headscribe.replacement.passes import masked, masked_positions
from headscribe.replacement.plan import Plan
from headscribe.text.passages import Passage

Progress = Callable[[int, int, float], None]
"""Told the step, the number of steps, and the loss of the step's texts."""


@dataclass(frozen=True)
class Schedule:
    """How weights are tuned.

    Attributes:
        steps: number of steps.
        texts: texts a step.
        rate: Adam's learning rate at the first step; it falls to 0 in a straight line.
        seed: chooses the texts of every step, and random terms.
    """

    steps: int = 240
    texts: int = 8
    rate: float = 0.03
    seed: int = 0


def tune(
    model: Model,
    formulas: Mapping[HeadId, Formula],
    passages: Sequence[Passage],
    schedule: Schedule = Schedule(),
    progress: Progress | None = None,
) -> dict[HeadId, Formula]:
    """Tune the weights of formulas that are all in the model at once; the terms stay.

    The loss is the altered model's own: of the next token; of a masked token, one a text and
    step; for encoders 1 minus the cosine of the last hidden states with the untouched model's.

    Args:
        model: the model; its weights are not changed.
        formulas: one for each head to replace.
        passages: the `fit` texts.
        schedule: steps, texts a step, learning rate.
        progress: told of every step.

    Raises:
        UsageError: there is no text or no formula, or what `Plan.check` raises.
    """
    if not passages or not formulas:
        raise UsageError(
            f"expected formulas and fit texts, got {len(formulas)} formulas, {len(passages)} texts"
        )
    Plan(dict(formulas)).check(model)
    usable = [passage for passage in passages if len(passage) > 1]
    tunable = Tunable(formulas, model, usable[: schedule.texts])
    optimiser = torch.optim.Adam([tunable.weights], lr=schedule.rate)
    chooser = np.random.default_rng(schedule.seed)
    waiting: list[int] = []
    for step in range(schedule.steps):
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate * (1 - step / schedule.steps)
        while len(waiting) < schedule.texts:
            waiting += chooser.permutation(len(usable)).tolist()
        chosen, waiting = waiting[: schedule.texts], waiting[schedule.texts :]
        loss = _loss(model, [usable[index] for index in chosen], tunable, chooser)
        (tunable.weights.grad,) = torch.autograd.grad(loss, tunable.weights)
        optimiser.step()
        if progress is not None:
            progress(step + 1, schedule.steps, float(loss.detach()))
    return tunable.formulas()


def _loss(
    model: Model, texts: Sequence[Passage], tunable: Tunable, chooser: np.random.Generator
) -> Tensor:
    if model.kind == "masked":
        return _masked_loss(model, texts, tunable, chooser)
    lengths = torch.tensor([len(text) for text in texts], device=model.hf.device)
    inputs = model.inputs(texts)
    real = torch.arange(int(lengths.max()), device=lengths.device)[None] < lengths[:, None]
    if model.kind == "encoder":
        with torch.no_grad():
            before = model.stack.body(**inputs)[0]
        with tap(model, None, tunable, batch=tuple(texts), lengths=lengths):
            after = model.stack.body(**inputs)[0]
        return 1 - torch.cosine_similarity(before, after, dim=-1)[real].mean()
    with tap(model, None, tunable, batch=tuple(texts), lengths=lengths):
        logits = model.hf(**inputs).logits
    log = torch.log_softmax(logits[:, :-1].float(), dim=-1)
    target = inputs["input_ids"][:, 1:]
    losses = -log.gather(2, target[..., None])[..., 0]
    return losses[real[:, 1:]].mean()


def _masked_loss(
    model: Model, texts: Sequence[Passage], tunable: Tunable, chooser: np.random.Generator
) -> Tensor:
    mask = model.tokenizer.mask_token_id
    if mask is None:
        raise UsageError(f"{model.name}: expected a tokenizer with a mask token, it has none")
    at = [int(chooser.choice(masked_positions(text, None))) for text in texts]
    copies = tuple(
        masked(text, place, mask, str(model.tokenizer.mask_token))
        for text, place in zip(texts, at, strict=True)
    )
    lengths = torch.tensor([len(text) for text in texts], device=model.hf.device)
    with tap(model, None, tunable, batch=copies, lengths=lengths):
        logits = model.hf(**model.inputs(copies)).logits
    log = torch.log_softmax(logits.float(), dim=-1)
    found = [log[b, place, int(texts[b].ids[place])] for b, place in enumerate(at)]
    return -torch.stack(found).mean()


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
        terms = tuple(Term(parse(one).source, 0.0) for one in sources[: len(formula.terms)])
        found[head] = Formula(f"offsets {head}", terms)
    return found
