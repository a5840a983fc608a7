"""Patterns from files: relations, one a line, or Python that is trusted.

A file of relations reads

    # A noun attends to its determiners.
    determiner_of: key.head == query.word and key.dep == "det"

The comment directly above a pattern is its sentence; indented lines carry a relation on.
"""

import runpy
from pathlib import Path

from headscribe.core.errors import RunError, UsageError
from headscribe.core.files import lines_of
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import Registry, registry
from headscribe.patterns.relational import RelationPattern, relation_pattern


def load_patterns(path: Path, *, trust: bool = False) -> tuple[Pattern, ...]:
    """Register the patterns of a file and return them.

    Args:
        path: a file of relations, or a Python file that uses the `pattern` decorator.
        trust: run a Python file, with all that it may do.

    Raises:
        UsageError: no such file, a Python file without trust, a malformed line (named by number),
            a name that is taken.
        RunError: the Python file fails.
    """
    if not path.is_file():
        raise UsageError(f"expected a file of patterns, {path} is none")
    if path.suffix == ".py":
        return _run(path, trust)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: expected UTF-8 text: {error}") from None
    patterns = read_relations(text, str(path))
    register_all(registry(), patterns)
    return patterns


def register_all(where: Registry, found: tuple[RelationPattern, ...]) -> None:
    """Register all of `found`, or none if a name is taken."""
    for pattern in found:
        if pattern.name in where:
            raise UsageError(f"{pattern.source}: a pattern `{pattern.name}` exists already")
    for pattern in found:
        where.register(pattern)


def read_relations(text: str, where: str) -> tuple[RelationPattern, ...]:
    """Read the patterns of a file of relations.

    Raises:
        UsageError: a malformed line, an empty file, or a name used twice; says where.
    """
    patterns: dict[str, RelationPattern] = {}
    comment: list[str] = []
    lines = lines_of(text)
    number = 0
    while number < len(lines):
        line, first = lines[number], number + 1
        number += 1
        if line.startswith("#"):
            comment.append(line.lstrip("#").strip())
            continue
        if not line.strip():
            comment = []
            continue
        name, colon, relation = line.partition(": ")
        if not colon or line[0].isspace():
            raise UsageError(f"{where}, line {first}: expected `name: relation`, got {line[:60]!r}")
        while number < len(lines) and lines[number][:1].isspace() and lines[number].strip():
            relation += " " + lines[number].strip()
            number += 1
        sentence = " ".join(comment) or f"Where {relation.strip()}."
        comment = []
        name = name.strip()
        try:
            made = relation_pattern(name, sentence, relation.strip(), where, "custom", "custom")
        except UsageError as error:
            raise UsageError(f"{where}, line {first}: {error}") from None
        if name in patterns:
            raise UsageError(f"{where}, line {first}: `{name}` stands in the file twice")
        patterns[name] = made
    if not patterns:
        raise UsageError(f"{where}: expected lines `name: relation`, found none")
    return tuple(patterns.values())


def _run(path: Path, trust: bool) -> tuple[Pattern, ...]:
    if not trust:
        raise UsageError(
            f"{path} is Python, which may do anything; read it, then say --trust, or write "
            "relations in a text file"
        )
    before = {pattern.name: pattern for pattern in registry()}
    try:
        runpy.run_path(str(path))
    except (ImportError, NameError, SyntaxError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} fails: {type(error).__name__}: {error}") from error
    patterns = tuple(pattern for pattern in registry() if before.get(pattern.name) is not pattern)
    if not patterns:
        raise UsageError(f"{path} registers no pattern; use the `headscribe.pattern` decorator")
    return patterns
