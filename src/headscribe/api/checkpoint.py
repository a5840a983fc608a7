"""What an interrupted survey goes on from: its sums, stored now and then and when it stops."""

import time
from typing import TYPE_CHECKING

import numpy as np

from headscribe.api.inputs import Reporter
from headscribe.core.errors import HeadscribeError
from headscribe.results.run import Run

if TYPE_CHECKING:
    from headscribe.scoring.engine import Engine, Progress

STORE_EVERY = 10.0
"""Seconds between two stores of an unfinished survey's sums."""


def run_stored(engine: "Engine", progress: "Progress", run: Run, report: Reporter) -> None:
    """Run to the end; store the sums now and then, and when something stops the run."""
    total = engine.total_texts()
    last = time.monotonic()

    def after_batch(now: "Progress", done: int) -> None:
        nonlocal last
        report("scoring", done, total)
        if time.monotonic() - last > STORE_EVERY:
            _store(run, now)
            last = time.monotonic()

    try:
        engine.run(progress, after_batch)
    except (KeyboardInterrupt, HeadscribeError):
        if progress.whole:
            _store(run, progress)
        raise


def _store(run: Run, progress: "Progress") -> None:
    import pyarrow as pa

    from headscribe.results.examples import table_of

    table = table_of(progress.examples)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    run.write_state(
        progress.sums.arrays()
        | progress.relations.arrays()
        | {
            "position": np.array([progress.phase, progress.batches]),
            "examples": np.frombuffer(sink.getvalue(), np.uint8),
        }
    )


def restored(engine: "Engine", run: Run) -> "Progress":
    """The state that an unfinished run stored, or the start if it was stopped before that."""
    import pyarrow as pa

    from headscribe.results.examples import rows_of
    from headscribe.scoring.accumulators import Accumulators
    from headscribe.scoring.engine import Progress
    from headscribe.scoring.relation_accuracy import RelationSums

    state = run.read_state()
    if state is None:
        return engine.start()
    phase, batches = (int(number) for number in state["position"])
    with pa.ipc.open_stream(pa.py_buffer(state["examples"].tobytes())) as reader:
        examples = rows_of(reader.read_all())
    sums = Accumulators.from_arrays(state, run.folder / "state.npz")
    relations = RelationSums.from_arrays(state, engine.source.layers * engine.source.heads)
    return Progress(sums, relations, examples, phase, batches)
