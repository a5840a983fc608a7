"""Sinks: keys that soak up attention; and gated variants, which do so where nothing else is due."""

from typing import TYPE_CHECKING

from headscribe.patterns.contract import Family
from headscribe.patterns.relational import relation_pattern

if TYPE_CHECKING:
    from headscribe.patterns.registry import Registry

CLARK = "Clark et al. 2019"
XIAO = "Xiao et al. 2024, attention sinks"
SLIDES = "exploratory slides on BERT and TinyStories"
EXPERIMENTS = "Headscribe's own experiments"

_REPEATED = "key.id == query.id and distance != 0 and not query.is_special"

_ENTRIES: tuple[tuple[str, Family, str, str, str], ...] = (
    ("bos", "sink", "All attention goes to the special token that opens the sequence.",
     "key.is_bos", XIAO),
    ("sep", "sink", "All attention goes to the special tokens after the first, such as [SEP].",
     "key.is_eos", CLARK),
    ("end", "sink", "All attention goes to the last visible token that is not special.",
     "last(not key.is_special)", SLIDES),
    ("special", "sink", "Attention is spread evenly over all special tokens.", "key.is_special",
     CLARK),
    ("punctuation_else_last", "lexical",
     "Every token attends to all upcoming punctuation; where none is left to the last key.",
     "otherwise(key.is_punct and distance > 0, last(key.index >= 0))", SLIDES),
    ("previous_punctuation_else_first", "lexical",
     "Every token attends to all earlier punctuation; where there is none to the first key.",
     "otherwise(key.is_punct and distance < 0, first(key.index >= 0))", SLIDES),
    ("repetition_else_sep", "lexical",
     "Repeated tokens attend to their other occurrences, all others to [SEP].",
     f"otherwise({_REPEATED}, key.is_eos)", EXPERIMENTS),
    ("repetition_else_first", "lexical",
     "Repeated tokens attend to their other occurrences, all others to the first key.",
     f"otherwise({_REPEATED}, first(key.index >= 0))", EXPERIMENTS),
    ("induction_else_first", "lexical",
     "Induction where a token has occurred before, elsewhere the first key.",
     "otherwise(key.prev.id == query.id and distance < 0 and not query.is_special, "
     "first(key.index >= 0))", "Olsson et al. 2022; " + XIAO),
    ("to_head_else_sep", "syntactic",
     "Every word attends to its syntactic head, roots and special tokens to [SEP].",
     "otherwise(key.word == query.head, key.is_eos)", CLARK),
)  # fmt: skip

_MIRRORS = {
    "punctuation_else_last": "previous_punctuation_else_first",
    "previous_punctuation_else_first": "punctuation_else_last",
}


def register(registry: "Registry") -> None:
    """Register the sinks and the gated variants, which read more than positions."""
    for name, family, sentence, relation, source in _ENTRIES:
        mirror = _MIRRORS.get(name)
        registry.register(relation_pattern(name, sentence, relation, source, family, mirror=mirror))
