"""Fixtures of all tests."""

import signal
from pathlib import Path

import pytest


def pytest_configure() -> None:
    """Let commands that the tests start be interrupted, also where a shell started us ignoring it.

    What is ignored is inherited: in the background of a shell Ctrl-C would never arrive.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The recorded data beside the checkout; tests that need it skip where it is absent."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recorded data in {folder}")
    return folder
