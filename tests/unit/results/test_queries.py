"""Questions to a run's scores."""

from pathlib import Path

import pyarrow as pa
import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.core.heads import HeadId
from headscribe.results import queries
from headscribe.results.run import Run


def row(pattern: str, layer: int, head: int, score: float | None, **other: object) -> dict:
    return {
        "pattern": pattern, "layer": layer, "head": head, "metric": "jsd", "view": "raw",
        "split": "all", "score": score, "low": None, "high": None, "texts": 5, "rows": 9.0,
        "coverage": 1.0, "baseline": None, "gain": None, "gain_low": None, "gain_high": None,
        "profile_gain": None, "profile_gain_low": None, "profile_gain_high": None,
    } | other  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run.create(tmp_path / "run", "survey", {})
    run.manifest |= {
        "model": {"layers": 2, "heads": 2},
        "patterns": [{"name": "zebra"}, {"name": "apple"}, {"name": "rare"}],
    }
    rows = [
        row("zebra", 0, 0, 0.3), row("zebra", 0, 1, 0.2), row("zebra", 1, 0, 0.2),
        row("zebra", 1, 1, None), row("apple", 1, 1, 0.1, low=0.05, high=0.15, gain=0.2,
                                       baseline="profile"),
        row("apple", 0, 0, 0.4), row("rare", 0, 0, 0.0, coverage=0.01),
        row("zebra", 1, 1, 0.9, metric="iou"), row("zebra", 0, 1, 0.95, metric="iou"),
        row("zebra", 1, 1, 0.7, split="test"),
    ]  # fmt: skip
    run.write_table("scores", pa.Table.from_pylist(rows))
    return run


def test_best_first_per_pattern_in_the_order_of_the_run(run: Run) -> None:
    found = [(s.pattern, s.head, s.score) for s in queries.top(run, k=2)]
    assert found == [
        ("zebra", "0.1", 0.2), ("zebra", "1.0", 0.2), ("apple", "1.1", 0.1), ("apple", "0.0", 0.4)
    ]  # fmt: skip


def test_what_gains_comes_before_what_is_close(run: Run) -> None:
    gained = {"baseline": "uniform", "gain_low": 0.1}
    heads = [
        row("zebra", 0, 0, 0.3, gain=-0.6, baseline="uniform", gain_low=-0.7),
        row("zebra", 0, 1, 0.7, gain=0.2, **gained),
        row("zebra", 1, 0, 0.5, gain=0.4, **gained),
        # its own profile predicts it better, so that the gain over `uniform` does not count
        row("zebra", 1, 1, 0.4, gain=0.5, **gained, profile_gain=-0.1, profile_gain_low=-0.2),
    ]
    run.write_table("scores", pa.Table.from_pylist(heads))
    assert [s.head for s in queries.top(run, "zebra", k=4)] == ["1.0", "0.1", "0.0", "1.1"]
    heads[1] |= {"gain": 0.401}  # as much as 1.0, to two digits, and farther from it
    run.write_table("scores", pa.Table.from_pylist(heads))
    assert [s.head for s in queries.top(run, "zebra", k=2)] == ["1.0", "0.1"]


def test_more_is_better_for_iou(run: Run) -> None:
    assert [s.head for s in queries.top(run, "zebra", metric="iou")] == ["0.1", "1.1"]


def test_the_json_shape(run: Run) -> None:
    assert queries.top(run, "apple", k=1)[0].as_dict() == {
        "pattern": "apple", "metric": "jsd", "view": "raw", "split": "all", "head": "1.1",
        "score": 0.1, "low": 0.05, "high": 0.15, "coverage": 1.0, "texts": 5,
        "baseline": "profile", "gain": 0.2, "gain_low": None, "gain_high": None,
        "profile_gain": None, "profile_gain_low": None, "profile_gain_high": None, "scored": None,
    }  # fmt: skip


def test_thin_coverage_is_left_out_unless_asked_for(run: Run) -> None:
    assert queries.top(run, "rare") == []
    assert len(queries.top(run, "rare", min_coverage=0.0)) == 1


def test_splits_are_kept_apart(run: Run) -> None:
    assert [s.score for s in queries.top(run, split="test")] == [0.7]


def test_all_patterns_of_a_head(run: Run) -> None:
    found = queries.of_head(run, HeadId(0, 0))
    assert [s.pattern for s in found] == ["zebra", "apple", "rare"]


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"pattern": "aple"}, "did you mean `apple`"),
        ({"metric": "juice"}, "no metric"),
        ({"view": "cooked"}, "known: raw, content"),
        ({"split": "train"}, "no split"),
    ],
)
def test_unknown_names(run: Run, asked: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        queries.top(run, **asked)


def test_a_head_that_does_not_exist(run: Run) -> None:
    with pytest.raises(UsageError, match=r"no head 2\.0 in .*: it has 2 layers of 2 heads"):
        queries.of_head(run, HeadId(2, 0))


def test_a_damaged_table_is_named(run: Run) -> None:
    path = run.path_of("scores")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"scores\.parquet: expected a Parquet table"):
        queries.top(run)
