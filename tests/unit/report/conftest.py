"""Runs to report on."""

import pytest

from headscribe.results.run import Run
from tests.unit.report.synthetic import make_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A complete run of 3 layers x 4 heads."""
    return make_run(tmp_path_factory.mktemp("runs") / "plain")
