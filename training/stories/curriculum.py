"""How much repetition the model reads, and how hard it is, as it learns."""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = ((512, 12), (2046, 24), (2046, 48))
"""Distinct random tokens in play, and the longest unit of them."""

SETTLED_BY = 1200
"""The step from which the final mixture is used at the latest."""

PASSED = 1.2
"""The running loss on repeated random tokens that leads to the next level."""


@dataclass(frozen=True)
class Shares:
    """How much of a batch is of which kind; the rest are story rows."""

    random: float
    sentences: float
    generated: float
    alphabet: int  # how many distinct tokens the random rows are made of
    longest_unit: int  # of the random tokens that are repeated
    chains: float  # how many of the random rows are one cycle, read piece by piece


class Curriculum:
    """Half of the rows repeat random tokens until the model copies well; then three in sixteen do.

    Copying is learned on few tokens first. The next level begins when the running mean of the loss
    on those rows falls below `PASSED`; `level` equal to the number of levels means that all passed.
    """

    def __init__(self, level: int = 0, loss: float = 10.0) -> None:
        """Begin, or go on from a checkpoint."""
        self.level = level
        self.loss = loss

    def settled(self, step: int) -> bool:
        """Whether the final mixture is used."""
        return self.level == len(LEVELS) or step >= SETTLED_BY

    def shares(self, step: int) -> Shares:
        """The mixture of a step."""
        if not self.settled(step):
            alphabet, longest = LEVELS[self.level]
            return Shares(0.5, 0.0625, 0.0625, alphabet, longest, chains=1.0)
        alphabet, longest = LEVELS[-1]
        return Shares(0.1875, 0.0625, 0.125, alphabet, longest, chains=0.5)

    def observe(self, loss: float) -> None:
        """Take note of the loss on the random rows of a step."""
        self.loss = 0.9 * self.loss + 0.1 * loss
        if self.level < len(LEVELS) and self.loss < PASSED:
            self.level += 1
            self.loss = 10.0
