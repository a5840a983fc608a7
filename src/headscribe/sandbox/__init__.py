"""Run programs that nobody trusts; see `docs/decisions/sandbox.md` for what is promised."""

from headscribe.sandbox.inside.failures import KINDS, Failure, FailureKind
from headscribe.sandbox.program import (
    PrefixTest,
    ProgramFailureError,
    SandboxedProgram,
    prefix_test,
)
from headscribe.sandbox.runner import Limits, Outcome, Runner, Trusted
from headscribe.sandbox.sandbox import Sandbox, SandboxStatus, Wall, status
from headscribe.sandbox.static import check

__all__ = [
    "KINDS",
    "Failure",
    "FailureKind",
    "Limits",
    "Outcome",
    "PrefixTest",
    "ProgramFailureError",
    "Runner",
    "Sandbox",
    "SandboxStatus",
    "SandboxedProgram",
    "Trusted",
    "Wall",
    "check",
    "prefix_test",
    "status",
]
