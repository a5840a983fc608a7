"""Which patterns a survey scores: what was asked for, the baselines, and what must be left out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from headscribe.api.library import Programs
from headscribe.core.errors import UsageError
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import SETS, baselines, default_patterns, registry
from headscribe.patterns.relational import RelationPattern, own_pattern

LIBRARY = "library"
"""The set of patterns that the program library holds."""


@dataclass(frozen=True)
class Choice:
    """The patterns of a survey.

    Attributes:
        patterns: those that are scored; the fixed baselines are among them.
        skipped: what was left out of a set, by name, with the reason.
        descriptions: name, sentence, source, family and definition of each, for the record.
    """

    patterns: tuple[Pattern, ...]
    skipped: dict[str, str]
    descriptions: list[dict[str, str]]


def named_patterns(
    names: "str | Sequence[str | Pattern] | None", relations: Sequence[str]
) -> "list[str | Pattern] | None":
    """What is asked for: names between commas or in a list, and relations beside them.

    Returns:
        None for the default set alone. Relations come on top of the names, or of the default set.
    """
    asked: list[str | Pattern] = []
    if isinstance(names, str):
        asked += [name.strip() for name in names.split(",") if name.strip()]
        if not asked:
            raise UsageError("expected names of patterns between commas, got none")
    elif names is not None:
        asked += names
    if relations and names is None:
        asked.append("default")
    asked += [own_pattern(relation) for relation in relations]
    return asked or None


def choose_patterns(
    asked: "Sequence[str | Pattern] | None",
    provides: frozenset[str],
    causal: bool,
    programs: Programs = Programs(),  # noqa: B008  (frozen)
) -> Choice:
    """Resolve names, add the baselines, and leave out what cannot be scored.

    Args:
        asked: names of patterns or of sets, relations, or patterns; None: the default set.
        provides: the word fields that every passage has.
        causal: some layer hides later keys.
        programs: what `library` stands for.

    Raises:
        UsageError: an unknown name, or a pattern asked for by its own name that lacks its word
            fields or cannot apply to a causal model.
    """
    chosen: dict[str, Pattern] = {}
    by_name: set[str] = set()
    for item in asked if asked is not None else ["default"]:
        for pattern, named in _resolved(item, programs):
            if pattern.name in chosen and chosen[pattern.name] is not pattern:
                raise UsageError(f"two patterns are called `{pattern.name}`: rename one")
            chosen[pattern.name] = pattern
            if named:
                by_name.add(pattern.name)
    chosen |= {pattern.name: pattern for pattern in baselines() if pattern.name not in chosen}
    fixed = {pattern.name for pattern in baselines()}
    skipped: dict[str, str] = dict(programs.left_out)
    for name, pattern in list(chosen.items()):
        reason = _unfit(pattern, provides, causal)
        if reason is None or name in fixed:
            continue
        if name in by_name:
            raise UsageError(f"pattern {name} cannot be scored: {reason}")
        skipped[name] = reason
        del chosen[name]
    patterns = tuple(chosen.values())
    return Choice(patterns, skipped, [_description(pattern) for pattern in patterns])


def _resolved(item: "str | Pattern", programs: Programs) -> list[tuple[Pattern, bool]]:
    """The patterns that an item names, and whether it names each itself (not by a set)."""
    if not isinstance(item, str):
        if not hasattr(item, "predict"):
            raise UsageError(
                f"expected patterns, their names or relations, got {type(item).__name__}"
            )
        return [(item, True)]
    if item == LIBRARY:
        return [(pattern, False) for pattern in programs.patterns]
    if item in SETS:
        patterns = default_patterns() if item == "default" else registry().select([item])
        return [(pattern, False) for pattern in patterns]
    if item in registry():
        return [(registry().get(item), True)]
    if item.replace("_", "").replace("-", "").replace(":", "").isalnum():
        return [(registry().get(item), True)]  # a name that is none: raises with suggestions
    return [(own_pattern(item), True)]


def _unfit(pattern: Pattern, provides: frozenset[str], causal: bool) -> str | None:
    """Why a pattern cannot be scored here, None if it can."""
    missing = sorted(pattern.needs - provides)
    if missing and missing[-1].startswith("text."):
        return f"it needs {missing[-1]} of the texts: give them a column or key of that name"
    if missing:
        return (
            f"it needs {', '.join(missing)} of every word; give an annotator "
            "(--annotator bundled:en) or texts with gold words (.conllu)"
        )
    if causal and pattern.needs_later_keys:
        mirror = f"; its mirror image is {pattern.mirror}" if pattern.mirror else ""
        return f"it needs later keys, which a causal model hides{mirror}"
    return None


def _description(pattern: Pattern) -> dict[str, str]:
    found = {
        "name": pattern.name,
        "sentence": pattern.sentence,
        "source": pattern.source,
        "family": pattern.family,
        "looks_ahead": "yes" if pattern.looks_ahead else "no",
    }
    if isinstance(pattern, RelationPattern):
        return found | {"relation": str(pattern.relation), "group": pattern.group}
    from headscribe.fitting.formula import Formula
    from headscribe.sandbox import SandboxedProgram

    if isinstance(pattern, Formula):
        found["formula"] = json.dumps(pattern.to_json())
    elif isinstance(pattern, SandboxedProgram):
        found["program"] = pattern.code
    return found
