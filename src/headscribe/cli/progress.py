"""Progress on stderr, and only where a person sees it."""

from collections.abc import Iterator
from contextlib import contextmanager

from headscribe.api.progress import shown
from headscribe.core.progress import OnProgress


@contextmanager
def progress() -> Iterator[OnProgress]:
    """A bar on a terminal, elsewhere lines."""
    with shown(None) as on_progress:
        yield on_progress
