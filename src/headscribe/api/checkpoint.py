"""What an interrupted survey goes on from: its sums, stored now and then and when it stops."""

import time
from typing import TYPE_CHECKING

from headscribe.api.inputs import Reporter
from headscribe.core.errors import HeadscribeError
from headscribe.results.run import Run

if TYPE_CHECKING:
    from headscribe.scoring.engine import Engine, Progress

STORE_EVERY = 10.0
"""Least seconds between two stores of an unfinished survey's sums."""

STORE_SHARE = 0.01
"""The share of a survey's time that stores may take: large sums are stored less often."""


def run_stored(engine: "Engine", progress: "Progress", run: Run, report: Reporter) -> None:
    """Run to the end; store the sums now and then, and when something stops the run."""
    total = engine.total_texts()
    due = time.monotonic() + STORE_EVERY

    def after_batch(now: "Progress", done: int) -> None:
        nonlocal due
        report("scoring", done, total)
        began = time.monotonic()
        if began > due:
            _store(run, now)
            ended = time.monotonic()
            due = ended + max(STORE_EVERY, (ended - began) / STORE_SHARE)

    try:
        engine.run(progress, after_batch)
    except (KeyboardInterrupt, HeadscribeError):
        if progress.whole:
            _store(run, progress)
        raise


def _store(run: Run, progress: "Progress") -> None:
    from headscribe.scoring.state import arrays_of

    run.write_state(arrays_of(progress))


def restored(engine: "Engine", run: Run) -> "Progress":
    """The state that an unfinished run stored, or the start if it was stopped before that."""
    from headscribe.scoring.state import progress_of

    state = run.read_state()
    if state is None:
        return engine.start()
    heads = engine.source.layers * engine.source.heads
    return progress_of(state, heads, run.folder / "state.npz")
