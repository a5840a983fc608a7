"""Evidence: what a language model is shown of a head, as JSON, from the `fit` split alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import UsageError
from headscribe.discovery.neutral import count_tokens, neutral, to_json
from headscribe.discovery.study import HeadTask
from headscribe.discovery.summaries import Table, fields_by_token, residuals, summaries
from headscribe.text.passages import Passage

LONGEST_TEXT = 40
"""Of longer texts the tokens near the query and those that are read are shown."""

TOKENS = 2_200
"""Tokens that the evidence of a head may take, by default: so that prompts fit."""

NEAR, KEYS, TABLE_ROWS = 12, 4, (5, 3, 1)
ROWS, _WORST_PAIRS = 16, 3
"""Rows that are shown, and wrong pairs of a text, at most."""


@dataclass(frozen=True)
class Evidence:
    """The evidence of one head.

    Attributes:
        document: what is shown.
        text: the document as JSON in which neither a code fence nor a tag can stand.
        tokens: a count that common tokenizers stay below.
        texts: the ids of the texts in it, all of the `fit` split.
    """

    document: dict[str, object]
    text: str
    tokens: int
    texts: tuple[str, ...]


def evidence(
    study: HeadTask, limit: int = TOKENS, more: Mapping[str, object] | None = None
) -> Evidence:
    """Collect the evidence of a head.

    Summaries and residuals come first, then single rows as long as they fit, see `shown_rows`.

    Args:
        more: what else is known; it is shown first.

    Raises:
        UsageError: the limit does not even hold the summaries; says what they take.
    """
    document: dict[str, object] = {}
    least = limit
    for table_rows in TABLE_ROWS:  # shorter tables where they would leave no room for rows
        if least > 2 * limit / 3:
            document = {**(more or {}), **_base(study, table_rows)}
            least = count_tokens(to_json(document))
    if least > limit:
        raise UsageError(
            f"expected room for the evidence of head {study.head}: its summaries alone take "
            f"{least} tokens, the limit is {limit}"
        )
    shown: list[dict[str, object]] = []
    ids: list[str] = []
    document["rows"] = shown
    for why, row in shown_rows(study):
        entry = _row(study, row, why)
        if count_tokens(to_json(document | {"rows": [*shown, entry]})) <= limit:
            shown.append(entry)
            ids.append(study.material.passages[_text_of(study, row)].text_id)
    written = to_json(document)
    return Evidence(document, written, count_tokens(written), tuple(dict.fromkeys(ids)))


def _base(study: HeadTask, table_rows: int) -> dict[str, object]:
    material = study.material
    formula = [[round(term.weight, 2), neutral(term.relation, 120)] for term in study.formula.terms]
    tables = summaries(study)
    offsets = tables["by_offset"]
    assert isinstance(offsets, list)
    told = sorted(offsets, key=lambda row: -abs(row["mass"] - row["chance"]))[:table_rows]
    tables["by_offset"] = [row for row in offsets if row in told]
    return {
        "model": neutral(material.model, 80),
        "layer": study.head.layer,
        "head": study.head.head,
        "sees": "itself and earlier tokens" if material.visibility.causal else "all tokens",
        "fit_texts": len(material.texts("fit")),
        "summaries": {
            name: _columns(table, table_rows) if isinstance(table, list) else table
            for name, table in tables.items()
        },
        "formula": {
            "columns": ["weight", "relation"],
            "terms": formula,
            "iou": round(study.mean(study.rivals["formula"], "fit"), 3),
        },
        "residual": {name: _columns(table, table_rows) for name, table in residuals(study).items()},
    }


def _columns(table: Table, rows: int) -> dict[str, object]:
    """The first rows of a table, its columns named once."""
    names = list(table[0]) if table else []
    return {"columns": names, "rows": [[row[name] for name in names] for row in table[:rows]]}


def shown_rows(study: HeadTask) -> list[tuple[str, int]]:
    """Rows of `fit` that say most: where the formula fails, and look-alikes where it holds.

    What a row misses is the attention to content keys that the formula does not predict. The rows
    that miss most come first, one a text and one a query word; after each the row of another text
    that is most like it (the same word, else the same part of speech) and that the formula predicts
    best, among those with at least half as much attention to content.
    """
    sample, material = study.material.sample, study.material
    fields = fields_by_token(study)
    real = np.where(sample.sinks[sample.key_token] > 0, 0, study.real).astype(np.float64)
    predicted = np.where(sample.sinks[sample.key_token] > 0, 0, study.predicted)
    mass = np.add.reduceat(real, sample.start)
    missed = np.add.reduceat(np.maximum(real - predicted, 0), sample.start)
    wrong = np.add.reduceat(np.abs(real - predicted), sample.start)
    usable = material.rows("fit") & (sample.sinks[sample.row_token] == 0)
    likeness = [fields[name][sample.row_token] for name in ("lower", "upos") if name in fields]
    chosen: list[tuple[str, int]] = []
    taken: set[int] = set()
    words: set[str] = set()
    for row in np.argsort(-np.where(usable, missed, -1), kind="stable").tolist():
        text, word = int(sample.row_text[row]), str(likeness[0][row])
        if not usable[row] or len(chosen) >= ROWS:
            break
        if text in taken or word in words:
            continue
        taken.add(text)
        words.add(word)
        chosen.append(("formula fails", row))
        alike = usable & ~np.isin(sample.row_text, list(taken)) & (mass >= mass[row] / 2)
        for column in likeness:
            same = np.flatnonzero(alike & (column == column[row]))
            if len(same):
                other = int(same[np.argmin(wrong[same])])
                taken.add(int(sample.row_text[other]))
                chosen.append(("looks alike, formula holds", other))
                break
    return chosen


def _text_of(study: HeadTask, row: int) -> int:
    return int(study.material.sample.row_text[row])


def _row(study: HeadTask, row: int, why: str) -> dict[str, object]:
    """One row: its query, the keys that are read or predicted most, and the text."""
    sample, text = study.material.sample, _text_of(study, row)
    passage = study.material.passages[text]
    before = sum(len(one) for one in study.material.passages[:text])
    query = int(sample.row_token[row]) - before
    start = int(sample.start[row])
    cells = slice(start, start + int(sample.lengths[row]))
    real, predicted = study.real[cells], study.predicted[cells]
    key = sample.key_token[cells] - before
    order = np.argsort(-np.maximum(real, predicted), kind="stable")[:KEYS]
    keys = [
        [
            int(key[i]),
            _label(passage, int(key[i])),
            round(float(real[i]), 2),
            round(float(predicted[i]), 2),
        ]
        for i in order
    ]
    near = set(range(query - NEAR, query + NEAR + 1)) | {int(key[i]) for i in order}
    short = len(passage) <= LONGEST_TEXT
    return {
        "text": neutral(passage.text_id),
        "why": why,
        "query": [query, _label(passage, query)],
        "keys": keys,
        "tokens": " ".join(
            token_entry(passage, i) for i in range(len(passage)) if short or i in near
        ),
    }


def token_entry(passage: Passage, i: int) -> str:
    """`index:token/part of speech/relation>index of the syntactic head's token`."""
    entry = f"{i}:{_label(passage, i)}"
    word = int(passage.word[i])
    words = passage.words
    if words.upos is not None and word >= 0:
        entry += f"/{neutral(words.upos[word])}"
    if words.dep is not None and words.head is not None and word >= 0:
        head = int(words.head[word])
        tokens = passage.tokens_of[head] if head >= 0 else np.zeros(0, int)
        entry += f"/{neutral(words.dep[word])}" + (f">{tokens[0]}" if len(tokens) else "")
    return entry


def worst_pairs(
    passage: Passage, real: Float[np.ndarray, "T T"], predicted: Float[np.ndarray, "T T"]
) -> dict[str, list[list[object]]]:
    """The pairs most under- and overestimated: query, key, real and predicted attention."""
    difference = (np.asarray(real, np.float64) - predicted).ravel()
    order = np.argsort(-difference, kind="stable")

    def rows(cells: Sequence[int], sign: int) -> list[list[object]]:
        listed: list[list[object]] = []
        for cell in cells:
            q, k = divmod(int(cell), len(passage))
            if sign * difference[cell] > 0.01:
                values = [round(float(real[q, k]), 2), round(float(predicted[q, k]), 2)]
                listed.append([q, _label(passage, q), k, _label(passage, k), *values])
        return listed

    return {
        "underestimated": rows(order[:_WORST_PAIRS].tolist(), 1),
        "overestimated": rows(order[::-1][:_WORST_PAIRS].tolist(), -1),
    }


def _label(passage: Passage, i: int) -> str:
    return neutral(passage.label(i))
