"""What a person sees of a run: figures, the HTML page, tables in the terminal.

Called, the package itself writes runs as one page: that `headscribe.report` is a folder of the code
must not hide the function of this name from users.

>>> import headscribe as hs
>>> callable(hs.report)
True
"""

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any


class _Report(ModuleType):
    """`headscribe.report` is a folder of the code, and what users call to write a page."""

    def __call__(self, runs: Iterable[Any] | Any, path: str | Path) -> Path:  # noqa: ANN401
        """Write runs as one HTML page that needs no network; see `report.page.report`."""
        from headscribe.report.page import report

        return report(runs, path)


sys.modules[__name__].__class__ = _Report
