"""What the scripts of `benchmarks` take from the package is there."""

import ast
import sys
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_what_a_script_imports_exists(script: Path) -> None:
    tree = ast.parse(script.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("headscribe"):
            module = import_module(node.module or "")
            missing = [name.name for name in node.names if not hasattr(module, name.name)]
            assert not missing, f"{node.module} has no {missing}"


def test_no_script_hides_a_package() -> None:
    # A script's folder is searched first: one named as a package breaks whoever imports that.
    packages = {name.split(".")[0] for name in packages_distributions()} | sys.stdlib_module_names
    assert "catalogue" in packages, "spaCy's"
    assert not packages & {script.stem for script in SCRIPTS}
