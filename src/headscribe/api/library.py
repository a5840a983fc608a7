"""The program library of a user: where it lies, and its programs as patterns."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_data_path

from headscribe.core.errors import RunError, UsageError

if TYPE_CHECKING:
    from headscribe.discovery.library import Library
    from headscribe.patterns.contract import Pattern
    from headscribe.sandbox import Runner


def library_file(named: str | Path | None = None) -> Path:
    """The library's file: the one named, or `library.jsonl` in the user's own data folder."""
    if named is not None:
        return Path(named)
    return user_data_path("headscribe") / "library.jsonl"


def known_programs(file: Path) -> "Library":
    """The programs of a library; none where there is no such file yet.

    Raises:
        UsageError: the folder that it should lie in cannot be made.
        RunError: a damaged line; names it.
    """
    from headscribe.discovery.library import Library

    if file.is_file():
        return Library.read(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make the folder {file.parent}: {error.strerror}") from error
    return Library()


@dataclass(frozen=True)
class Programs:
    """A library's programs as patterns.

    Attributes:
        patterns: those that can run.
        left_out: the others by name, with the reason.
    """

    patterns: "tuple[Pattern, ...]" = ()
    left_out: dict[str, str] = field(default_factory=dict)


@contextmanager
def library_patterns(named: str | Path | None, trust: bool = False) -> Iterator[Programs]:
    """The programs of a library as patterns, while the sandbox for those in Python is open.

    Where the sandbox is not in force, programs in Python are left out with the reason.

    Args:
        named: the library's file; None: the user's own.
        trust: run programs in Python in this process, without a sandbox.

    Raises:
        UsageError: there is no library, or nothing in it.
        RunError: a damaged line; names it.
    """
    from headscribe.discovery.library import Library

    file = library_file(named)
    if not file.is_file():
        raise UsageError(
            f"expected a library of programs in {file}, found none: `headscribe discover` makes "
            "one, --library FILE names another"
        )
    library = Library.read(file)
    if not library.entries:
        raise UsageError(f"expected programs in {file}, found none")
    python = any(entry.program["kind"] == "python" for entry in library.entries)
    with opened_runner(python, trust) as (runner, reason):
        patterns, left_out = [], {}
        for entry in library.entries:
            try:
                pattern = entry.pattern(runner)
            except UsageError as error:
                left_out[entry.name] = str(error)
                continue
            if pattern is None:
                left_out[entry.name] = reason
            else:
                patterns.append(pattern)
        yield Programs(tuple(patterns), left_out)


@contextmanager
def opened_runner(wanted: bool, trust: bool) -> "Iterator[tuple[Runner | None, str]]":
    """What runs Python programs, or None and why; closed at the end.

    Args:
        wanted: whether there may be any to run.
        trust: run them in this process.
    """
    from headscribe.sandbox import Sandbox, Trusted

    if not wanted:
        yield None, "no program in Python was expected"
        return
    if trust:
        yield Trusted(), ""
        return
    try:
        sandbox = Sandbox()
    except RunError as error:
        yield None, str(error)
        return
    with sandbox:
        yield sandbox, ""
