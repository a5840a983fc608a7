"""How long work says how far it is."""

from collections.abc import Callable
from typing import TypeAlias

OnProgress: TypeAlias = Callable[[str, int, int], None]
"""Called with the stage ("scoring"), the steps done and the steps in all."""


def silent(stage: str, done: int, total: int) -> None:
    """Says nothing."""
