"""The examples in docstrings are run, and everything that is exported has one."""

import ast
import doctest
import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import headscribe as hs

ROOT = Path(hs.__file__).parent
WITH_EXAMPLES = sorted(
    ".".join(("headscribe", *path.relative_to(ROOT).with_suffix("").parts))
    for path in ROOT.rglob("*.py")
    if re.search(r"^\s*>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    module = import_module(name.removesuffix(".__init__"))
    path = Path(str(module.__file__))
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    # By the source, not by what it makes: doctest itself passes over cached properties, and takes
    # what a decorator has wrapped for another module's.
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            written, called = ast.get_docstring(node) or "", getattr(node, "name", name)
            runner.run(parser.get_doctest(written, dict(vars(module)), called, str(path), 0))
    assert runner.tries > 0
    assert runner.failures == 0


GIVEN_BY = {
    "Descriptions": "describe", "Discovery": "discover", "Explained": "explain", "Fit": "fit",
    "Hints": "hints", "Matrix": "predict", "Recording": "record", "Replacement": "replace",
    "Survey": "survey", "Effects": "effects", "Probed": "probe", "View": "open",
}  # fmt: skip
"""Results are shown by the example of the call that gives them."""


@pytest.mark.parametrize("name", hs.__all__)
def test_what_is_exported_has_an_example(name: str) -> None:
    one = getattr(hs, GIVEN_BY.get(name, name))
    parts = (one, *vars(one).values()) if inspect.isclass(one) else (one,)
    assert any(">>> " in (inspect.getdoc(part) or "") for part in parts)
