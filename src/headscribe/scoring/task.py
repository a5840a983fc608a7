"""What is to be scored of a batch, and what waits to be added to the sums."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int

from headscribe.core.errors import RunError
from headscribe.scoring.accumulators import Accumulators
from headscribe.scoring.baselines import Calibration
from headscribe.scoring.plan import BatchPlan


@dataclass
class Task:
    """What is asked of one batch.

    Attributes:
        buckets: the bucket of each text, `(B,)`.
        folds: the fold of each text, `(B,)`.
        fixed: positions of the fixed baselines among the patterns.
        calibrate: add to the statistics from which baselines are estimated and chosen.
        calibration: the baselines to compare with, if they are known already.
    """

    sums: Accumulators
    buckets: Int[np.ndarray, " B"]
    folds: Int[np.ndarray, " B"]
    fixed: Sequence[int]
    calibrate: bool
    calibration: Calibration | None
    score: bool
    _waiting: list[Callable[[], None]] = field(default_factory=list)

    def add(
        self,
        target: Float[np.ndarray, "N *any"],
        index: Int[np.ndarray, " n"],
        values: Float[np.ndarray, "n *any"],
    ) -> None:
        """Add `values[i]` to `target[index[i]]` at the end."""

        def run() -> None:
            for place, value in zip(index, values, strict=True):
                target[place] += value

        self.add_by(run)

    def add_by(self, run: Callable[[], None]) -> None:
        """Add to the sums, at the end, by calling `run`."""
        self._waiting.append(run)

    def commit(self) -> None:
        """Add what was observed to the sums; until then they do not know of the batch."""
        for run in self._waiting:
            run()
        self._waiting.clear()


def check_rows(mass: Float[np.ndarray, "H tokens"], plan: BatchPlan, layer: int) -> None:
    """See to it that every real row is finite.

    Raises:
        RunError: a row holds NaN or infinity; names text, layer and head.
    """
    if np.isfinite(mass.sum()):
        return
    batch, width = plan.sampled.shape
    finite = np.isfinite(mass).reshape(-1, batch, width).swapaxes(0, 1)
    broken = np.argwhere(~finite & plan.views["raw"].counts[:, None, :])
    if len(broken):
        text, head, row = broken[0].tolist()
        raise RunError(
            f"expected finite attention, got NaN or infinity in head {layer}.{head}, row "
            f"{row} of text {plan.passages[text].text_id!r}"
        )
