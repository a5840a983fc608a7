"""Progress on stderr, and only where a person sees it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from headscribe.api.inputs import Reporter, silent


@contextmanager
def progress() -> Iterator[Reporter]:
    """A bar with a rate and the remaining time for each task; nothing unless on a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TaskID,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=Console(stderr=True)) as bars:

        def report(task: str, done: int, total: int) -> None:
            if task not in tasks:
                tasks[task] = bars.add_task(task, total=total, rate="")
            speed = bars.tasks[tasks[task]].speed
            rate = f"{speed:.1f}/s" if speed else ""
            bars.update(tasks[task], completed=done, total=total, rate=rate)

        yield report
