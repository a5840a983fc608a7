"""The page "In three lines": it is run, each thing takes at most three lines and `hs` alone."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "three-lines.md"
THINGS = PAGE.read_text(encoding="utf-8").split("\n## ")[1:]


def test_the_page_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = doctest.testfile(
        str(PAGE), module_relative=False,
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE,
    )  # fmt: skip
    assert result.attempted >= 16
    assert result.failed == 0
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("thing", THINGS, ids=[thing.split("\n")[0] for thing in THINGS])
def test_a_thing_takes_three_lines(thing: str) -> None:
    last = thing.split("```python")[1].split("\n\n")[-2 if "transformers" in thing else 0]
    statements = re.findall(r"^>>> .*", last, re.MULTILINE)
    assert 1 <= len(statements) <= 3
    assert "import" not in last or "transformers" in thing, "from `import headscribe as hs` alone"
    assert "headscribe." not in last


def test_eight_things() -> None:
    assert len(THINGS) == 8
