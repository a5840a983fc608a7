"""The built-in patterns, one file per family, registered by the hook that others use too."""

from headscribe.patterns.catalogue import classic, lexical, positional, sinks, syntactic

FAMILIES = (
    classic.register,
    positional.register,
    lexical.register,
    syntactic.register,
    sinks.register,
)
"""What registers each family, in the order of the lists."""
