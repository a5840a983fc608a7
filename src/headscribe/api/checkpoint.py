"""What an interrupted survey goes on from: its sums, stored now and then and when it stops."""

from typing import TYPE_CHECKING

from headscribe.core.errors import HeadscribeError
from headscribe.core.progress import OnProgress
from headscribe.models.inputs import Inputs
from headscribe.results.run import STAGES, Run, Unfinished

if TYPE_CHECKING:
    from headscribe.scoring.engine import Engine, Progress


def run_stored(
    engine: "Engine", inputs: Inputs, run: Run, workers: int | None, on_progress: OnProgress
) -> "Progress":
    """All sums of a survey; stored now and then, and when something stops it."""
    from headscribe.scoring.state import arrays_of, progress_of

    total = engine.total_texts()

    def compute(unfinished: Unfinished) -> "Progress":
        kept = unfinished.read()
        heads = engine.source.layers * engine.source.heads
        progress = engine.start() if kept is None else progress_of(kept, heads, run.folder / STAGES)

        def after_batch(now: "Progress", done: int) -> None:
            on_progress("scoring", done, total)
            unfinished.keep(lambda: arrays_of(now))

        with inputs.completing(engine.order(progress), workers, on_progress) as engine.complete:
            try:
                engine.run(progress, after_batch)
            except (KeyboardInterrupt, HeadscribeError):
                if progress.whole:  # else a batch is counted in part: the last store stands
                    unfinished.keep(lambda: arrays_of(progress), now=True)
                raise
        return progress

    return run.stage("sums", compute)
