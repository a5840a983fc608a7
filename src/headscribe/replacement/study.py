"""What the programs are measured beside: controls in two orders of heads, and what tuning adds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.fitting.formula import Formula
from headscribe.fitting.pool import relation_pool
from headscribe.models.model import Model
from headscribe.patterns.registry import baselines
from headscribe.replacement.agreement import agreements
from headscribe.replacement.controls import estimate, shuffled
from headscribe.replacement.curves import Arm, measured
from headscribe.replacement.plan import ZERO, Plan, Program
from headscribe.replacement.tuning import Schedule, offset_terms, random_terms, tune
from headscribe.results.run import NOT_KEPT, Stages, Unfinished
from headscribe.text.passages import Passage

ORDERING_TEXTS = 100
"""At most so many fit texts say which heads a control stands in for best."""

SILENCING_TEXTS, SILENCING_POSITIONS = 16, 4
"""At most so many say what silencing a head costs; masked models: so many masked tokens a text."""

SILENCING_PASSES = 1200
"""Of models with many heads fewer, a quarter at least: each text is read once for every head."""


def untuned(
    model: Model,
    programs: Mapping[HeadId, Program],
    fit: Sequence[Passage],
    *,
    seed: int = 0,
    random_orders: int = 3,
    alone: Sequence[str] = ("formula", "profile", "zero", "mean"),
    stages: Stages = NOT_KEPT,
    on_progress: OnProgress = silent,
) -> list[Arm]:
    """The programs, and as controls the profile, the best fixed pattern, other heads' programs,
    silence and the mean attention, each with its own best-first order of heads.

    Args:
        fit: the texts that the controls and their orders are estimated on.
        random_orders: in so many random orders the programs are measured besides.
        alone: the arms whose effect on each single head is measured.
        stages: keeps what silencing each head costs, on which `zero`'s order stands.
        on_progress: called while controls are estimated.

    Raises:
        UsageError: what `estimate` raises.
    """
    controls = estimate(model, fit, baselines(), on_progress=on_progress)
    heads = sorted(programs)
    found: dict[str, Mapping[HeadId, Program]] = {
        "profile": {head: controls.profile[head] for head in heads},
        "fixed": {head: controls.fixed[head] for head in heads},
        "shuffled": shuffled(programs, seed) if len(heads) > 1 else {},
        "zero": dict.fromkeys(heads, ZERO),
        "mean": {head: controls.mean[head] for head in heads},
    }
    held = {name: own for name, own in found.items() if own}
    orders = own_orders(model, held, fit, stages, on_progress)
    first = Arm("formula", programs, alone="formula" in alone, random_orders=random_orders)
    return [
        first,
        *(
            Arm(name, own, alone=name in alone, own_order=orders[name])
            for name, own in held.items()
        ),
    ]


def own_orders(
    model: Model,
    controls: Mapping[str, Mapping[HeadId, Program]],
    fit: Sequence[Passage],
    stages: Stages = NOT_KEPT,
    on_progress: OnProgress = silent,
) -> dict[str, tuple[HeadId, ...]]:
    """For every control the heads that it stands in for best first.

    By the IoU with the head on the fit texts, as the programs' own order is by theirs. `zero`
    shares nothing with any head: there by what it costs the model to silence the head alone.
    """
    rows = {name: own for name, own in controls.items() if ZERO not in own.values()}
    overlaps = agreements(model, list(rows.values()), fit[:ORDERING_TEXTS], on_progress=on_progress)
    found = {
        name: tuple(sorted(iou, key=lambda head: -iou[head]))
        for name, iou in zip(rows, overlaps, strict=True)
    }

    def silencing(_: str, done: int, of: int) -> None:
        on_progress("silencing heads", done, of)

    for name in controls.keys() - rows.keys():
        heads = sorted(controls[name])
        plans = [Plan({head: controls[name][head]}) for head in heads]
        texts = max(SILENCING_TEXTS // 4, min(SILENCING_TEXTS, SILENCING_PASSES // len(heads)))
        readings = measured(
            model, plans, fit[:texts], f"alone-{name}", stages,
            positions=SILENCING_POSITIONS, on_progress=silencing,
        )  # fmt: skip
        cost = readings.loss if readings.kind != "encoder" else -readings.shift
        found[name] = tuple(heads[k] for k in np.argsort(cost.sum(axis=1), kind="stable"))
    return found


def tuned(
    model: Model,
    formulas: Mapping[HeadId, Formula],
    fit: Sequence[Passage],
    schedule: Schedule = Schedule(),  # noqa: B008  (frozen)
    stages: Stages = NOT_KEPT,
    on_progress: OnProgress = silent,
) -> list[Arm]:
    """The formulas tuned with all heads replaced, and as controls random terms and offsets.

    Each has as many terms as the formula of the head; all are tuned alike, and measured with all
    heads replaced alone.

    Args:
        stages: keeps what is tuned, and half-tuned weights.
        on_progress: called after every step.

    Raises:
        UsageError: what `tune` raises.
    """
    arms = []
    for name, start in beginnings(model, formulas, fit, schedule.seed).items():

        def compute(
            unfinished: Unfinished, name: str = name, start: Mapping[HeadId, Formula] = start
        ) -> dict[HeadId, Formula]:
            def said(_: str, step: int, steps: int) -> None:
                on_progress(f"tuning {name}", step, steps)

            return tune(model, start, fit, schedule, said, unfinished)

        programs = stages.stage(f"tuned-{name}", compute, _as_json, _of_json)
        arms.append(Arm(name, programs, tuned=True, fractions=(1.0,)))
    return arms


def _as_json(formulas: Mapping[HeadId, Formula]) -> dict[str, Any]:
    return {str(head): formula.to_json() for head, formula in formulas.items()}


def _of_json(kept: Mapping[str, Any]) -> dict[HeadId, Formula]:
    return {HeadId.parse(head): Formula.from_json(formula) for head, formula in kept.items()}


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
