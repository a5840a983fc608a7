"""The registry of patterns: one place, one hook for built-in and foreign patterns alike.

A package adds patterns by an entry point of the group `headscribe.patterns` that names a function
`register(registry: Registry) -> None`; the catalogue's families are such functions.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from inspect import signature
from typing import Any, TypeAlias, cast, get_args, overload

from numpy.typing import ArrayLike

from headscribe.core.errors import HeadscribeError, RunError, UsageError, unknown_name
from headscribe.core.extensions import extensions
from headscribe.patterns.contract import Family, Pattern
from headscribe.patterns.functions import FunctionPattern
from headscribe.patterns.relational import (
    Group,
    RelationPattern,
    check_name,
    own_pattern,
    relation_pattern,
)
from headscribe.text.passages import Passage

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
        self._defined: set[str] = set()

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

    def define(self, pattern: Pattern) -> None:
        """Add a pattern; one of its name that was defined here before makes place for it.

        Raises:
            UsageError: as `register`, for names that were registered.
        """
        old = self._patterns.pop(pattern.name, None) if pattern.name in self._defined else None
        try:
            self.register(pattern)
        except UsageError:
            if old is not None:
                self._patterns[pattern.name] = old
            raise
        self._defined.add(pattern.name)

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
    """Return the role of a pattern in a survey, its attribute `group`; `custom` without one."""
    group: Group = getattr(pattern, "group", "custom")
    return group


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
    added: dict[str, Any] = {**extensions(ENTRY_POINTS, object)}
    for name, register in added.items():
        try:
            register(made)
        except HeadscribeError as error:
            raise RunError(f"the patterns of {name} ({ENTRY_POINTS}): {error}") from error
    return made


def default_patterns() -> tuple[Pattern, ...]:
    """Return what a survey scores unasked: classic patterns, honest variants, baselines."""
    return registry().select(["default"])


def baselines() -> tuple[Pattern, ...]:
    """Return the fixed baselines: they cover every row that sees a key."""
    return registry().select(["baseline"])


def pattern_of(expression: str) -> Pattern:
    """The registered pattern of a name, or the pattern of a relation.

    >>> pattern_of("self").name, str(pattern_of("distance==-1").relation)
    ('self', 'distance == -1')

    Raises:
        UsageError: it is neither.
    """
    return registry().get(expression) if expression in registry() else own_pattern(expression)


Definition: TypeAlias = Callable[[], str] | Callable[[Passage], ArrayLike]
"""A function that returns a relation, or one that computes attention from a passage."""


@overload
def pattern(function: Callable[[], str]) -> RelationPattern: ...
@overload
def pattern(function: Callable[[Passage], ArrayLike]) -> FunctionPattern: ...
@overload
def pattern(
    *,
    source: str = ...,
    family: Family = ...,
    mirror: str | None = ...,
    needs: Collection[str] = ...,
    looks_ahead: bool = ...,
) -> Callable[[Definition], RelationPattern | FunctionPattern]: ...
def pattern(
    function: object = None,
    *,
    source: str = "the user",
    family: Family = "custom",
    mirror: str | None = None,
    needs: Collection[str] = (),
    looks_ahead: bool = True,
) -> object:
    """Make a function a registered pattern, with its name and docstring.

    A function without parameters returns a relation; one with a parameter gets a passage and
    returns weights `(T, T)`, query by key. Defined again, as when a cell of a notebook is run
    again, the new definition takes the place of the old one.

    >>> import numpy as np
    >>> @pattern
    ... def two_back():
    ...     'Every token attends to the one two places before it.'
    ...     return "distance == -2"
    >>> @pattern(source="this example", looks_ahead=False)
    ... def evenly(passage):
    ...     'Every token attends to all before it alike.'
    ...     return np.tri(len(passage))
    >>> two_back.needs_later_keys, evenly.looks_ahead, pattern_of("evenly") is evenly
    (False, False, True)

    Args:
        function: the definition; left out where the decorator is given arguments.
        source: where the definition comes from.
        family: what it reads.
        mirror: the pattern that says the same of the other direction.
        needs: the word fields that a function of the passage reads (`upos`, `dep`, `head`, ...);
            of a relation they are known.
        looks_ahead: whether row `i` of a function of the passage may depend on tokens after `i`;
            replacement in a causal model refuses such patterns. Of a relation it is known.

    Raises:
        UsageError: no docstring, a malformed relation, other parameters, or the name of a
            pattern that was not defined in this way.
    """

    def decorate(function: Definition) -> RelationPattern | FunctionPattern:
        made = _defined(function, source, family, mirror, frozenset(needs), looks_ahead)
        registry().define(made)
        return made

    if function is None:
        return decorate
    if not callable(function):
        raise UsageError(f"expected @pattern or @pattern(source=...), got {function!r} in brackets")
    return decorate(cast("Definition", function))


def _defined(
    function: Definition,
    source: str,
    family: Family,
    mirror: str | None,
    needs: frozenset[str],
    looks_ahead: bool,
) -> RelationPattern | FunctionPattern:
    name = function.__name__
    sentence = " ".join((function.__doc__ or "").split())
    if not sentence:
        raise UsageError(f"pattern {name}: expected a docstring that says where the attention goes")
    try:
        parameters = signature(function).parameters.values()
    except ValueError as error:  # a class of C, such as int
        raise UsageError(f"pattern {name}: expected a function, got {function!r}") from error
    required = [
        parameter.name
        for parameter in parameters
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(required) > 1:
        raise UsageError(
            f"pattern {name}: expected a function of nothing, which returns a relation, or of the "
            f"passage, got the parameters {', '.join(required)}"
        )
    if required:
        of_passage = cast("Callable[[Passage], ArrayLike]", function)
        return FunctionPattern(
            name, sentence, source, family, of_passage, needs, looks_ahead, mirror
        )
    relation = cast("Callable[[], str]", function)()
    if not isinstance(relation, str):
        raise UsageError(
            f"pattern {name}: expected the function to return a relation as a string, got "
            f"{type(relation).__name__}; a function of the passage has a parameter"
        )
    return relation_pattern(name, sentence, relation, source, family, "custom", mirror)
