"""What another package would put behind its entry point."""

from headscribe.patterns.registry import Registry
from headscribe.patterns.relational import relation_pattern


def register(registry: Registry) -> None:
    made = relation_pattern("foreign", "Here.", "distance == 0", "test", "custom", "custom")
    registry.register(made)


def twice(registry: Registry) -> None:
    register(registry)
    register(registry)
