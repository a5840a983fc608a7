"""Why the code of a proposal cannot be tried, or gave nothing."""

from typing import Literal

from headscribe.core.errors import RunError
from headscribe.discovery.neutral import neutral
from headscribe.sandbox import Failure

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
