"""Example texts: tokens, tags, and packed attention, within a budget."""

import json
from typing import Any

from headscribe.core.errors import RunError
from headscribe.report.packing import attention, levels, packed
from headscribe.results.examples import Example, ExampleRow, read_examples
from headscribe.results.run import Run

BUDGET = 5_000_000
"""Characters of packed attention that the example texts of one run may take."""

ALONE = 8_000_000
"""The same for the shortest text, so that long texts of a large model are not all left out."""

MAX_TOKENS = 2048
"""Longer texts are not drawn."""

_TAGS = ("form", "lemma", "upos", "dep")


def texts(run: Run) -> dict[str, Any]:
    """The example texts, shorter ones first where not all fit the budget.

    Raises:
        RunError: the table is damaged.
    """
    try:
        examples = list(read_examples(run).values())
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise RunError(f"examples: the table is damaged ({error})") from error
    kept: dict[str, dict[str, Any]] = {}
    omitted: list[str] = []
    left = BUDGET
    for example in sorted(examples, key=lambda one: len(one.labels)):
        if omitted or len(example.labels) > MAX_TOKENS:
            omitted.append(example.text_id)
            continue
        one = _text(example)
        if one is None:
            continue
        size = sum(len(pack["data"]) for pack in one["packs"])
        if size > (left if kept else max(left, ALONE)):
            omitted.append(example.text_id)
            continue
        left -= size
        kept[example.text_id] = one
    ordered = [kept[example.text_id] for example in examples if example.text_id in kept]
    return {"texts": ordered, "omitted": omitted}


def _text(example: Example) -> dict[str, Any] | None:
    """One text; None where nothing is known of its attention."""
    length = len(example.labels)
    real = [(f"head:{name}", row) for name, row in example.heads.items()]
    predicted = [
        (f"{kind}:{name}", row)
        for kind in ("pattern", "behaviour")
        for name, row in getattr(example, f"{kind}s").items()
    ]
    predicted += [(f"formula:{name}", row) for name, row in example.formulas.items()]
    if any(row.length != length for _, row in real + predicted):
        raise RunError(f"examples: text {example.text_id!r} has matrices of another length")
    if not real and not predicted:
        return None
    facts = example.facts
    words = facts.get("words") or {}
    return {
        "id": example.text_id,
        "text": facts.get("text", ""),
        "labels": example.labels,
        "special": _listed(facts.get("special"), length, False),
        "word_of_token": _listed(facts.get("word_of_token"), length, -1),
        "words": {key: words[key] for key in _TAGS if isinstance(words.get(key), list)},
        "levels": levels(length),
        "packs": [_pack(rows, length) for rows in (real, predicted) if rows],
    }


def _pack(rows: list[tuple[str, ExampleRow]], length: int) -> dict[str, Any]:
    """Matrices that are unpacked together, with their names."""
    return {
        "matrices": [name for name, _ in rows],
        "data": packed(attention([row.matrix() for _, row in rows], length)),
    }


def without_repeats(texts: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    """Leave out matrices that the same text has among the `others`: a fit and a survey share some.

    Changes `texts`.
    """
    known = {
        (one["id"], *one["labels"]): {name for pack in one["packs"] for name in pack["matrices"]}
        for one in others
    }
    for text in texts:
        there = known.get((text["id"], *text["labels"]), set())
        text["packs"] = [pack for pack in text["packs"] if not there >= set(pack["matrices"])]


def _listed(value: Any, length: int, default: object) -> list[Any]:  # noqa: ANN401
    """A list of one entry a token, or the default for all."""
    return list(value) if isinstance(value, list) and len(value) == length else [default] * length


PARTS = {"examples": texts}
