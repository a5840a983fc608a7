"""Candidates for word classes without a language model: what a head reads from above its formula.

Words are ranked by the attention that they get beyond what the formula predicts, on one half of the
`fit` texts. From the first few a class grows by the nearest words of the ranking in the model's own
embeddings (without embeddings: by the ranking itself). What a class is worth is measured on the
other half, where nobody chose its words.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.core.errors import UsageError
from headscribe.discovery.study import HeadTask
from headscribe.discovery.summaries import Cells, fields_by_token
from headscribe.fitting.classes import LARGEST, WordClass

SEEDS = 6
SIZES = (3, 6, 12, 25, 50, 100, LARGEST)
LEAST_TEXTS = 3
"""Texts that a word has to stand in."""


@dataclass(frozen=True)
class _Words:
    """The words of the `fit` half that classes are chosen on, most read above the formula first."""

    words: tuple[str, ...]
    vectors: Float[np.ndarray, "words d"] | None


def word_classes(study: HeadTask) -> Iterator[WordClass]:
    """Nested classes around the words that the head reads most above its formula."""
    found = _ranked(study)
    for seed in range(min(SEEDS, len(found.words))):
        if found.vectors is None and seed:
            return
        order = _nearest(found, seed)
        for size in SIZES:
            words = [found.words[k] for k in order[:size]]
            if len(words) < 2 or (size > len(order) and size // 2 >= len(order)):
                break
            like = " in the model's embeddings" if found.vectors is not None else ""
            rule = f"words read above the formula, nearest to {words[0]}{like}"
            try:
                yield WordClass(f"class_{seed + 1}_of_{len(words)}", rule, tuple(words))
            except UsageError:  # not two different words
                continue


def halves(study: HeadTask) -> Bool[np.ndarray, " texts"]:
    """The texts of `fit` on which words are chosen; the others of `fit` say what classes are worth.

    By group, so that no document is on both sides.
    """
    return study.material.group % 2 == 0


def _ranked(study: HeadTask) -> _Words:
    material = study.material
    cells = Cells.of(study)
    lower = fields_by_token(study)["lower"]
    text_of = np.repeat(np.arange(len(material.passages)), [len(p) for p in material.passages])
    keep = cells.content & halves(study)[text_of[cells.key]]
    known, word = np.unique(lower[cells.key[keep]].astype(str), return_inverse=True)
    difference = cells.real[keep].astype(np.float64) - cells.predicted[keep]
    total = np.bincount(word, difference, len(known))
    spread = np.sqrt(np.bincount(word, difference**2, len(known)))
    pairs = np.unique(np.stack([word, text_of[cells.key[keep]]]), axis=1)
    texts = np.bincount(pairs[0], minlength=len(known))
    value = np.where(texts >= LEAST_TEXTS, total / np.maximum(spread, 1e-9), 0)
    order = np.argsort(-value, kind="stable")
    best = [k for k in order[: 2 * LARGEST].tolist() if value[k] > 0][:LARGEST]
    words = tuple(str(known[k]) for k in best)
    if material.embeddings is None or not words:
        return _Words(words, None)
    ids = np.concatenate([passage.ids for passage in material.passages])
    return _Words(words, _vectors(words, lower, ids, material.embeddings))


def _vectors(
    words: tuple[str, ...],
    lower: np.ndarray,
    ids: Int[np.ndarray, " tokens"],
    embeddings: Float[np.ndarray, "V d"],
) -> Float[np.ndarray, "words d"]:
    """The direction of each word: the mean embedding of the tokens that spell it, centred."""
    mean = embeddings.mean(axis=0)
    place = {word: k for k, word in enumerate(words)}
    spelled: dict[int, set[int]] = {}
    for token, name in zip(ids.tolist(), lower.tolist(), strict=True):
        if name in place and 0 <= token < len(embeddings):
            spelled.setdefault(place[name], set()).add(token)
    vectors = np.stack(
        [embeddings[sorted(spelled.get(k, {0}))].mean(axis=0) - mean for k in range(len(words))]
    ).astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _nearest(found: _Words, seed: int) -> list[int]:
    """All words of the ranking, the seed first, then those most like it."""
    if found.vectors is None:
        return list(range(len(found.words)))
    like = found.vectors @ found.vectors[seed]
    like[seed] = np.inf
    order: list[int] = np.argsort(-like, kind="stable").tolist()
    return order
