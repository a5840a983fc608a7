"""A survey in shards that others compute: what is handed out, and how it comes together again.

The texts are batched here exactly as the local engine does, so that no number depends on the
sharding; a shard is a run of batches. First all calibration shards, then, with the baselines that
they give, the scoring shards. Every finished shard is a Parquet part in the run directory, written
under a temporary name and renamed: a run that was stopped goes on with the shards that lack theirs.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from headscribe.core.errors import RunError, UsageError
from headscribe.core.progress import OnProgress
from headscribe.models.model import Model
from headscribe.models.recorded import Recording
from headscribe.results.run import Run
from headscribe.scoring.checkpoint import progress_of, read_back
from headscribe.scoring.engine import Engine, Progress
from headscribe.scoring.sharding.parts import arrays_from, complete, messages
from headscribe.scoring.sharding.worker import Job, opening_of, packed, shards_of
from headscribe.text.annotators import Annotator
from headscribe.text.passages import Passage

_LOG = logging.getLogger("headscribe")

SHARDS_A_WORKER = 4
"""Shards for each worker: enough to even out their speeds, few enough that sums stay few."""

Computer = Callable[[Job, list[dict[str, Any]]], Iterator[pa.Table]]
"""From a job and rows of shards to tables of their sums, in any order."""


def run_sharded(
    engine: Engine,
    later: Annotator | None,
    run: Run,
    workers: int,
    compute: Computer,
    on_progress: OnProgress,
) -> Progress:
    """Have a survey computed shard by shard.

    Args:
        later: finds the words that the passages still lack, on the workers; None: they lack none.
        on_progress: called with the stage, the texts done and the texts in all.

    Raises:
        UsageError: what a shard raised.
        RunError: what a shard raised, a shard that is lost, or a full disk. Finished parts stay.
    """
    source = engine.source
    assert isinstance(source, Model | Recording)
    opening = opening_of(source)
    words = None if later is None else (later.name, later.fingerprint)
    patterns, examples = tuple(engine.patterns), frozenset(engine.examples)
    progress = engine.start()
    finished = _counted(engine.total_texts(), on_progress)
    for phase in engine.phases():
        shards = _shards(run, progress.phase, engine.batches_of(phase), SHARDS_A_WORKER * workers)
        if progress.companion is not None and phase.reading == 2:
            progress.companion.turn()
        job = Job(
            opening, words, patterns, engine.buckets, engine.chosen, examples,
            replace(phase, passages=()),
            engine.calibration(progress) if engine.compares(progress.phase) else None,
            None if progress.companion is None else progress.companion.blank(),
        )  # fmt: skip
        _finish(run, progress.phase, shards, partial(compute, job), finished)
        for shard in range(len(shards)):
            _add(progress, run, progress.phase, shard)
        progress.phase += 1
    return progress


def _counted(total: int, on_progress: OnProgress) -> Callable[[int], None]:
    """Reports how many texts are finished, given how many more are."""
    done = 0

    def finished(texts: int) -> None:
        nonlocal done
        done += texts
        on_progress("scoring", done, total)

    return finished


def _shards(
    run: Run, phase: int, batches: Sequence[Sequence[Passage]], number: int
) -> list[Sequence[Sequence[Passage]]]:
    """The phase's batches in shards: as many as when the run was started."""
    known: dict[str, int] = run.manifest.setdefault("shards", {})
    number = known.setdefault(str(phase), number)
    run.save()
    return shards_of(batches, number)


def _part(phase: int, shard: int) -> str:
    return f"shard-{phase}-{shard:05}"


def _finish(
    run: Run,
    phase: int,
    shards: Sequence[Sequence[Sequence[Passage]]],
    compute: Callable[[list[dict[str, Any]]], Iterator[pa.Table]],
    finished: Callable[[int], None],
) -> None:
    """Compute the parts of the shards that have none yet, and keep them."""
    texts = [sum(map(len, shard)) for shard in shards]
    missing = [i for i in range(len(shards)) if not run.has_kept(_part(phase, i))]
    finished(sum(texts) - sum(texts[i] for i in missing))
    if not missing:
        return
    waiting: dict[int, list[pa.Table]] = {}
    for table in compute([{"shard": i, "batches": packed(shards[i])} for i in missing]):
        for kind, message in messages(table):
            if kind != "said":
                raise (UsageError if kind == "usage" else RunError)(message)
            _LOG.warning("%s", message)
        for shard in pc.unique(table["shard"]).to_pylist():
            own = pc.equal(table["shard"], shard)
            rows = table.filter(pc.and_not(own, pc.equal(table["name"], ".said")))
            waiting.setdefault(shard, []).append(rows)
            whole = pa.concat_tables(waiting[shard])
            if len(whole) and complete(whole):
                run.keep(_part(phase, shard), whole)
                del waiting[shard]
                finished(texts[shard])
    lost = [i for i in missing if not run.has_kept(_part(phase, i))]
    if lost:
        raise RunError(f"{len(lost)} of {len(shards)} shards came back without sums; --resume")


def _add(progress: Progress, run: Run, phase: int, shard: int) -> None:
    """Add a part; in the order of the shards, so that rounding does not depend on their speed."""
    name = _part(phase, shard)
    arrays = arrays_from(run.kept(name), run.folder / name)
    found = progress_of(arrays, progress.relations.number_of_heads, run.folder / name)
    progress.sums.add(found.sums)
    progress.relations.add(found.relations)
    progress.examples += found.examples
    read_back(progress, arrays, run.folder / name)
