"""The examples in docstrings are run."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

import headscribe

ROOT = Path(headscribe.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(("headscribe", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(name.removesuffix(".__init__")))
    assert result.attempted > 0
    assert result.failed == 0
