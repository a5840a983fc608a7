"""How much is lost as more heads are replaced: curves, controls, random orders, single heads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.progress import OnProgress, silent
from headscribe.core.rows import RowPolicy
from headscribe.models.model import Model
from headscribe.replacement.measure import METRICS, Metric, Readings, collect, measure
from headscribe.replacement.passes import TextReading
from headscribe.replacement.plan import Plan, Program
from headscribe.replacement.store import identity, packed, unpacked
from headscribe.results.run import NOT_KEPT, Run, Stages, Unfinished
from headscribe.text.passages import Passage

FRACTIONS = (0.05, 0.1, 0.25, 0.5, 0.75, 1.0)
"""Fractions of a model's heads at which a curve is read."""

Order = Literal["best_first", "own_best_first", "random", "alone"]
"""Heads in the caller's order, in a control's own best-first order, shuffled, each by itself."""


@dataclass(frozen=True, eq=False)
class Arm:
    """Programs that compete in a curve.

    Attributes:
        program: `formula`, `profile`, `fixed`, `shuffled`, `zero`, `mean`.
        tuned: whether they were refitted or tuned on the altered model.
        alone: whether the effect of each single head is measured too.
        random_orders: in so many random orders besides.
        fractions: those to measure at; None for all. Programs tuned for a plan of all heads are
            measured at 1 alone.
        own_order: the same heads, those first that these programs stand in for best; None where
            the order of the curve is theirs.
    """

    program: str
    programs: Mapping[HeadId, Program]
    tuned: bool = False
    alone: bool = False
    random_orders: int = 0
    fractions: tuple[float, ...] | None = None
    own_order: tuple[HeadId, ...] | None = None


@dataclass(frozen=True)
class Point:
    """One plan of a curve.

    Attributes:
        fraction: replaced heads over all heads of the order.
        heads: the replaced heads, in the order in which they were chosen.
        seed: of a random order, None elsewhere.
    """

    program: str
    order: Order
    tuned: bool
    fraction: float
    heads: tuple[HeadId, ...]
    seed: int | None
    arm: int


