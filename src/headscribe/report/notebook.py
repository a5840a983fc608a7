"""A report within a notebook: the whole page in a frame of its own."""

from collections.abc import Sequence
from html import escape

from headscribe.report.page import page
from headscribe.results.run import Run

HEIGHT = 780
"""Pixels of the frame; the page scrolls within it."""


def frame(runs: Sequence[Run], height: int = HEIGHT) -> str:
    """Runs as an element that a notebook shows.

    The frame is sandboxed: its script runs, offers files to save, and can reach neither the
    notebook nor a network.
    """
    content = escape(page(runs), quote=True)
    return (
        f'<iframe title="Headscribe report" sandbox="allow-scripts allow-downloads" '
        f'style="width:100%;height:{height}px;border:1px solid #8888;border-radius:8px" '
        f'srcdoc="{content}"></iframe>'
    )
