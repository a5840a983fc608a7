"""Nothing in the package takes U+2028 for the end of a line."""

import ast
from pathlib import Path

import headscribe


def test_a_line_feed_ends_a_line_and_nothing_else() -> None:
    found = [
        f"{path.name}:{node.lineno}"
        for path in Path(headscribe.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "splitlines"
    ]
    assert not found, "use core.files.lines_of, or partition"
