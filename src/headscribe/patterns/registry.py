"""The registry of patterns: one place, one hook for built-in and foreign patterns alike.

A package adds patterns by an entry point of the group `headscribe.patterns` that names a function
`register(registry: Registry) -> None`; the catalogue's families are such functions.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.metadata import entry_points
from typing import get_args

from headscribe.core.errors import HeadscribeError, RunError, UsageError, unknown_name
from headscribe.patterns.contract import Family, Pattern
from headscribe.patterns.relational import Group, RelationPattern, check_name, relation_pattern

ENTRY_POINTS = "headscribe.patterns"
"""The entry point group by which other packages add patterns."""

SETS = ("all", "default", *get_args(Group), *get_args(Family))
"""Names that stand for several patterns; no pattern may be called so."""

RESERVED = (*SETS, "library")
"""What no pattern may be called; `library` stands for programs that were discovered."""


class Registry:
    """Patterns by name, in the order in which they were registered."""

    def __init__(self) -> None:
        self._patterns: dict[str, Pattern] = {}

    def register(self, pattern: Pattern) -> None:
        """Add a pattern.

        Raises:
            UsageError: the name is malformed, reserved or taken.
        """
        check_name(pattern.name)
        if pattern.name in RESERVED:
            raise UsageError(f"`{pattern.name}` names a set of patterns; choose another name")
        if pattern.name in self._patterns:
            taken = self._patterns[pattern.name]
            raise UsageError(
                f"a pattern `{pattern.name}` exists already ({taken.sentence}); choose another name"
            )
        self._patterns[pattern.name] = pattern

    def get(self, name: str) -> Pattern:
        """Return the pattern of a name.

        Raises:
            UsageError: there is none; suggests similar names.
        """
        if name not in self._patterns:
            raise unknown_name("pattern", name, list(self._patterns))
        return self._patterns[name]

    def __iter__(self) -> Iterator[Pattern]:
        return iter(self._patterns.values())

    def __len__(self) -> int:
        return len(self._patterns)

    def __contains__(self, name: object) -> bool:
        return name in self._patterns

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, in order."""
        return tuple(self._patterns)

    def select(self, names: Sequence[str]) -> tuple[Pattern, ...]:
        """Return the patterns of names and of sets of names (`SETS`), each once, in order asked.

        Raises:
            UsageError: a name is neither.
        """
        chosen: dict[str, Pattern] = {}
        for name in names:
            if name not in SETS and name not in self._patterns:
                raise unknown_name("pattern or set of patterns", name, [*SETS, *self._patterns])
            members = self._set(name) if name in SETS else [self.get(name)]
            chosen |= {pattern.name: pattern for pattern in members}
        return tuple(chosen.values())

    def _set(self, name: str) -> list[Pattern]:
        if name == "all":
            return list(self)
        groups = ("classic", "honest", "baseline") if name == "default" else (name,)
        return [
            pattern
            for group in groups
            for pattern in self
            if group in {pattern.family, group_of(pattern)}
        ]


def group_of(pattern: Pattern) -> Group:
    """Return the role of a pattern in a survey; `custom` where it does not say."""
    return pattern.group if isinstance(pattern, RelationPattern) else "custom"


@cache
def registry() -> Registry:
    """Return the registry of this process: the catalogue, then what installed packages add.

    Raises:
        RunError: an installed package's patterns cannot be loaded; says which.
    """
    from headscribe.patterns.catalogue import FAMILIES

    made = Registry()
    for register in FAMILIES:
        register(made)
    for entry in entry_points(group=ENTRY_POINTS):
        try:
            register = entry.load()
        except (ImportError, AttributeError) as error:
            raise RunError(f"the patterns of {entry.value} cannot be loaded: {error}") from error
        try:
            register(made)
        except HeadscribeError as error:
            raise RunError(f"the patterns of {entry.value}: {error}") from error
    return made


def default_patterns() -> tuple[Pattern, ...]:
    """Return what a survey scores unasked: classic patterns, honest variants, baselines."""
    return registry().select(["default"])


def baselines() -> tuple[Pattern, ...]:
    """Return the fixed baselines: they cover every row that sees a key."""
    return registry().select(["baseline"])


def pattern(
    source: str, family: Family = "custom", mirror: str | None = None
) -> Callable[[Callable[[], str]], RelationPattern]:
    """Make a function that returns a relation a registered pattern, with its name and docstring.

    Args:
        source: where the definition comes from.
        family: what it reads.
        mirror: the pattern that says the same of the other direction.

    Raises:
        UsageError: no docstring, a malformed relation, or a name that is taken.
    """

    def decorate(function: Callable[[], str]) -> RelationPattern:
        name = function.__name__
        sentence = " ".join((function.__doc__ or "").split())
        if not sentence:
            raise UsageError(
                f"pattern {name}: expected a docstring that says where the attention goes"
            )
        relation = function()
        if not isinstance(relation, str):
            raise UsageError(
                f"pattern {name}: expected the function to return a relation as a string, got "
                f"{type(relation).__name__}"
            )
        made = relation_pattern(name, sentence, relation, source, family, "custom", mirror)
        registry().register(made)
        return made

    return decorate
