"""Scores one batch, layer by layer, by whichever way is the fastest for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int

from headscribe.scoring.accumulators import Accumulators
from headscribe.scoring.baselines import Calibration
from headscribe.scoring.loops import LoopScorer
from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.plan import BatchPlan
from headscribe.scoring.task import Task
from headscribe.scoring.tensors import TensorScorer


@dataclass
class BatchScorer:
    """Scores one batch, layer by layer, into the accumulators.

    On a CPU compiled loops do it, elsewhere operations on tensors.

    Attributes:
        sums: where everything is added.
        plan_of: the batch's plan for a layer (layers may see different keys).
        buckets: the bucket of each text, `(B,)`.
        folds: the fold of each text, `(B,)`.
        fixed: positions of the fixed baselines among the patterns.
        calibrate: add to the statistics from which baselines are estimated and chosen.
        calibration: the baselines to compare with, if they are known already.
        score: add to the scores.
    """

    sums: Accumulators
    plan_of: Callable[[int], BatchPlan]
    buckets: Int[np.ndarray, " B"]
    folds: Int[np.ndarray, " B"]
    fixed: Sequence[int]
    calibrate: bool
    calibration: Calibration | None
    score: bool

    def __post_init__(self) -> None:
        self._task = Task(
            self.sums, self.buckets, self.folds, self.fixed,
            self.calibrate, self.calibration, self.score,
        )  # fmt: skip
        self._loops = LoopScorer(self._task)
        self._tensors = TensorScorer(self._task)

    def observe(self, call: LayerAttention) -> None:
        """Score one layer.

        Raises:
            RunError: a real row holds NaN or infinity; names text, layer and head.
        """
        plan = self.plan_of(call.layer)
        by_loops = runs_loops(plan.views["raw"].device)
        (self._loops if by_loops else self._tensors).observe(call, plan)

    def commit(self) -> None:
        """Add what was observed to the sums; until then they do not know of the batch."""
        self._task.commit()


def runs_loops(device: torch.device) -> bool:
    """Whether compiled loops score what is on a device."""
    return device.type == "cpu"
