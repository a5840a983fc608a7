"""Positional patterns: offsets, windows, boundaries; and the fixed baselines."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from headscribe.patterns.contract import Family
from headscribe.patterns.relational import relation_pattern

if TYPE_CHECKING:
    from headscribe.patterns.registry import Registry

OFFSETS = range(-5, 6)
WINDOWS = (1, 2, 4, 8)
HERE = "Headscribe"
CLARK = "Clark et al. 2019"
RAGANATO = "Raganato and Tiedemann 2018"

Entry = tuple[str, str | None, str, str, str]
"""Name, mirror, sentence, relation, source."""

_BOUNDARIES = ("sentence", "previous_sentence", "next_sentence", "word")
"""How the names of patterns at the boundaries of words and sentences begin."""

_BASELINES = (
    ("uniform", "Attention is spread evenly over all visible keys.", "key.index >= 0"),
    ("first_token", "All attention goes to the first visible key.", "first(key.index >= 0)"),
    ("last_token", "All attention goes to the last visible key.", "last(key.index >= 0)"),
    ("self", "Every token attends to itself.", "distance == 0"),
    ("previous", "Every token attends to the previous one; the first to itself.",
     "otherwise(distance == -1, distance == 0)"),
    ("next", "Every token attends to the next one; the last to itself.",
     "otherwise(distance == 1, distance == 0)"),
)  # fmt: skip

_OTHERS: tuple[Entry, ...] = (
    ("sentence_start", None, "Every token attends to the first token of its sentence.",
     "first(key.sentence == query.sentence)", "Kovaleva et al. 2019"),
    ("previous_sentence_end", "next_sentence_start",
     "Every token attends to the last token of the sentence before its own.",
     "last(key.sentence < query.sentence)", RAGANATO),
    ("next_sentence_start", "previous_sentence_end",
     "Every token attends to the first token of the sentence after its own.",
     "first(key.sentence > query.sentence and distance > 0)", RAGANATO),
    ("word_start", "word_end", "Every token attends to the first subword of its word.",
     "key.run == query.run and key.is_word_start", "Correia et al. 2019"),
    ("word_end", "word_start", "Every token attends to the last visible subword of its word.",
     "last(key.run == query.run)", "Correia et al. 2019"),
    ("decay", None,
     "Attention falls off with the distance, to either side, as 1 / (1 + |distance|).",
     "1 / (1 + abs(distance))", "Press et al. 2022, ALiBi, with a power law"),
    ("decay:left", "decay:right",
     "Attention falls off with the distance to earlier tokens, as 1 / (1 + |distance|).",
     "(distance <= 0) / (1 - distance)", "Press et al. 2022, ALiBi, with a power law"),
    ("decay:right", "decay:left",
     "Attention falls off with the distance to later tokens, as 1 / (1 + |distance|).",
     "(distance >= 0) / (1 + distance)", "Press et al. 2022, ALiBi, with a power law"),
)  # fmt: skip


def _offset(offset: int) -> Entry:
    count = f"{abs(offset)} token{'s' * (abs(offset) != 1)}"
    way = f"{count} {'after' if offset > 0 else 'before'} it" if offset else "itself"
    return (
        f"offset:{offset}", f"offset:{-offset}" if offset else None,
        f"Every token attends to {'the one ' * (offset != 0)}{way}.", f"distance == {offset}",
        f"Voita et al. 2019; {CLARK}",
    )  # fmt: skip


def _windows(size: int) -> Iterator[Entry]:
    source = "Raganato et al. 2020"
    yield (f"window:{size}", None,
           f"Every token attends evenly to itself and {size} on either side.",
           f"abs(distance) <= {size}", source)  # fmt: skip
    if size > 1:
        left, right = f"window:left:{size}", f"window:right:{size}"
        said = f"Every token attends evenly to the {size} tokens"
        yield left, right, f"{said} before it.", f"-{size} <= distance < 0", source
        yield right, left, f"{said} after it.", f"0 < distance <= {size}", source


def register(registry: "Registry") -> None:
    """Register the fixed baselines and the positional patterns.

    Boundaries of words and sentences are lexical: a profile of positions does not contain them.
    """
    for name, sentence, relation in _BASELINES:
        mirror = {"previous": "next", "next": "previous"}.get(name)
        registry.register(
            relation_pattern(name, sentence, relation, HERE, "positional", "baseline", mirror)
        )
    windows = (window for size in WINDOWS for window in _windows(size))
    for name, mirror, sentence, relation, source in (*map(_offset, OFFSETS), *windows, *_OTHERS):
        family: Family = "lexical" if name.startswith(_BOUNDARIES) else "positional"
        registry.register(relation_pattern(name, sentence, relation, source, family, mirror=mirror))
