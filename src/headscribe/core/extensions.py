"""What installed packages add, by entry points: one mechanism for every kind of extension."""

from functools import cache
from importlib.metadata import entry_points
from typing import Any, TypeVar

from headscribe.core.errors import RunError

T = TypeVar("T")


def extensions(group: str, wanted: type[T]) -> dict[str, T]:
    """What the entry points of a group name, by the names of these and in their order.

    Args:
        group: such as `headscribe.metrics`.

    Raises:
        RunError: one cannot be loaded, or is something else; says which.
    """
    found = _loaded(group)
    for place, one in found.values():
        if not isinstance(one, wanted):
            raise RunError(
                f"{place} ({group}): expected {wanted.__name__}, got {type(one).__name__}"
            )
    return {name: one for name, (_, one) in found.items()}


@cache
def _loaded(group: str) -> dict[str, tuple[str, Any]]:
    found = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        try:
            found[entry.name] = entry.value, entry.load()
        except (ImportError, AttributeError) as error:
            raise RunError(f"{entry.value} ({group}) cannot be loaded: {error}") from error
    return found
