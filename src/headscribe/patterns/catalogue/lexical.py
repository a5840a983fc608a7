"""Lexical patterns: what the tokens themselves say, without a parse."""

from typing import TYPE_CHECKING

from headscribe.patterns.relational import relation_pattern

if TYPE_CHECKING:
    from headscribe.patterns.registry import Registry

OLSSON = "Olsson et al. 2022"
WANG = "Wang et al. 2023, duplicate-token heads"
VOITA = "Voita et al. 2019"
CLARK = "Clark et al. 2019"
CORREIA = "Correia et al. 2019"
HERE = "Headscribe"

FUNCTION_WORDS = (
    '"a", "an", "and", "as", "at", "but", "by", "for", "from", "had", "in", "is", "it", "of", '
    '"on", "that", "the", "to", "was", "with"'
)
"""The twenty members that a literal set may have, among the most frequent words of English."""

_ENTRIES: tuple[tuple[str, str | None, str, str, str], ...] = (
    ("repetition_with_self", None,
     "Every token attends to all tokens of its kind, itself included.",
     "key.id == query.id and not query.is_special", WANG),
    ("last_occurrence", "next_occurrence",
     "Repeated tokens attend to their last occurrence before.",
     "last(key.id == query.id and distance < 0 and not query.is_special)", WANG),
    ("next_occurrence", "last_occurrence",
     "Tokens that are repeated later attend to their next occurrence.",
     "first(key.id == query.id and distance > 0 and not query.is_special)", WANG),
    ("induction", None,
     "Repeated tokens attend to the tokens that came after their earlier occurrences.",
     "key.prev.id == query.id and distance < 0 and not query.is_special",
     f"{OLSSON}: induction heads"),
    ("induction:before", None,
     "Repeated tokens attend to the tokens that came before their earlier occurrences.",
     "key.next.id == query.id and distance < -1 and not query.is_special",
     f"{OLSSON}; the reading as attention to what preceded the match"),
    ("induction:two", None,
     "Repeated pairs of tokens attend to the tokens that came after their earlier occurrences.",
     "key.prev.id == query.id and key.prev.prev.id == query.prev.id and distance < 0",
     f"{OLSSON}: induction heads, two tokens of context"),
    ("next_punctuation", "last_punctuation", "Every token attends to the next punctuation token.",
     "first(key.is_punct and distance > 0)", CLARK),
    ("last_punctuation", "next_punctuation",
     "Every token attends to the last punctuation token before it.",
     "last(key.is_punct and distance < 0)", CLARK),
    ("all_punctuation", None, "Every token attends to all punctuation.", "key.is_punct", CLARK),
    ("same_clause", None,
     "Every token attends to the tokens of its clause: no punctuation mark stands between.",
     "key.clause == query.clause and not key.is_special and not query.is_special", HERE),
    ("to_opening", "to_closing", "A closing bracket or quote attends to the one that opened it.",
     "key.index == query.opening", HERE),
    ("to_closing", "to_opening", "An opening bracket or quote attends to the one that closes it.",
     "key.opening == query.index and distance > 0", HERE),
    ("same_form", None,
     "Every token attends to the other tokens that are spelled alike, capitals aside.",
     "key.lower == query.lower and distance != 0", WANG),
    ("rare_words", None,
     "Every token attends to the rarest visible token, that of the highest vocabulary rank.",
     "highest(key.id * (not key.is_special))",
     f"{VOITA}; rarity read off the rank in the vocabulary"),
    ("capitalised", None, "Every token attends to the tokens that begin with a capital letter.",
     "key.is_upper", HERE),
    ("numbers", None, "Every token attends to the numbers.", "key.is_digit", HERE),
    ("line_breaks", None, "Every token attends to the line breaks.", "key.is_line_break", HERE),
    ("function_words", None, "Every token attends to the frequent function words of English.",
     f"key.lower in {{{FUNCTION_WORDS}}}", HERE),
    ("to_word_start", "to_continuation",
     "Subwords that continue a word attend to its first subword.",
     "key.run == query.run and key.is_word_start and distance < 0", CORREIA),
    ("to_continuation", "to_word_start",
     "The first subword of a word attends to those that continue it.",
     "key.run == query.run and query.is_word_start and distance > 0", CORREIA),
    ("same_word", None, "Every subword attends to the other subwords of its word.",
     "key.run == query.run and distance != 0", CORREIA),
)  # fmt: skip


def register(registry: "Registry") -> None:
    """Register the lexical patterns."""
    for name, mirror, sentence, relation, source in _ENTRIES:
        registry.register(
            relation_pattern(name, sentence, relation, source, "lexical", mirror=mirror)
        )
