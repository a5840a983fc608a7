"""Word classes: sets of up to 200 words with a name and a rule, which formulas print by their name.

In a relation a class is its set of words; `key.lower in judgement` is how people write and read it.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from headscribe.core.errors import UsageError
from headscribe.relations import parse

LARGEST = 200
"""Words of a class, at most."""

NAME = r"[a-z][a-z0-9_]{1,39}"

_NAMED = re.compile(rf"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|\bin\s+({NAME})\b""")
_LINE = re.compile(rf"\s*where ({NAME}) is (.*): (\{{.*\}})\s*")


@dataclass(frozen=True)
class WordClass:
    """A named class of words.

    Attributes:
        name: how relations call it, `judgement`.
        rule: which words belong to it, in words, on one line.
        words: the words, lower case, sorted.
    """

    name: str
    rule: str
    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(NAME, self.name):
            raise UsageError(
                f"expected the name of a class in lower case letters, digits and underscores, got "
                f"{self.name[:60]!r}"
            )
        if not 2 <= len(self.words) <= LARGEST:
            raise UsageError(
                f"class {self.name}: expected 2 to {LARGEST} words, got {len(self.words)}"
            )
        rule, words = " ".join(self.rule.split()), tuple(sorted(set(self.words)))
        object.__setattr__(self, "rule", rule)
        object.__setattr__(self, "words", words)

    @property
    def members(self) -> str:
        """The set as relations hold it: `{"bad", "good"}`."""
        written = ", ".join(json.dumps(word, ensure_ascii=False) for word in self.words)
        found = parse(f"key.lower in {{{written}}}").source
        return found.removeprefix("key.lower in ")

    def __str__(self) -> str:
        return f"where {self.name} is {self.rule}: {self.members}"

    @classmethod
    def of_line(cls, line: str) -> "WordClass | None":
        """Read what `str` gave; None where a line is no class."""
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        words = re.findall(r'"(?:[^"\\]|\\.)*"', match[3])
        return cls(match[1], match[2], tuple(json.loads(word) for word in words))


def spelled_out(relation: str, classes: Sequence[WordClass]) -> str:
    """A relation with the words of its classes in the place of their names.

    Raises:
        UsageError: a class that nobody defined; says which there are.
    """
    known = {word_class.name: word_class for word_class in classes}

    def members(match: re.Match[str]) -> str:
        if match[1]:  # a string literal stays as it is
            return match[0]
        if match[2] not in known:
            there = ", ".join(known) or "none"
            raise UsageError(f"`in {match[2]}`: expected a set or a class, classes are {there}")
        return f"in {known[match[2]].members}"

    return _NAMED.sub(members, relation)


def by_name(relation: str, classes: Sequence[WordClass]) -> str:
    """A relation with the names of its classes in the place of their words."""
    for word_class in classes:
        relation = relation.replace(f"in {word_class.members}", f"in {word_class.name}")
    return relation


def used(relations: Sequence[str], classes: Sequence[WordClass]) -> tuple[WordClass, ...]:
    """The classes that stand in any of some relations."""
    return tuple(c for c in classes if any(f"in {c.members}" in relation for relation in relations))
