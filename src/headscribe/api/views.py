"""What a user holds of a run: results are views of its directory, and a directory opens as one."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from headscribe.core.errors import UsageError, unknown_name
from headscribe.results.kinds import kind_named, kinds

if TYPE_CHECKING:
    from headscribe.results.run import Run

V = TypeVar("V", bound="View")


@dataclass(frozen=True, repr=False)
class View:
    """A run as a user holds it; every kind of run has a view of its own with more to ask.

    Attributes:
        run: the directory with all tables.
    """

    run: "Run"

    @classmethod
    def open(cls: type[V], folder: str | Path) -> V:
        """The view of a run directory.

        Raises:
            UsageError: there is no run, or one of another kind.
        """
        view = open_run(folder)
        if not isinstance(view, cls):
            raise UsageError(
                f"expected a run that opens as {cls.__name__} in {folder}, got one of "
                f"{view.run.kind}; headscribe report shows any, hs.open opens it"
            )
        return view

    @property
    def folder(self) -> Path:
        """Where the run lies."""
        return self.run.folder

    @property
    def tables(self) -> tuple[str, ...]:
        """The names of the run's tables; `frame` gives each."""
        return tuple(self.run.manifest["tables"])

    def frame(self, table: str, library: str = "pandas") -> Any:  # noqa: ANN401
        """A table of the run as a data frame.

        The columns of each are described in `docs/reference/run-directory.md`.

        Args:
            table: one of `tables`.
            library: `pandas`, or `polars`.

        Raises:
            UsageError: the run has no such table, or the library is not installed.
        """
        if table not in self.tables:
            raise unknown_name("table of this run", table, list(self.tables))
        arrow = self.run.table(table)
        try:
            if library == "pandas":
                import pandas  # noqa: F401  (what `to_pandas` needs)

                return arrow.to_pandas()
            if library == "polars":
                import polars

                return polars.from_arrow(arrow)
        except ImportError as error:
            raise UsageError(
                f"expected {library} for a frame, it is not installed: pip install {library}"
            ) from error
        raise unknown_name("library of data frames", library, ["pandas", "polars"])

    def fact(self, name: str) -> Any:  # noqa: ANN401
        """What `run.json` says once the run came to its end.

        Raises:
            UsageError: the run is unfinished.
        """
        if name not in self.run.manifest:
            state = "says no " + name if self.run.complete else "is unfinished: go on with --resume"
            raise UsageError(f"{self.folder} {state}")
        return self.run.manifest[name]

    def report(self, path: str | Path) -> Path:
        """Write the run as one HTML page that needs no network."""
        from headscribe.report.page import report

        return report([self.run], path)

    def _repr_html_(self) -> str:
        """The report of the run, as a notebook shows it."""
        from headscribe.report.notebook import frame

        return frame([self.run])

    def __repr__(self) -> str:
        parts = [self.run.manifest.get("model", {}).get("name"), *self._said()]
        if not self.run.complete:
            parts.append("unfinished")
        said = ", ".join(str(part) for part in parts if part)
        return f"<{type(self).__name__} of {said}; in {self.run.folder}>"

    def _said(self) -> Iterable[str]:
        """What the short form says besides the model."""
        texts = self.run.manifest.get("corpus") or {}
        if "texts" in texts:
            yield f"{texts['texts']} texts of {texts.get('name', 'an unnamed corpus')}"


def open_run(folder: str | Path) -> View:
    """Open the directory of a run, of whichever kind: a `Survey`, a `Fit`, ...

    >>> import headscribe as hs
    >>> from tempfile import mkdtemp
    >>> texts = ["The cat sat on the mat.", "The dog sat on the cat."]
    >>> made = hs.survey("bundled:stories", texts, patterns=["previous_token"], out=mkdtemp())
    >>> hs.open(made.folder).top("previous_token", k=2) == made.top("previous_token", k=2)
    True

    Raises:
        UsageError: there is no run, or this version knows no such kind.
        RunError: its `run.json` is damaged.
    """
    from headscribe.results.run import Run

    run = Run.open(folder)
    if run.kind not in kinds():
        raise UsageError(f"{folder} holds a run of {run.kind}, which nothing installed here opens")
    view: View = kind_named(run.kind).view_class()(run)
    return view
