"""Kinds of run: each registered once, with all that the rest of the program asks about it.

A package adds a kind by an entry point of the group `headscribe.kinds` that names a `Kind`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from headscribe.core.errors import UsageError, unknown_name
from headscribe.core.extensions import extensions

ENTRY_POINTS = "headscribe.kinds"
"""The entry point group by which other packages add kinds."""


@dataclass(frozen=True)
class Kind:
    """A kind of run.

    Places in the code are written `module:name`, so that asking about a kind imports nothing.

    Attributes:
        name: what `run.json` calls it, such as `survey`.
        view: the class whose `view(run)` a user holds, see `headscribe.api.views.View`.
        telling: the table by which a run of it is known when its `run.json` is damaged.
        subject: what its content is called in the document of a report.
        parts: the parts of a report, functions of the run by their names; empty: it is shown by
            its facts alone.
        single: a report shows one run of it for each model; several where False.
    """

    name: str
    view: str
    telling: str
    subject: str = ""
    parts: tuple[str, ...] = field(default=())
    single: bool = False

    def view_class(self) -> Any:  # noqa: ANN401
        """The class of the view."""
        return _place(self.view)

    def report_parts(self) -> Mapping[str, Any]:
        """The parts of a report, by name."""
        found: dict[str, Any] = {}
        for place in self.parts:
            found |= _place(place)
        return found


_PARTS = "headscribe.report.parts"

_VIEWS = "headscribe.api"

BUILT_IN = (
    Kind(
        "survey", f"{_VIEWS}.survey:Survey", "scores", "survey",
        (f"{_PARTS}.survey:PARTS", f"{_PARTS}.examples:PARTS"), single=True,
    ),
    Kind(
        "fit", f"{_VIEWS}.fit:Fit", "formulas", "fit",
        (f"{_PARTS}.fit:PARTS", f"{_PARTS}.examples:PARTS"), single=True,
    ),
    Kind(
        "replacement", f"{_VIEWS}.replace:Replacement", "replacement", "replacement",
        (f"{_PARTS}.replacement:PARTS",),
    ),
    Kind(
        "discover", f"{_VIEWS}.discover:Discovery", "discoveries", "discovery",
        (f"{_PARTS}.discovery:PARTS", f"{_PARTS}.examples:PARTS"),
    ),
    Kind("describe", f"{_VIEWS}.describe:Descriptions", "descriptions", "descriptions"),
    Kind(
        "explain", f"{_VIEWS}.explain:Explained", "cards", "explanation",
        (f"{_PARTS}.explanation:PARTS",), single=True,
    ),
    Kind(
        "effects", f"{_VIEWS}.effects:Effects", "effects", "effects",
        (f"{_PARTS}.effects:PARTS",), single=True,
    ),
    Kind(
        "probe", f"{_VIEWS}.probe:Probed", "probes", "probes", (f"{_PARTS}.probes:PARTS",),
        single=True,
    ),
    Kind("hints", f"{_VIEWS}.hints:Hints", "rates", "hints", (f"{_PARTS}.hints:PARTS",)),
)  # fmt: skip

_registered: dict[str, Kind] = {kind.name: kind for kind in BUILT_IN}


def register_kind(kind: Kind) -> Kind:
    """Add a kind of run.

    Raises:
        UsageError: another kind has its name.
    """
    if _registered.get(kind.name, kind) != kind:
        raise UsageError(f"a kind of run {kind.name} exists already: choose another name")
    _registered[kind.name] = kind
    return kind


def kinds() -> dict[str, Kind]:
    """Every kind by its name: the built-in ones, then what installed packages add."""
    for kind in extensions(ENTRY_POINTS, Kind).values():
        register_kind(kind)
    return dict(_registered)


def kind_named(name: str) -> Kind:
    """The kind of a name.

    Raises:
        UsageError: there is none; suggests similar names.
    """
    known = kinds()
    if name not in known:
        raise unknown_name("kind of run", name, list(known))
    return known[name]


def _place(where: str) -> Any:  # noqa: ANN401
    module, _, name = where.partition(":")
    return getattr(import_module(module), name)
