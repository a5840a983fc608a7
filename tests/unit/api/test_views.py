"""What a view says of a run that was stopped: the error that tells how to go on, nothing else."""

from functools import cached_property
from pathlib import Path

import pytest

from headscribe.api.views import View, open_run
from headscribe.core.errors import UsageError
from headscribe.results.kinds import kinds
from headscribe.results.run import Run

ANYWAY = {"answered", "folder", "tables", "patterns", "findings", "study"}
"""What a run has from its beginning, and what is known without its tables."""


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_an_unfinished_run_says_that_it_is_whatever_is_asked(kind: str, tmp_path: Path) -> None:
    model = {"name": "a model", "layers": 2, "heads": 2}
    Run.create(tmp_path / "run", kind, {}, model=model, corpus={"name": "texts", "texts": 3})
    view = open_run(tmp_path / "run")
    assert "unfinished" in repr(view)
    attributes = {
        name
        for base in type(view).__mro__
        for name, value in vars(base).items()
        if isinstance(value, property | cached_property) or name == "to_json"
    }
    for name in sorted(attributes - ANYWAY):
        with pytest.raises(UsageError, match="unfinished"):
            _asked(view, name)


def _asked(view: View, name: str) -> object:
    found = getattr(view, name)
    return found() if name == "to_json" else found
