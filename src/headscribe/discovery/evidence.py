"""Evidence: what a language model is shown of a head, as JSON, from the `fit` split alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from headscribe.core.errors import UsageError
from headscribe.discovery.neutral import count_tokens, neutral, to_json
from headscribe.discovery.study import HeadTask
from headscribe.discovery.summaries import residuals, summaries
from headscribe.scoring.predictions import sinks_of
from headscribe.text.passages import Passage

TOP_SHARE = 0.1
"""The share of a text's pairs that is shown."""

LONGEST_TEXT = 64
"""Longer texts are shown only where there are no others."""

TOKENS = 12_000
"""Tokens that the evidence of a head may take, by default."""

_KINDS = ("typical", "strongest", "weakest", "formula fails most")
_EACH = 3
_WORST_PAIRS = 6
_LEAST_PAIRS = 8


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


def evidence(study: HeadTask, limit: int = TOKENS) -> Evidence:
    """Collect the evidence of a head.

    Summaries and residuals come first, then texts by turns (typical, strongest, weakest, where the
    formula fails most) as long as they fit; a text that does not is tried with fewer pairs.

    Args:
        study: the head.
        limit: tokens that it may take.

    Raises:
        UsageError: the limit does not even hold the summaries; says what they take.
    """
    document: dict[str, object] = _base(study)
    least = count_tokens(to_json(document))
    if least > limit:
        raise UsageError(
            f"expected room for the evidence of head {study.head}: its summaries alone take "
            f"{least} tokens, the limit is {limit}"
        )
    shown: list[dict[str, object]] = []
    ids: list[str] = []
    document["texts"] = shown
    for kind, text in sampled_texts(study):
        share = TOP_SHARE
        while True:
            entry = describe(study, text, kind, share)
            pairs = entry["top_pairs"]
            if count_tokens(to_json(document | {"texts": [*shown, entry]})) <= limit:
                shown.append(entry)
                ids.append(study.material.passages[text].text_id)
                break
            if not isinstance(pairs, list) or len(pairs) <= _LEAST_PAIRS:
                break
            share /= 2
    written = to_json(document)
    return Evidence(document, written, count_tokens(written), tuple(ids))


def _base(study: HeadTask) -> dict[str, object]:
    material = study.material
    fit = material.texts("fit")
    formula = [
        {"weight": round(term.weight, 2), "relation": neutral(term.relation, 400)}
        for term in study.formula.terms
    ]
    return {
        "model": neutral(material.model, 80),
        "layer": study.head.layer,
        "head": study.head.head,
        "sees": "itself and earlier tokens" if material.visibility.causal else "all tokens",
        "fit_texts": len(fit),
        "summaries": summaries(study),
        "formula": {"terms": formula, "iou": round(study.mean(study.rivals["formula"], "fit"), 3)},
        "residual": residuals(study),
    }


def activity(study: HeadTask, text: int) -> float:
    """How much a head does on a text: the mean over content rows of its strongest content key."""
    passage, matrix = study.material.passages[text], study.material.real(study.place, text)
    content = ~sinks_of(passage, study.material.visibility)
    if not content.any():
        return 0.0
    return float(matrix[np.ix_(content, content)].max(axis=1).mean())


def sampled_texts(study: HeadTask, each: int = _EACH) -> list[tuple[str, int]]:
    """Texts of `fit` over the range of the head's behaviour, one of each kind by turns.

    Typical texts are those nearest the median of `activity`.
    """
    fit = study.material.texts("fit")
    short = [i for i in fit if len(study.material.passages[i]) <= LONGEST_TEXT]
    pool = short or list(fit)
    strength = np.array([activity(study, i) for i in pool])
    iou = study.rivals["formula"][pool]
    orders = (
        np.argsort(np.abs(strength - np.median(strength)), kind="stable"),
        np.argsort(-strength, kind="stable"),
        np.argsort(strength, kind="stable"),
        np.argsort(iou, kind="stable"),
    )
    chosen: list[tuple[str, int]] = []
    taken: set[int] = set()
    for _ in range(each):
        for kind, order in zip(_KINDS, orders, strict=True):
            fresh = [pool[i] for i in order if pool[i] not in taken]
            if fresh:
                taken.add(fresh[0])
                chosen.append((kind, fresh[0]))
    return chosen


def describe(study: HeadTask, text: int, kind: str, share: float = TOP_SHARE) -> dict[str, object]:
    """One text: its tokens with tags, its strongest pairs, and where the formula is wrong."""
    passage = study.material.passages[text]
    real, predicted = study.material.real(study.place, text), study.matrix(text)
    return {
        "text": neutral(passage.text_id),
        "why": kind,
        "iou_of_formula": round(float(study.rivals["formula"][text]), 3),
        "tokens": [token_entry(passage, i) for i in range(len(passage))],
        "top_pairs": top_pairs(study, text, real, share),
        "formula_wrong": worst_pairs(passage, real, predicted),
    }


def token_entry(passage: Passage, i: int) -> list[object]:
    """Index, token, part of speech, relation, and the index of the syntactic head's token."""
    entry: list[object] = [i, _label(passage, i)]
    word = int(passage.word[i])
    words = passage.words
    if words.upos is not None:
        entry.append(neutral(words.upos[word]) if word >= 0 else "")
    if words.dep is not None and words.head is not None:
        head = int(words.head[word]) if word >= 0 else -1
        tokens = passage.tokens_of[head] if head >= 0 else np.zeros(0, int)
        entry += [
            neutral(words.dep[word]) if word >= 0 else "",
            int(tokens[0]) if len(tokens) else -1,
        ]
    return entry


def top_pairs(
    study: HeadTask, text: int, real: Float[np.ndarray, "T T"], share: float
) -> list[dict[str, object]]:
    """The strongest `share` of a text's visible pairs, strongest first; sinks are left to the
    summaries."""
    passage = study.material.passages[text]
    content = ~sinks_of(passage, study.material.visibility)
    seen = study.material.visibility.dense(len(passage)) & np.outer(content, content)
    query, key = np.nonzero(seen)
    wanted = max(1, round(share * len(query))) if len(query) else 0
    order = np.argsort(-real[query, key], kind="stable")[:wanted]
    return [
        {
            "from": _token(passage, int(query[i])),
            "to": _token(passage, int(key[i])),
            "weight": round(float(real[query[i], key[i]]), 3),
        }
        for i in order
    ]


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


def _token(passage: Passage, i: int) -> dict[str, object]:
    found: dict[str, object] = {"token": _label(passage, i), "index": i}
    word, words = int(passage.word[i]), passage.words
    for name in ("upos", "dep"):
        column = getattr(words, name)
        if column is not None:
            found[name] = neutral(column[word]) if word >= 0 else ""
    return found


def _label(passage: Passage, i: int) -> str:
    start, end = passage.spans[i].tolist()
    return neutral(passage.text[start:end].strip() or passage.tokens[i])
