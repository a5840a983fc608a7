"""The page of settings names everything that the code reads from the environment."""

import re
from dataclasses import fields
from pathlib import Path

import headscribe
from headscribe.cli.settings import ENVIRONMENT, attributes, settings_page
from headscribe.discovery.providers import KEYS
from headscribe.sandbox.runner import Limits


def test_every_environment_variable_of_the_code_is_listed():
    source = Path(headscribe.__file__).parent
    read = set(KEYS.values())
    for file in source.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        read |= set(re.findall(r"environ(?:\.get\(|\[)\"(\w+)\"", text))
    assert "HEADSCRIBE_CACHE" in read
    assert read - {"PYTHONPATH"} == set(ENVIRONMENT), "PYTHONPATH is Python's own"


def test_every_setting_has_its_sentence():
    page = settings_page()
    said = attributes(Limits.__doc__.replace("\n    ", "\n"))
    assert set(said) == {one.name for one in fields(Limits)}
    assert "after each death but the last" in said["deaths"]
    for name in said:
        assert f"| `{name}` |" in page
