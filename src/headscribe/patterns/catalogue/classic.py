"""The classic patterns with their fall-backs, and beside each its honest variant without."""

from typing import TYPE_CHECKING

from headscribe.patterns.contract import Family
from headscribe.patterns.relational import Group, relation_pattern

if TYPE_CHECKING:
    from headscribe.patterns.registry import Registry

SLIDES = "exploratory slides on BERT and TinyStories"
CLARK = "Clark et al. 2019"

_FIRST = "first(key.index >= 0)"
_SELF = "distance == 0"
_WORD = "not query.is_special"
_LINK = "key.word == query.head or key.head == query.word"

Entry = tuple[str, Family, str | None, str, str]
"""Name, family, mirror, sentence, relation."""

_CLASSIC: tuple[Entry, ...] = (
    ("next_token", "positional", "previous_token",
     "Every token attends to the next one; special tokens and the last token to the first key.",
     f"otherwise(distance == 1 and {_WORD}, {_FIRST})"),
    ("previous_token", "positional", "next_token",
     "Every token attends to the previous one; special tokens to the first key.",
     f"otherwise(distance == -1 and {_WORD}, {_FIRST})"),
    ("same_token", "positional", None,
     "Every token attends to itself; special tokens to the first key.",
     f"otherwise(distance == 0 and {_WORD}, {_FIRST})"),
    ("punctuation", "lexical", "previous_punctuation",
     "Every token attends to all upcoming punctuation; where none is left to itself.",
     f"otherwise(key.is_punct and distance > 0, {_SELF})"),
    ("previous_punctuation", "lexical", "punctuation",
     "Every token attends to all earlier punctuation; where there is none to itself.",
     f"otherwise(key.is_punct and distance < 0, {_SELF})"),
    ("repetition", "lexical", None,
     "Every token attends to all tokens of its kind, itself included; special tokens to the "
     "first key.", f"otherwise(key.id == query.id and {_WORD}, {_FIRST})"),
    ("part_of_speech", "syntactic", None,
     "Every token attends to all other tokens of its part of speech; where there is none to "
     "itself.", f"otherwise(key.upos == query.upos and distance != 0, {_SELF})"),
    ("dependency", "syntactic", None,
     "Every word attends to its head and its children; where it has none to itself; special "
     "tokens to the first key.", f"otherwise({_LINK}, {_SELF} and {_WORD}, {_FIRST})"),
)  # fmt: skip

_HONEST: tuple[Entry, ...] = (
    ("next_token_only", "positional", "previous_token_only",
     "Every token that has a next one attends to it; special tokens are left out.",
     f"distance == 1 and {_WORD}"),
    ("previous_token_only", "positional", "next_token_only",
     "Every token that has a previous one attends to it; special tokens are left out.",
     f"distance == -1 and {_WORD}"),
    ("same_token_only", "positional", None,
     "Every token attends to itself; special tokens are left out.", f"distance == 0 and {_WORD}"),
    ("punctuation_only", "lexical", "previous_punctuation_only",
     "Tokens with punctuation ahead attend to all of it.", "key.is_punct and distance > 0"),
    ("previous_punctuation_only", "lexical", "punctuation_only",
     "Tokens with punctuation behind them attend to all of it.", "key.is_punct and distance < 0"),
    ("repetition_without_self", "lexical", None,
     "Tokens that occur more than once attend to their other occurrences.",
     f"key.id == query.id and distance != 0 and {_WORD}"),
    ("part_of_speech_only", "syntactic", None,
     "Tokens attend to all other tokens of their part of speech, where there are any.",
     "key.upos == query.upos and distance != 0"),
    ("dependency_only", "syntactic", None,
     "Words attend to their heads and their children, where they have any.", _LINK),
    ("to_head", "syntactic", "to_children",
     "Every word attends to its syntactic head; roots are left out.", "key.word == query.head"),
    ("to_children", "syntactic", "to_head",
     "Every word attends to its syntactic children, where it has any.", "key.head == query.word"),
)  # fmt: skip


def register(registry: "Registry") -> None:
    """Register the classic patterns and their honest variants."""
    both: tuple[tuple[Group, str, tuple[Entry, ...]], ...] = (
        ("classic", SLIDES, _CLASSIC),
        ("honest", f"{SLIDES}, without fall-backs", _HONEST),
    )
    for group, source, entries in both:
        for name, family, mirror, sentence, relation in entries:
            origin = (
                f"{CLARK}; {source}" if family == "syntactic" and "speech" not in name else source
            )
            registry.register(
                relation_pattern(name, sentence, relation, origin, family, group, mirror)
            )
