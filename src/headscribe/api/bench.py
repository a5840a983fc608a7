"""The exam: models whose heads are known, marked on one sheet."""

from typing import TYPE_CHECKING

from headscribe.api.progress import shown
from headscribe.api.requests import BenchRequest
from headscribe.core.errors import unknown_name
from headscribe.results.requests import verb

if TYPE_CHECKING:
    from headscribe.exam.sheet import Sheet


@verb(BenchRequest)
def bench(request: BenchRequest) -> "Sheet":
    """Fit and name heads whose truth is known, and mark what is said of them.

    `hs.bench()` takes minutes, `hs.bench(models="shift_right,reverse", seeds=0)` a few seconds.

    >>> import headscribe as hs
    >>> hs.bench(models="shift_rigth")
    Traceback (most recent call last):
        ...
    headscribe.core.errors.UsageError: ...shift_right...

    Raises:
        UsageError: an unknown model.
    """
    from headscribe.exam.material import KINDS, known
    from headscribe.exam.sheet import examine

    every = {model.name: model for kind in KINDS for model in known(kind)}
    asked = request.models
    names = [*every] if asked is None else asked.split(",") if isinstance(asked, str) else asked
    for name in names:
        if name not in every:
            raise unknown_name("model of the exam", name, list(every))
    with shown(request.on_progress) as on_progress:
        return examine(
            [every[name] for name in names], known("compiled"), request.seeds, on_progress
        )
