"""The page of settings names everything that the code reads from the environment."""

import re
from pathlib import Path

import headscribe
from headscribe.cli.settings import ENVIRONMENT
from headscribe.discovery.providers import KEYS


def test_every_environment_variable_of_the_code_is_listed():
    source = Path(headscribe.__file__).parent
    read = set(KEYS.values())
    for file in source.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", text))
    assert "HEADSCRIBE_CACHE" in read
    assert read - {"PYTHONPATH"} == set(ENVIRONMENT), "PYTHONPATH is Python's own"
