"""How long work shows how far it is: a bar on a terminal or in a notebook, elsewhere lines."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from headscribe.core.progress import OnProgress

FIRST_LINE, NEXT_LINE = 10.0, 30.0
"""Seconds until the first line, and between two, where nobody sees a bar."""


@contextmanager
def shown(on_progress: OnProgress | None, *, stages: bool = False) -> Iterator[OnProgress]:
    """What is called with the progress: the function given, or one that shows it.

    Work within work (a survey of a demonstration) gives its own function on, so that there is one
    bar a process. With `stages` every new stage has a line at once, where there are lines.
    """
    if on_progress is not None:
        yield on_progress
    elif _in_notebook():
        with _notebook() as show:
            yield show
    elif sys.stderr.isatty():
        with _terminal() as show:
            yield show
    else:
        yield Lines(stages=stages)


class Lines:
    """A line on stderr now and then, for logs and pipes: quick work says nothing."""

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, stages: bool = False
    ) -> None:
        self._clock, self._stages = clock, stages
        self._begun: set[str] = set()
        self._due = clock() + FIRST_LINE

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say where the work is, if it was silent for long."""
        now = self._clock()
        new = self._stages and stage not in self._begun
        self._begun.add(stage)
        if new or now >= self._due:
            self._due = now + NEXT_LINE
            counted = f" {done} of {total}" if total > 1 else ""
            print(f"headscribe: {stage}{counted}", file=sys.stderr, flush=True)


@contextmanager
def _terminal() -> Iterator[OnProgress]:
    """A bar with a rate and the remaining time for each stage, on stderr."""
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

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total, rate="")
            speed = bars.tasks[tasks[stage]].speed
            rate = f"{speed:.1f}/s" if speed else ""
            bars.update(tasks[stage], completed=done, total=total, rate=rate)

        yield show


def _in_notebook() -> bool:
    """Whether a notebook runs this; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return type(shell).__name__ == "ZMQInteractiveShell"


@contextmanager
def _notebook() -> Iterator[OnProgress]:
    """One line of HTML with a bar, which is gone at the end."""
    from html import escape

    from IPython import display

    handle: Any = display.display(display.HTML(""), display_id=True)  # type: ignore[no-untyped-call]
    due = 0.0

    def show(stage: str, done: int, total: int) -> None:
        nonlocal due
        now = time.monotonic()
        if now >= due or done == total:
            due = now + 0.2
            handle.update(
                display.HTML(  # type: ignore[no-untyped-call]
                    f"<progress value='{done}' max='{max(total, 1)}'></progress> "
                    f"{escape(stage)} {done} of {total}"
                )
            )

    try:
        yield show
    finally:
        handle.update(display.HTML(""))  # type: ignore[no-untyped-call]
