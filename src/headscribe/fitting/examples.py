"""A few texts with every head's attention and what its formula predicts, for a fit's report."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from headscribe.core.heads import HeadId
from headscribe.fitting.atlas import Item
from headscribe.fitting.heads import HeadFormula
from headscribe.relations import Evaluator
from headscribe.results.examples import ExampleRow, table_of
from headscribe.scoring.examples import choose_examples, facts_of
from headscribe.text.passages import Passage

EXAMPLE_TEXTS = 4
"""Texts whose attention is kept whole."""

LONGEST = 128
"""Tokens of an example text, at most: 144 heads with their formulas are 9 MB at this length."""


@dataclass
class Examples:
    """Copies the attention of some texts while they are read.

    Attributes:
        kept: what was copied, with the heads whose attention it is.
    """

    wanted: set[str]
    kept: list[tuple[Item, tuple[HeadId, ...]]] = field(default_factory=list)

    @classmethod
    def of(cls, passages: Sequence[Passage], number: int = EXAMPLE_TEXTS) -> "Examples":
        """Choose texts by a hash of their content, legible ones first, none that is long."""
        short = [passage for passage in passages if len(passage) <= LONGEST]
        return cls(choose_examples(short, number))

    def watching(self, items: Iterable[Item], heads: tuple[HeadId, ...]) -> Iterator[Item]:
        """Pass the items of some heads on and keep the wanted ones."""
        for item in items:
            if item[0].text_id in self.wanted:
                self.kept.append((item, heads))
            yield item

    def table(self, heads: Sequence[HeadFormula]) -> pa.Table:
        """The texts, the attention of every head and what its formula predicts."""
        formula = {head_formula.head: head_formula.formula for head_formula in heads}
        rows: list[ExampleRow] = []
        seen: set[str] = set()
        for (passage, attention, visibility), names in self.kept:
            name, length = passage.text_id, len(passage)
            if name not in seen:
                rows.append(ExampleRow.of_text(name, length, facts_of(passage)))
                seen.add(name)
            evaluator = Evaluator(passage, visibility)
            for head, real in zip(names, attention, strict=True):
                predicted = formula[head].attention(evaluator, length, visibility)
                rows.append(ExampleRow.of_matrix(name, "head", str(head), real))
                rows.append(ExampleRow.of_matrix(name, "formula", str(head), predicted))
        return table_of(rows)
