"""What replaces which head, and what is refused before a model is touched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId, absent, every_head
from headscribe.core.rows import RowPolicy
from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Pattern


@dataclass(frozen=True)
class Zero:
    """The control that silences a head: its output becomes 0."""

    name: str = "zero"


ZERO = Zero()

Program = Pattern | Zero
"""What may stand in a head's place: any pattern (formula, relation, control), or silence."""


@runtime_checkable
class Replaceable(Protocol):
    """What a plan needs to know of a model."""

    @property
    def layers(self) -> int: ...  # noqa: D102
    @property
    def heads(self) -> int: ...  # noqa: D102
    def visibility(self, layer: int) -> Visibility: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Plan:
    """A program for each head that is to be replaced.

    Attributes:
        policy: what becomes of the rows that a program does not cover: `exclude` keeps the head's
            own row; `sink`, `self` and `uniform` put a fixed row there.
    """

    programs: Mapping[HeadId, Program]
    policy: RowPolicy = "exclude"

    def __len__(self) -> int:
        return len(self.programs)

    def heads_of(self, layer: int) -> tuple[int, ...]:
        """The heads of a layer that are replaced, ascending."""
        return tuple(sorted(head for at, head in self.programs if at == layer))

    def only(self, heads: Sequence[HeadId]) -> "Plan":
        """The part of the plan that concerns `heads`.

        Raises:
            UsageError: the plan has no program for one of them.
        """
        missing = [head for head in heads if head not in self.programs]
        if missing:
            raise UsageError(f"expected a program for head {missing[0]}, the plan has none")
        return Plan({head: self.programs[head] for head in heads}, self.policy)

    def check(self, model: Replaceable) -> None:
        """See that a model has the heads and that no program looks ahead where it must not.

        Raises:
            UsageError: an unknown head, or in a causal layer a program that looks ahead or can
                only point at later keys.
        """
        for head, program in sorted(self.programs.items()):
            if not (0 <= head.layer < model.layers and 0 <= head.head < model.heads):
                raise absent(head, every_head(model.layers, model.heads), "the model")
            if isinstance(program, Zero) or not model.visibility(head.layer).causal:
                continue
            if program.looks_ahead:
                raise UsageError(
                    f"head {head}: {program.name} looks ahead, so that in a causal layer it would "
                    "see the future; fit without relations that look ahead"
                )
            if program.needs_later_keys:
                raise UsageError(
                    f"head {head}: {program.name} points at later keys only, which a causal layer "
                    "cannot see"
                )
