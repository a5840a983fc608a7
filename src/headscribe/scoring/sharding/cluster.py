"""`--engine ray`: shards of a survey on the machines of a Ray cluster.

A worker that vanishes is started again by Ray, and its shard computed anew.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from headscribe.core.errors import RunError, UsageError
from headscribe.core.progress import OnProgress
from headscribe.results.run import Run
from headscribe.scoring.engine import Engine, Progress
from headscribe.scoring.sharding.shards import Computer, run_sharded
from headscribe.scoring.sharding.worker import Job, ShardScorer
from headscribe.text.annotators import Annotator


def run_on_ray(
    engine: Engine, later: Annotator | None, run: Run, workers: int | None, on_progress: OnProgress
) -> Progress:
    """Run a survey on a Ray cluster, the one of `RAY_ADDRESS` or a new one on this machine.

    Raises:
        UsageError: Ray is not installed, or the cluster has no room for a worker.
        RunError: the cluster is lost, a shard fails, or the disk is full. Finished parts stay.
    """
    ray = _ray()
    with _cluster(ray) as (room, options):
        number = min(workers or room, room)
        return run_sharded(engine, later, run, number, _computer(ray, number, options), on_progress)


def _ray() -> Any:  # noqa: ANN401
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError(
            'expected Ray for engine "ray", got none; pip install "headscribe[ray]", or leave out '
            "--engine ray"
        ) from error
    return ray


@contextmanager
def _cluster(ray: Any) -> Iterator[tuple[int, dict[str, Any]]]:  # noqa: ANN401
    """A cluster: how many workers it has room for, and what each of them takes."""
    own = not ray.is_initialized()
    try:
        if own:
            ray.init(include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise RunError(
            f"cannot reach a Ray cluster at {os.environ.get('RAY_ADDRESS', 'this machine')}: "
            f"{str(error).partition(chr(10))[0]}"
        ) from error
    try:
        have = ray.cluster_resources()
        cores, cards = int(have.get("CPU", 0)), int(have.get("GPU", 0))
        # Ray's own tasks need a core: where actors hold them all, it waits for ever and says so
        # nowhere.
        room = min(cores - 1, cards) if cards else cores - 1
        if room < 1:
            raise UsageError(
                f"expected a Ray cluster with at least 2 cores, one of them for Ray's own tasks, "
                f"got {cores}"
            )
        yield room, {"num_cpus": _cores(ray, room) if cards else 1, "num_gpus": 1 if cards else 0}
    finally:
        if own:
            ray.shutdown()


def _cores(ray: Any, room: int) -> int:  # noqa: ANN401
    """Cores that a worker with a GPU takes to score with, so that every machine's fit beside it."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    shares = [
        int(node["CPU"] // node["GPU"]) for node in nodes if node.get("GPU") and node.get("CPU")
    ]
    left = int(ray.cluster_resources()["CPU"]) - 1  # of Ray's own tasks
    return max(1, min([*shares, left // room]))


def _computer(ray: Any, workers: int, options: dict[str, Any]) -> Computer:  # noqa: ANN401
    def compute(job: Job, rows: list[dict[str, Any]]) -> Iterator[pa.Table]:
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        log = logging.getLogger("ray.data")
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            texts = ray.data.from_items(rows, override_num_blocks=len(rows))
            sums = texts.map_batches(
                ShardScorer,
                fn_constructor_args=(job,),
                batch_size=1,
                batch_format="pyarrow",
                compute=ray.data.ActorPoolStrategy(size=min(workers, len(rows))),
                **options,
            )
            yield from sums.iter_batches(batch_size=None, batch_format="pyarrow")
        except ray.exceptions.RayError as error:
            raise RunError(f"a Ray worker failed: {_reason(error)}; --resume goes on") from error
        finally:
            log.setLevel(level)

    return compute


def _reason(error: BaseException) -> str:
    """One line on what was raised first, on whichever machine."""
    while (deeper := getattr(error, "cause", None) or error.__cause__) is not None:
        error = deeper
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first[:200]}"
