"""Code of a proposal: what all kinds have in common, and why one cannot be tried."""

from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from headscribe.core.arrays import Attention
from headscribe.core.errors import RunError
from headscribe.discovery.neutral import neutral
from headscribe.sandbox import Failure
from headscribe.text.passages import Passage
from headscribe.text.splits import Split

InvalidKind = Literal["relation", "needs", "looks_ahead", "no_sandbox"]


class InvalidError(RunError):
    """Code that cannot be tried: `kind` says why, the message what would work."""

    def __init__(self, kind: InvalidKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class FailedError(RunError):
    """A program that gave no matrix for a text; `failure` says why."""

    def __init__(self, text_id: str, failure: Failure) -> None:
        super().__init__(f"on text {neutral(text_id)}: {failure}")
        self.failure = failure


@runtime_checkable
class Candidate(Protocol):
    """Code of a proposal, ready to be scored.

    Attributes:
        notes: what was left out of the proposal and why.
        looks_ahead: a row may depend on later tokens.
        without: what is left of it without what is new, a rival; None where nothing was kept.
    """

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def looks_ahead(self) -> bool: ...  # noqa: D102
    @property
    def without(self) -> "Candidate | None": ...  # noqa: D102

    def iou(self, split: Split) -> Float[np.ndarray, " n"]:
        """IoU with the head on every text of a split, in order.

        Raises:
            FailedError: the program gave no matrix for one of them.
        """
        ...

    def predicted_of(self, passages: Sequence[Passage]) -> list[Attention]:
        """The predictions for texts that are in no split.

        Raises:
            FailedError: the program gave no matrix for one of them.
        """
        ...

    def matrix(self, text: int) -> Attention:
        """The prediction for a text of a split that was scored."""
        ...

    def sketch(self, text: int) -> Attention:
        """What the code by itself says about a text, rows summing to 1 or 0."""
        ...

    def to_json(self) -> dict[str, object]:
        """The code as it is kept."""
        ...
