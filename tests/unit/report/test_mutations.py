"""Runs with values that no version writes: a page of what is whole, or one clear error."""

import json
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headscribe.core.errors import HeadscribeError
from headscribe.report.opening import open_to_show
from headscribe.report.page import page
from headscribe.results.run import Run
from tests.unit.report.synthetic import make_run
from tests.unit.report.synthetic_fit import make_fit
from tests.unit.report.synthetic_more import make_discovery, make_hints, make_replacement

ODD = [None, -1, 10**12, 1e308, "x", [], {}, [None], {"a": []}, True, "9" * 50, [[[]]]]
MAKERS = (make_run, make_fit, make_replacement, make_discovery, make_hints)


def mutated(value: Any, chance: random.Random, depth: int = 0) -> Any:
    """A JSON value with one part of it replaced by something odd."""
    inside = depth == 0 or chance.random() < 0.7
    if isinstance(value, dict) and value and inside:
        key = chance.choice(list(value))
        return value | {key: mutated(value[key], chance, depth + 1)}
    if isinstance(value, list) and value and inside:
        at = chance.randrange(len(value))
        return [*value[:at], mutated(value[at], chance, depth + 1), *value[at + 1 :]]
    return chance.choice(ODD)


def damage_manifest(folder: Path, chance: random.Random) -> None:
    manifest = json.loads((folder / "run.json").read_text())
    for _ in range(chance.randint(1, 3)):
        manifest = mutated(manifest, chance)
    (folder / "run.json").write_text(json.dumps(manifest))


def damage_column(folder: Path, chance: random.Random) -> None:
    path = chance.choice(sorted(folder.glob("*.parquet")))
    table = pq.read_table(path)
    at, rows = chance.randrange(table.num_columns), table.num_rows
    column = chance.choice([
        pa.array(["x"] * rows), pa.array([None] * rows, pa.float64()), pa.array([1e300] * rows),
        pa.array([-5] * rows), pa.array([[1]] * rows), pa.array([b"\xff"] * rows),
        pa.array([2**40] * rows),
    ])  # fmt: skip
    pq.write_table(table.set_column(at, table.column_names[at], column), path)


def damage_bytes(folder: Path, chance: random.Random) -> None:
    path = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    content = bytearray(path.read_bytes())
    for _ in range(chance.randint(1, 20)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path.write_bytes(bytes(content))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    folder = tmp_path_factory.mktemp("whole")
    return [make(folder / make.__name__) for make in MAKERS]


@pytest.mark.parametrize("damage", [damage_manifest, damage_column, damage_bytes])
def test_any_damage_gives_a_page_or_one_error(whole: list[Run], tmp_path: Path, damage):
    chance = random.Random(damage.__name__)
    pages = 0
    for number in range(50):
        run = whole[number % len(whole)]
        folder = tmp_path / str(number)
        shutil.copytree(run.folder, folder)
        damage(folder, chance)
        with suppress(HeadscribeError):
            content = page([open_to_show(folder)])
            pages += 1
            assert content.rstrip().endswith("</html>")
    assert pages >= 30
