"""The standard study: formulas against every control, and what tuning adds."""

from collections.abc import Callable, Mapping, Sequence

from headscribe.core.heads import HeadId
from headscribe.fitting.formula import Formula
from headscribe.fitting.pool import relation_pool
from headscribe.models.model import Model
from headscribe.patterns.registry import baselines
from headscribe.replacement.controls import estimate, shuffled
from headscribe.replacement.curves import Contender
from headscribe.replacement.plan import ZERO, Program
from headscribe.replacement.tuning import Schedule, offset_terms, random_terms, tune
from headscribe.text.passages import Passage

Told = Callable[[str, int, int], None]
"""Told what is being tuned, the step, and the number of steps."""


def untuned(
    model: Model,
    programs: Mapping[HeadId, Program],
    fit: Sequence[Passage],
    *,
    seed: int = 0,
    random_orders: int = 3,
    alone: Sequence[str] = ("formula", "profile", "zero", "mean"),
) -> list[Contender]:
    """The programs, and as controls the profile, the best fixed pattern, other heads' programs,
    silence and the mean attention.

    Args:
        model: the model.
        programs: one for every head to replace.
        fit: the texts that the controls are estimated on.
        seed: shuffles the programs.
        random_orders: in so many random orders the programs are measured besides.
        alone: the contenders whose effect on each single head is measured.

    Raises:
        UsageError: what `estimate` raises.
    """
    controls = estimate(model, fit, baselines())
    heads = sorted(programs)
    found: dict[str, Mapping[HeadId, Program]] = {
        "formula": programs,
        "profile": {head: controls.profile[head] for head in heads},
        "fixed": {head: controls.fixed[head] for head in heads},
        "shuffled": shuffled(programs, seed) if len(heads) > 1 else {},
        "zero": dict.fromkeys(heads, ZERO),
        "mean": {head: controls.mean[head] for head in heads},
    }
    return [
        Contender(
            name,
            held,
            alone=name in alone,
            random_orders=random_orders if name == "formula" else 0,
        )
        for name, held in found.items()
        if held
    ]


def tuned(
    model: Model,
    formulas: Mapping[HeadId, Formula],
    fit: Sequence[Passage],
    schedule: Schedule = Schedule(),  # noqa: B008  (frozen)
    told: Told | None = None,
) -> list[Contender]:
    """The formulas tuned with all heads replaced, and as controls random terms and offsets.

    Each has as many terms as the formula of the head; all are tuned alike, and measured with all
    heads replaced alone.

    Args:
        model: the model.
        formulas: one for every head to replace.
        fit: the texts to tune on.
        schedule: how.
        told: told of every step.

    Raises:
        UsageError: what `tune` raises.
    """
    found = []
    for name, start in beginnings(model, formulas, fit, schedule.seed).items():

        def said(step: int, steps: int, _: float, name: str = name) -> None:
            if told is not None:
                told(f"tuning {name}", step, steps)

        programs = tune(model, start, fit, schedule, said)
        found.append(Contender(name, programs, tuned=True, fractions=(1.0,)))
    return found


def beginnings(
    model: Model, formulas: Mapping[HeadId, Formula], fit: Sequence[Passage], seed: int
) -> dict[str, Mapping[HeadId, Formula]]:
    """What `tuned` tunes: the formulas, as many random terms, as many offsets."""
    provides = frozenset.intersection(*(passage.words.provides for passage in fit))
    causal = any(model.visibility(head.layer).causal for head in formulas)
    seen = model.visibility(min(formulas).layer)
    pool = relation_pool(provides, seen, look_ahead=not causal)
    return {
        "formula": formulas,
        "random_terms": random_terms(formulas, pool, seed),
        "offsets": offset_terms(model, formulas),
    }
