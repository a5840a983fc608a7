"""A page on which a person types a text and sees what every head does with it.

Called, the package itself opens a model: see `headscribe.explore.server.explore`.

>>> import headscribe as hs
>>> with hs.explore("bundled:stories") as page:
...     page.address.startswith("http://127.0.0.1:")
True
"""

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headscribe.explore.server import Served


class _Explore(ModuleType):
    """`headscribe.explore` is a folder of the code, and what users call to open a page."""

    def __call__(self, model: Any, runs: Iterable[Any] = (), **options: Any) -> "Served":  # noqa: ANN401
        """Open a model on a page; see `server.explore`."""
        from headscribe.explore.server import explore

        return explore(model, runs, **options)


sys.modules[__name__].__class__ = _Explore
