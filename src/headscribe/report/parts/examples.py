"""Example texts: tokens, tags, and packed attention, within a budget of bytes."""

import json
import zlib
from base64 import b64encode
from typing import Any

from headscribe.core.errors import RunError
from headscribe.report.packing import attention, levels
from headscribe.results.examples import Example, read_examples
from headscribe.results.run import Run

BUDGET = 4_000_000
"""Packed bytes of attention that the example texts of one run may take."""

MAX_TOKENS = 2048
"""Longer texts are not drawn."""

_TAGS = ("form", "lemma", "upos", "dep")


def texts(run: Run) -> dict[str, Any]:
    """The example texts, shorter ones first where not all fit the budget.

    Raises:
        RunError: the table is damaged.
    """
    try:
        found = list(read_examples(run).values())
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RunError(f"examples: the table is damaged ({error})") from error
    kept: dict[str, dict[str, Any]] = {}
    left, omitted = BUDGET, []
    for example in sorted(found, key=lambda one: len(one.labels)):
        if len(example.labels) > MAX_TOKENS:
            omitted.append(example.text_id)
            continue
        one = _text(example)
        if one is None:
            continue
        if one["bytes"] > left:
            omitted.append(example.text_id)
            continue
        left -= one["bytes"]
        kept[example.text_id] = one
    ordered = [kept[example.text_id] for example in found if example.text_id in kept]
    return {"texts": ordered, "omitted": omitted}


def _text(example: Example) -> dict[str, Any] | None:
    """One text; None where nothing is known of its attention."""
    length = len(example.labels)
    rows = [
        (kind, name, row)
        for kind, group in (
            ("head", example.heads), ("pattern", example.patterns), ("formula", example.formulas),
        )
        for name, row in group.items()
    ]  # fmt: skip
    if not rows:
        return None
    if any(row.length != length for _, _, row in rows):
        raise RunError(f"examples: text {example.text_id!r} has matrices of another length")
    content = zlib.compress(attention([row.matrix() for _, _, row in rows], length), 9)
    facts = example.facts
    words = facts.get("words") or {}
    return {
        "id": example.text_id,
        "text": facts.get("text", ""),
        "labels": example.labels,
        "special": _listed(facts.get("special"), length, False),
        "word_of_token": _listed(facts.get("word_of_token"), length, -1),
        "words": {key: words[key] for key in _TAGS if isinstance(words.get(key), list)},
        "heads_of_words": words.get("head") if isinstance(words.get("head"), list) else None,
        "levels": levels(length),
        "matrices": [f"{kind}:{name}" for kind, name, _ in rows],
        "data": b64encode(content).decode(),
        "bytes": len(content),
    }


def _listed(value: Any, length: int, default: object) -> list[Any]:  # noqa: ANN401
    """A list of one entry a token, or the default for all."""
    return list(value) if isinstance(value, list) and len(value) == length else [default] * length


PARTS = {"examples": texts}
