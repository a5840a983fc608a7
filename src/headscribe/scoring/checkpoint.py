"""What an interrupted survey goes on from: its sums as named arrays, stored now and then."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from headscribe.core.errors import HeadscribeError, RunError
from headscribe.core.progress import OnProgress
from headscribe.results.examples import rows_of, table_of
from headscribe.results.run import STAGES, Run, Unfinished
from headscribe.scoring.accumulators import Accumulators
from headscribe.scoring.engine import Engine, Progress
from headscribe.scoring.relation_accuracy import RelationSums
from headscribe.text.passages import Passage

Completing = Callable[
    [Sequence[str]], AbstractContextManager[Callable[[Sequence[Passage]], Sequence[Passage]]]
]
"""From the texts in the order of their use to what gives passages their words."""


COMPANION = "companion/"
"""What the names of a companion's arrays begin with."""


def run_stored(
    engine: Engine, completing: Completing, run: Run, on_progress: OnProgress
) -> Progress:
    """All sums of a survey; stored now and then, and when something stops it."""
    total = engine.total_texts()

    def compute(unfinished: Unfinished) -> Progress:
        kept = unfinished.read()
        heads = engine.source.layers * engine.source.heads
        progress = engine.start()
        if kept is not None:
            found = progress_of(kept, heads, run.folder / STAGES)
            progress = replace(found, companion=progress.companion)
            read_back(progress, kept, run.folder / STAGES)

        def after_batch(now: Progress, done: int) -> None:
            on_progress("scoring", done, total)
            unfinished.keep(lambda: arrays_of(now))

        with completing(engine.order(progress)) as engine.complete:
            try:
                engine.run(progress, after_batch)
            except (KeyboardInterrupt, HeadscribeError):
                if progress.whole:  # else a batch is counted in part: the last store stands
                    unfinished.keep(lambda: arrays_of(progress), now=True)
                raise
        return progress

    return run.stage("sums", compute)


def arrays_of(progress: Progress) -> dict[str, np.ndarray]:
    """Everything that a progress holds; the sums are not copied."""
    table = table_of(progress.examples)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    own = {} if progress.companion is None else progress.companion.arrays()
    return (
        progress.sums.arrays()
        | progress.relations.arrays()
        | {f"{COMPANION}{name}": values for name, values in own.items()}
        | {
            "position": np.array([progress.phase, progress.batches]),
            "examples": np.frombuffer(sink.getvalue(), np.uint8),
        }
    )


def progress_of(arrays: dict[str, np.ndarray], heads: int, where: Path) -> Progress:
    """Read back what `arrays_of` gave, for so many heads in all.

    Raises:
        RunError: a sum is missing.
    """
    phase, batches = (int(number) for number in arrays["position"])
    with pa.ipc.open_stream(pa.py_buffer(arrays["examples"].tobytes())) as reader:
        examples = rows_of(reader.read_all())
    sums = Accumulators.from_arrays(arrays, where)
    return Progress(sums, RelationSums.from_arrays(arrays, heads), examples, phase, batches)


def read_back(progress: Progress, arrays: dict[str, np.ndarray], where: Path) -> None:
    """Add to the companion of a progress what `arrays_of` gave of another's.

    Raises:
        RunError: it was kept by another version.
    """
    if progress.companion is not None:
        own = {
            name.removeprefix(COMPANION): values
            for name, values in arrays.items()
            if name.startswith(COMPANION)
        }
        try:
            progress.companion.add(own)
        except RunError as error:
            raise RunError(f"{where}: {error}: remove it, and --resume begins anew") from error
