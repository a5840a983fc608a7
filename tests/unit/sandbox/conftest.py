"""One warm sandbox for the tests that need no limits of their own."""

from collections.abc import Iterator

import pytest

from headscribe.sandbox import Sandbox, status


@pytest.fixture(scope="session")
def warm() -> Iterator[Sandbox]:
    found = status()
    if not found.in_force:
        pytest.skip(f"needs the sandbox: {found.reason}")
    with Sandbox() as running:
        yield running
