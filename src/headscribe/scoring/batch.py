"""Scores one batch, layer by layer, by whichever way is the fastest for it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

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
        task: what is asked of the batch.
        plan_of: the batch's plan for a layer (layers may see different keys).
    """

    task: Task
    plan_of: Callable[[int], BatchPlan]

    def __post_init__(self) -> None:
        self._loops = LoopScorer(self.task)
        self._tensors = TensorScorer(self.task)

    def observe(self, call: LayerAttention) -> None:
        """Score one layer.

        Raises:
            RunError: a real row holds NaN or infinity; names text, layer and head.
        """
        plan = self.plan_of(call.layer)
        by_loops = runs_loops(plan.views["raw"].device)
        (self._loops if by_loops else self._tensors).observe(call, plan)


def runs_loops(device: torch.device) -> bool:
    """Whether compiled loops score what is on a device."""
    return device.type == "cpu"
