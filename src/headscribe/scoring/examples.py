"""A few texts whose attention is kept whole, so that a report needs no model."""

from collections.abc import Sequence

from headscribe.results.examples import ExampleRow
from headscribe.scoring.observer import LayerAttention
from headscribe.scoring.plan import BatchPlan
from headscribe.scoring.predictions import content_digest
from headscribe.text.passages import Passage

LEGIBLE = range(8, 65)
"""Lengths at which a matrix can be read; texts of such lengths are preferred as examples."""

LONGEST = 256
"""Longer texts are no examples: their matrices, by the square of the length, are never kept."""


def choose_examples(passages: Sequence[Passage], number: int) -> set[str]:
    """Pick texts by a hash of their content, legible ones first, none of more than `LONGEST`."""

    def order(passage: Passage) -> tuple[bool, bytes]:
        return len(passage) not in LEGIBLE, content_digest(passage)

    short = [passage for passage in passages if len(passage) <= LONGEST]
    return {passage.text_id for passage in sorted(short, key=order)[:number]}


class ExampleCollector:
    """Copies the attention of the wanted texts of a batch, layer by layer."""

    def __init__(self, plan: BatchPlan, wanted: set[str]) -> None:
        self._plan = plan
        self._wanted = {
            b: passage for b, passage in enumerate(plan.passages) if passage.text_id in wanted
        }
        self._rows: list[ExampleRow] = []

    def observe(self, call: LayerAttention) -> None:
        """Keep one layer."""
        attention = call.probabilities()
        for b, passage in self._wanted.items():
            length = len(passage)
            real = attention[b, :, :length, :length].float().cpu().numpy()
            self._rows += [
                ExampleRow.of_matrix(passage.text_id, "head", f"{call.layer}.{head}", matrix)
                for head, matrix in enumerate(real)
            ]

    def rows(self, names: Sequence[str]) -> list[ExampleRow]:
        """The kept texts, with what the patterns called `names` predict for them."""
        texts = [
            ExampleRow.of_text(passage.text_id, len(passage), facts_of(passage))
            for passage in self._wanted.values()
        ]
        predictions = [
            ExampleRow.of_matrix(passage.text_id, "pattern", name, line[b].to_dense())
            for b, passage in self._wanted.items()
            for name, line in zip(names, self._plan.predictions, strict=True)
        ]
        return texts + self._rows + predictions


def facts_of(passage: Passage) -> dict[str, object]:
    """What is kept of a text: its tokens as they are and as a person reads them, words, tags."""
    words = passage.words
    known: dict[str, object] = {
        "upos": words.upos,
        "dep": words.dep,
        "head": None if words.head is None else words.head.tolist(),
    }
    return {
        "text": passage.text,
        "group": passage.group,
        "tokens": passage.tokens,
        "labels": [passage.label(i) for i in range(len(passage))],
        "special": passage.is_special.tolist(),
        "word_of_token": passage.word.tolist(),
        "words": {"form": words.form} | {k: v for k, v in known.items() if v is not None},
    }