def count_of(fraction: float, heads: int) -> int:
    """How many of so many heads a fraction is, at least one.

    Raises:
        UsageError: the fraction is not within (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UsageError(f"expected fractions above 0 and at most 1, got {fraction}")
    return max(1, round(fraction * heads))


def points_of(
    arms: Sequence[Arm],
    order: Sequence[HeadId],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> list[Point]:
    """All plans of a curve.

    Raises:
        UsageError: the order is empty or names a head twice, or has other heads than an own order,
            or a fraction is out of range.
    """
    if not order or len(set(order)) < len(order):
        raise UsageError(f"expected an order of different heads, got {len(order)} with repeats")
    points: list[Point] = []
    for k, arm in enumerate(arms):
        orders: list[tuple[Order, int | None, Sequence[HeadId]]] = [("best_first", None, order)]
        if arm.own_order is not None:
            if sorted(arm.own_order) != sorted(order):
                raise UsageError(f"{arm.program}: expected its own order to have the same heads")
            orders.append(("own_best_first", None, arm.own_order))
        for drawn in range(seed, seed + arm.random_orders):
            mixed = np.random.default_rng(drawn).permutation(len(order))
            orders.append(("random", drawn, [order[index] for index in mixed]))
        for name, number, heads in orders:
            for fraction in fractions if arm.fractions is None else arm.fractions:
                chosen = tuple(heads[: count_of(fraction, len(order))])
                points.append(Point(arm.program, name, arm.tuned, fraction, chosen, number, k))
        if arm.alone:
            points += [
                Point(arm.program, "alone", arm.tuned, 1 / len(order), (head,), None, k)
                for head in order
            ]
    return points


@dataclass(frozen=True, eq=False)
class Curves:
    """What every plan of a curve did to the model.

    Attributes:
        row: the row of `readings` that holds each plan; equal plans share one.
        readings: sums by plan and text.
    """

    points: tuple[Point, ...]
    row: tuple[int, ...]
    readings: Readings

    def document(self, metric: Metric | None = None) -> dict[str, Any]:
        """The curve as `headscribe replace --json` prints it; random orders are averaged.

        `increase` is relative to the unaltered model (0.03 = +3 %; for `kl` it is in nats), `low`
        and `high` are its 95 % interval, None where there is a single group of texts.
        """
        name = self.readings.headline if metric is None else metric
        groups: dict[tuple[str, str, bool, float], list[int]] = {}
        for index, point in enumerate(self.points):
            if point.order != "alone":
                key = (point.program, point.order, point.tuned, point.fraction)
                groups.setdefault(key, []).append(index)
        curve = [
            {
                "program": program,
                "order": order,
                "tuned": tuned,
                "fraction": fraction,
                "heads": len(self.points[members[0]].heads),
            }
            | self._numbers(members, name)
            for (program, order, tuned, fraction), members in groups.items()
        ]
        unaltered = self.readings.estimate(self.row[0], name).unaltered
        return {"metric": name, "unaltered": unaltered, "curve": curve}

    def table(self) -> pa.Table:
        """Every plan and metric as a row, random orders and single heads apart."""
        rows = [
            {
                "program": point.program,
                "order": point.order,
                "tuned": point.tuned,
                "fraction": point.fraction,
                "heads": len(point.heads),
                "head": str(point.heads[0]) if point.order == "alone" else None,
                "seed": point.seed,
                "metric": metric,
                "unaltered": self.readings.estimate(self.row[index], metric).unaltered,
            }
            | self._numbers([index], metric)
            for index, point in enumerate(self.points)
            for metric in METRICS[self.readings.kind]
        ]
        return pa.Table.from_pylist(rows)

    def _numbers(self, members: Sequence[int], metric: Metric) -> dict[str, float | None]:
        estimate = self.readings.estimate([self.row[index] for index in members], metric)
        single = np.isnan(estimate.low)
        return {
            "value": estimate.value,
            "increase": estimate.increase,
            "low": None if single else estimate.low,
            "high": None if single else estimate.high,
        }


def curves(
    model: Model,
    arms: Sequence[Arm],
    order: Sequence[HeadId],
    passages: Sequence[Passage],
    *,
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
    policy: RowPolicy = "exclude",
    token_budget: int = 2048,
    positions: int | None = None,
    run: Run | None = None,
    on_progress: OnProgress = silent,
) -> Curves:
    """Measure the model under every plan of the curves.

    Args:
        arms: programs and controls, each for every head of `order`.
        order: the heads, best explained first.
        passages: the texts to measure on, none of which the programs were fitted on.
        policy: what becomes of rows that a program does not cover.
        token_budget: tokens a batch.
        positions: masked models: masked tokens a text; None for all.
        run: where the readings are kept, so that an interrupted measurement goes on; the table
            `replacement` is written into it at the end.
        on_progress: called after every pass.

    Raises:
        UsageError: what `points_of`, `Plan.only` and `measure` raise; the run holds readings of
            other programs or texts.
    """
    if not passages:
        raise UsageError("expected at least one text to measure on, got none")
    points = points_of(arms, order, fractions, seed)
    plans, row = _distinct(arms, points, policy)
    stages: Stages = NOT_KEPT if run is None else run
    readings = measured(
        model, plans, passages, "readings", stages, token_budget=token_budget,
        positions=positions, on_progress=on_progress,
    )  # fmt: skip
    result = Curves(tuple(points), row, readings)
    if run is not None:
        run.write_table("replacement", result.table())
    return result


def measured(
    model: Model,
    plans: Sequence[Plan],
    passages: Sequence[Passage],
    name: str,
    stages: Stages = NOT_KEPT,
    *,
    token_budget: int = 2048,
    positions: int | None = None,
    on_progress: OnProgress = silent,
) -> Readings:
    """What `measure` gives of all texts, as a stage of this name that goes on where it stopped.

    Raises:
        UsageError: what `measure` raises; the stage holds readings of other programs or texts.
    """
    key = b"" if stages is NOT_KEPT else identity(model, plans, passages, positions)

    def compute(unfinished: Unfinished) -> dict[int, TextReading]:
        readings = unpacked(unfinished.read(), key)
        try:
            for index, reading in measure(
                model, plans, passages, token_budget=token_budget, positions=positions,
                done=dict(readings), on_progress=on_progress,
            ):  # fmt: skip
                readings[index] = reading
                unfinished.keep(lambda: packed(readings, key))
        finally:
            unfinished.keep(lambda: packed(readings, key), now=True)
        return readings

    readings = stages.stage(
        name, compute, lambda readings: packed(readings, key), lambda kept: unpacked(kept, key)
    )
    return collect(model, passages, readings, len(plans))


def _distinct(
    arms: Sequence[Arm], points: Sequence[Point], policy: RowPolicy
) -> tuple[list[Plan], tuple[int, ...]]:
    """The different plans of the points, and which of them each point is."""
    whole = [Plan(arm.programs, policy) for arm in arms]
    known: dict[frozenset[tuple[HeadId, int]], int] = {}
    plans: list[Plan] = []
    row = []
    for point in points:
        plan = whole[point.arm].only(point.heads)
        key = frozenset((head, id(program)) for head, program in plan.programs.items())
        if key not in known:
            known[key] = len(plans)
            plans.append(plan)
        row.append(known[key])
    return plans, tuple(row)
