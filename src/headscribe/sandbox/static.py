"""The static check: mistakes in a program, found before it runs. It gives no security.

What nobody trusts is not even parsed in the caller's process: `inside.source` reads it in a process
of its own, of which the kernel keeps the time and the memory.
"""

import json
import subprocess
from dataclasses import dataclass
from functools import lru_cache

from headscribe.core.errors import RunError
from headscribe.core.visible import visible_line
from headscribe.sandbox.inside.failures import MESSAGE_CHARACTERS, Failure
from headscribe.sandbox.inside.source import MEMORY, SECONDS
from headscribe.sandbox.interpreter import answered, command

LONGEST_PROGRAM = 20_000
"""Characters of source."""

_PATIENCE = 60.0
"""Seconds of wall time, for machines that are busy beyond measure."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a program's text says: its first mistake, the word columns it names, its docstring."""

    problem: str
    needs: frozenset[str] = frozenset()
    sentence: str | None = None


def check(code: str) -> Failure | None:
    """The first mistake of a program (kind `static`), or None.

    It must parse, define `attention` with one parameter at its top level, import only
    `inside.given.MODULES`, write out every name it reads, and use neither files nor names that
    begin with two underscores. Clear words for an honest mistake; who wants to get around it can,
    and then meets the sandbox.

    >>> print(check("def attention(p): return open('x')"))
    static: line 1: `open` is not for programs, which compute a matrix and nothing else

    Raises:
        RunError: no process can be started.
    """
    problem = read(code).problem
    return None if not problem else Failure("static", visible_line(problem, MESSAGE_CHARACTERS))


def needed_fields(code: str) -> frozenset[str]:
    """The word columns of an annotator that a program names; it is shown no others."""
    return read(code).needs


def sentence_of(code: str) -> str | None:
    """The first line of the docstring of `attention`, if it has one."""
    sentence = read(code).sentence
    return None if not sentence else visible_line(sentence, MESSAGE_CHARACTERS)


@lru_cache(maxsize=1024)
def read(code: str) -> Reading:
    """Read a program's text, within bounds of time and memory.

    Raises:
        RunError: no process can be started.
    """
    if len(code) > LONGEST_PROGRAM:
        return Reading(f"expected at most {LONGEST_PROGRAM} characters, got {len(code)}")
    try:
        text = code.encode("utf-8", "surrogatepass")
        written, status = answered(command("source"), text, _PATIENCE)
    except OSError as error:
        raise RunError(f"the process that reads programs did not start: {error}") from error
    except subprocess.TimeoutExpired:
        return Reading(f"takes more than {_PATIENCE:g} s to compile")
    if status:
        bounds = f"more than {SECONDS} s or {MEMORY >> 20} MB"
        return Reading(f"nested too deeply, or takes {bounds}, to be compiled")
    said = json.loads(written)
    return Reading(said["problem"], frozenset(said.get("needs", ())), said.get("sentence"))
