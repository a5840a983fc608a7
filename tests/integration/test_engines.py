"""Every engine gives the local engine's numbers, however sharded, and goes on where it was."""

import logging
import os
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from headscribe.api.survey import Survey, survey
from headscribe.core.errors import RunError, UsageError
from headscribe.core.metrics import VIEWS
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.models.loading import load
from headscribe.models.recorded import Recording, write_recording
from headscribe.patterns.registry import registry
from headscribe.scoring import engine as engine_module
from headscribe.scoring.predictions import sinks_of
from headscribe.scoring.sharding import cluster, shards
from headscribe.scoring.sharding.worker import Job, ShardScorer, shards_of
from headscribe.text.passages import Passage
from tests.integration.families import build
from tests.oracles.survey import text_scores
from tests.unit.models.tokenizers import word_tokenizer
from tests.unit.scoring.synthetic import Made, passage

TABLES = (
    "scores", "layers", "gate", "containment", "relations", "examples", "cards", "budget",
    "behaviours",
)  # fmt: skip


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("recorded")
    texts = [passage(f"text{i}", 4 + i % 7) for i in range(40)]
    write_recording(folder, [(text, Made().attention(text)) for text in texts])
    return Recording(folder)


@pytest.fixture(scope="module")
def local(recording: Recording, tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """What the local engine says of the whole catalogue."""
    return survey(recording, out=tmp_path_factory.mktemp("local") / "run", token_budget=30)


def here(job: Job, rows: list[dict[str, Any]]) -> Iterator[pa.Table]:
    """A cluster of one process that computes the last shard first."""
    scorer = ShardScorer(job)
    for row in reversed(rows):
        yield from scorer(pa.Table.from_pylist([row]))


def sharded_survey(monkeypatch: pytest.MonkeyPatch, workers: int, compute=here) -> None:
    """Have `engine="ray"` computed by `compute` in place of Ray."""

    def run(engine, later, run, number, on_progress):
        return shards.run_sharded(engine, later, run, workers, compute, on_progress)

    monkeypatch.setattr(cluster, "run_on_ray", run)


def same(one: Survey, other: Survey, tolerance: float = 1e-6) -> None:
    """Every number of every table, to a tolerance; everything else exactly."""
    assert one.run.manifest["tables"] == other.run.manifest["tables"]
    for name in TABLES:
        if name not in one.run.manifest["tables"]:
            continue
        a, b = one.run.table(name), other.run.table(name)
        assert a.schema == b.schema
        assert len(a) == len(b)
        for column in a.column_names:
            if pa.types.is_floating(a.schema.field(column).type):
                pair = (t[column].to_numpy(zero_copy_only=False) for t in (a, b))
                np.testing.assert_allclose(*pair, rtol=0, atol=tolerance, err_msg=column)
            else:
                assert a[column].equals(b[column]), (name, column)


@pytest.mark.parametrize("large", [False, True])
def test_the_sharding_does_not_matter(
    recording: Recording, local: Survey, tmp_path: Path, monkeypatch, large: bool
) -> None:
    alone = local
    if large:
        monkeypatch.setattr(engine_module, "CROSS_FIT_TEXTS", 3)
        alone = survey(recording, out=tmp_path / "local", token_budget=30)
    for workers in (1, 3):
        sharded_survey(monkeypatch, workers)
        seen: list[tuple[str, int, int]] = []
        many = survey(
            recording, out=tmp_path / f"by {workers}", token_budget=30, engine="ray",
            on_progress=lambda *done, seen=seen: seen.append(done),
        )  # fmt: skip
        same(alone, many)
        assert not (many.run.folder / "stages").exists()
        # A large corpus is scored in one pass; what heads do is read twice in any case.
        assert seen[-1] == ("scoring", 80, 80)
        assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


NAMES = ["next_token", "previous_token_only", "uniform"]

Line = tuple[str, int, int, str]
"""Pattern, layer, head, view."""


@pytest.fixture(scope="module")
def lines(recording: Recording) -> dict[Line, list[dict[str, float]]]:
    """The scores of every text, by loops in float64 over whole rows."""
    seen = recording.visibility(0)
    found: dict[Line, list[dict[str, float]]] = {}
    for text in recording.passages[:40]:
        attention = recording.read(text)
        for name, view in product(NAMES, VIEWS):
            rows, sinks = registry().get(name).predict(text, seen), sinks_of(text, seen)
            for layer, head in product(range(recording.layers), range(recording.heads)):
                one = text_scores(attention[layer, head], rows, sinks, view)
                if one is not None:
                    found.setdefault((name, layer, head, view), []).append(one)
    assert len(found) == len(NAMES) * len(VIEWS) * recording.layers * recording.heads
    return found


@pytest.mark.parametrize("engine", ["local", "ray"])
@pytest.mark.parametrize("token_budget", [1, 30, 1000])
def test_corpus_means_equal_the_oracle(
    recording: Recording,
    lines: dict[Line, list[dict[str, float]]],
    tmp_path: Path,
    monkeypatch,
    engine: str,
    token_budget: int,
) -> None:
    """Means of the oracle's lines; the distance also by its square."""
    sharded_survey(monkeypatch, 2)
    found = survey(
        recording, patterns=NAMES, out=tmp_path / "run", token_budget=token_budget, engine=engine
    )
    scores = {
        (row["pattern"], row["layer"], row["head"], row["view"], row["metric"]): row["score"]
        for row in found.run.table("scores").to_pylist()
        if row["split"] == "all"
    }
    for key, each in lines.items():
        for metric in ("jsd", "sae", "iou", "overlap", "mass", "hit"):
            expected = float(np.mean([one[metric] for one in each]))
            got = scores[(*key, metric)]
            assert got == pytest.approx(expected, abs=1e-5), (key, metric)
            if metric == "jsd":
                assert got**2 == pytest.approx(expected**2, abs=1e-6), key


def test_words_are_found_where_the_shard_is(tmp_path: Path, monkeypatch) -> None:
    """A model given as an object, some of its layers, words by a pipeline, relations of words."""
    monkeypatch.setenv("HEADSCRIBE_CACHE", str(tmp_path / "cache"))
    model = load((build("bert"), word_tokenizer()))
    texts = ["the cat sat.", "cat the sat the cat.", "the the cat.", "sat cat sat cat."] * 3
    options: dict[str, Any] = {
        "patterns": ["previous_token", 'key.upos == "NOUN"'], "annotator": "bundled:en",
        "layers": [0, 2], "token_budget": 16,
    }  # fmt: skip
    alone = survey(model, texts, out=tmp_path / "local", **options)
    sharded_survey(monkeypatch, 1)
    many = survey(model, texts, out=tmp_path / "sharded", engine="ray", **options)
    assert "relations" in many.run.manifest["tables"]
    same(alone, many)


def test_a_stopped_run_goes_on_with_the_shards_that_are_missing(
    recording: Recording, local: Survey, tmp_path: Path, monkeypatch
) -> None:
    computed: list[int] = []

    def stopped(job: Job, rows: list[dict[str, Any]]) -> Iterator[pa.Table]:
        scorer = ShardScorer(job)
        for row in rows:
            if len(computed) == 3:
                raise KeyboardInterrupt
            computed.append(row["shard"])
            yield from scorer(pa.Table.from_pylist([row]))

    def counting(job: Job, rows: list[dict[str, Any]]) -> Iterator[pa.Table]:
        computed.extend(row["shard"] for row in rows)
        return here(job, rows)

    sharded_survey(monkeypatch, 1, stopped)
    with pytest.raises(KeyboardInterrupt):
        survey(recording, out=tmp_path / "run", token_budget=30, engine="ray")
    assert computed == [0, 1, 2]
    # Another number of workers: the run keeps the shards that it began with.
    sharded_survey(monkeypatch, 5, counting)
    with pytest.raises(UsageError, match="engine differ"):
        survey(recording, out=tmp_path / "run", token_budget=30, resume=True)
    many = survey(recording, out=tmp_path / "run", token_budget=30, engine="ray", resume=True)
    assert computed[3] == 3, "the parts that were there are not computed again"
    assert sorted(computed[:4]) == [0, 1, 2, 3]
    same(local, many)


def test_a_damaged_part_a_lost_shard_and_errors_are_said(
    recording: Recording, tmp_path: Path, monkeypatch
) -> None:
    few: dict[str, Any] = {"patterns": ["self"], "token_budget": 30, "engine": "ray"}
    sharded_survey(monkeypatch, 1, lambda job, rows: here(job, rows[1:]))
    with pytest.raises(RunError, match=r"1 of 4 shards came back without sums; --resume"):
        survey(recording, out=tmp_path / "lost", **few)
    part = next((tmp_path / "lost" / "stages").iterdir())
    part.write_bytes(part.read_bytes()[:-20])
    sharded_survey(monkeypatch, 1)
    with pytest.raises(RunError, match="is damaged: remove it and --resume"):
        survey(recording, out=tmp_path / "lost", **few, resume=True)
    part.unlink()
    survey(recording, out=tmp_path / "lost", **few, resume=True)

    def elsewhere(job: Job, rows: list[dict[str, Any]]) -> Iterator[pa.Table]:
        return here(replace(job, opening=replace(job.opening, fingerprint="another")), rows)

    sharded_survey(monkeypatch, 1, elsewhere)
    with pytest.raises(RunError, match="its files differ there"):
        survey(recording, out=tmp_path / "other", **few)


def test_warnings_of_a_shard_reach_the_user(
    recording: Recording, tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    part = engine_module.Engine.part

    def warned(*arguments):
        logging.getLogger("headscribe").warning("halved in a shard")
        return part(*arguments)

    monkeypatch.setattr(engine_module.Engine, "part", warned)
    sharded_survey(monkeypatch, 1)
    survey(recording, patterns=["self"], out=tmp_path / "run", token_budget=30, engine="ray")
    assert "halved in a shard" in caplog.text


def test_shards_are_runs_of_batches() -> None:
    assert shards_of("abcdefg", 3) == ["ab", "cde", "fg"]
    assert shards_of("ab", 5) == ["a", "b"]
    assert shards_of("", 2) == [""]


def test_an_unknown_engine_and_missing_ray(recording: Recording, tmp_path: Path, monkeypatch):
    with pytest.raises(UsageError, match="`rai` is no engine; did you mean"):
        survey(recording, out=tmp_path / "a", engine="rai")
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(UsageError, match=r"expected Ray .* pip install \"headscribe\[ray\]\""):
        survey(recording, out=tmp_path / "b", engine="ray")


@dataclass(frozen=True)
class Fragile:
    """A pattern that takes its process down once, the first time that it is asked outside."""

    flag: str
    parent: int
    name: str = "fragile"
    family: str = "lexical"
    sentence: str = "Every token attends to itself."
    source: str = "tests"
    needs: frozenset[str] = frozenset()
    looks_ahead: bool = False
    needs_later_keys: bool = False
    mirror: str | None = None

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        if os.getpid() != self.parent and not os.path.exists(self.flag):
            Path(self.flag).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        index = np.arange(len(passage))
        return Rows.from_cells(index, index, len(passage))


def test_ray_equals_the_local_engine_and_outlives_a_worker(
    recording: Recording, tmp_path: Path, monkeypatch
) -> None:
    ray = pytest.importorskip("ray", reason="needs the extra headscribe[ray]")
    for name, value in {
        "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
        "RAY_AUTH_MODE": "disabled", "RAY_worker_niceness": "0",  # else a busy machine starves them
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(shards, "SHARDS_A_WORKER", 2)
    ray.cloudpickle.register_pickle_by_value(__import__("sys").modules[__name__])
    patterns = [Fragile(str(tmp_path / "killed"), os.getpid())]
    alone = survey(recording, patterns=patterns, out=tmp_path / "local", token_budget=30)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR
        )
        try:
            # One actor: the other core is Ray's, also where more workers are asked for.
            many = survey(
                recording, patterns=patterns, out=tmp_path / "ray", token_budget=30,
                engine="ray", workers=8,
            )  # fmt: skip
            assert ray.is_initialized(), "a cluster that was there stays"
        finally:
            ray.shutdown()
    assert (tmp_path / "killed").exists()
    assert many.run.manifest["shards"] == {"0": 2, "1": 2}
    same(alone, many)


def test_a_cluster_without_room_is_refused(recording: Recording, tmp_path: Path) -> None:
    class OneCore:
        @staticmethod
        def is_initialized() -> bool:
            return True

        @staticmethod
        def cluster_resources() -> dict[str, float]:
            return {"CPU": 1.0, "GPU": 2.0}

    with (
        pytest.raises(UsageError, match=r"at least 2 cores, .* got 1"),
        cluster._cluster(OneCore),
    ):
        pass
