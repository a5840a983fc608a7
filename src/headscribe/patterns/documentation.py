"""The reference page of the catalogue and of the relation language, generated."""

from typing import get_args

from headscribe.patterns.contract import Family
from headscribe.patterns.registry import group_of, registry
from headscribe.patterns.relational import RelationPattern
from headscribe.relations import ATTRIBUTES

_TITLES: dict[Family, str] = {
    "positional": "Positional",
    "lexical": "Lexical",
    "syntactic": "Syntactic",
    "sink": "Sinks",
    "custom": "Others",
}
_KINDS = {"boolean": "condition", "number": "number", "text": "text"}


def patterns_page() -> str:
    """Return the page in Markdown: every pattern by family, then the token attributes."""
    patterns = list(registry())
    lines = [
        "# Patterns",
        "",
        "Generated from the registry. A condition predicts uniform attention over the related",
        "visible keys, a number attention in proportion to it; other rows stay uncovered. *Later*:",
        "points at later keys only, so not applicable in causal models. *Ahead*: a row may depend",
        "on later tokens, so replacement in a causal model refuses it.",
        "",
    ]
    for family in get_args(Family):
        members = [pattern for pattern in patterns if pattern.family == family]
        if not members:
            continue
        lines += [f"## {_TITLES[family]}", "", "| name | group | relation | needs | notes |"]
        lines += ["|---|---|---|---|---|"]
        for one in members:
            relation = one.relation.source if isinstance(one, RelationPattern) else "a program"
            notes = ["later"] * one.needs_later_keys + ["ahead"] * one.looks_ahead
            notes += [f"mirror `{one.mirror}`"] if one.mirror else []
            cells = [
                f"`{one.name}`: {one.sentence} ({one.source})",
                group_of(one),
                f"`{relation}`".replace("|", "\\|"),
                ", ".join(sorted(one.needs)) or "none",
                ", ".join(notes),
            ]
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join([*lines, *_attributes()]) + "\n"


def _attributes() -> list[str]:
    lines = [
        "## Token attributes",
        "",
        "Of `query` and `key`, and by `prev` and `next` of their neighbours. `distance` is the",
        "key's index minus the query's. A missing value makes every comparison false.",
        "",
        "| attribute | kind | what it is | needs | looks ahead |",
        "|---|---|---|---|---|",
    ]
    for name, attribute in ATTRIBUTES.items():
        needs = ", ".join(sorted(attribute.needs)) or "none"
        why = attribute.later or "the token itself and what stands before it"
        ahead = f"{'yes' if attribute.looks_ahead else 'no'}: {why}"
        lines.append(
            f"| `{name}` | {_KINDS[attribute.kind]} | {attribute.sentence} | {needs} | {ahead} |"
        )
    return [
        *lines,
        "",
        "`text.<name>` is what is known of the whole text, a class or the model's answer, where",
        'texts or a recording have a column or key of that name: `text.label == "negative"` in a',
        "relation keeps it to some texts. It looks ahead, as does `text_length`, the number of a",
        "text's tokens, special ones aside: `key.index + query.index == text_length`.",
        "",
        "`number(key.text)` is what a numeral such as `12` or `0.5` is worth, missing for any",
        "other text.",
    ]
