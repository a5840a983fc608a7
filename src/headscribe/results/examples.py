"""A few texts with their real and predicted attention: all that a figure needs, without a model.

`examples.parquet` has one row per text (`kind` = `text`: tokens and tags as JSON), one per text and
head (`head`: its attention), one per text and pattern (`pattern`: its prediction), per text and
name that a head got (`behaviour`: what the name predicts), and in a fit one per text and head
(`formula`: what the head's formula predicts). Matrices are unsigned 16-bit little-endian integers,
row by row; 65535 stands for 1.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from headscribe.core.errors import RunError
from headscribe.results.run import Run

FULL_SCALE = 65535
_SCHEMA = pa.schema(
    [
        ("text_id", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("length", pa.int32()),
        ("data", pa.binary()),
    ]
)


@dataclass(frozen=True)
class ExampleRow:
    """One row of `examples.parquet`."""

    text_id: str
    kind: str
    name: str
    length: int
    data: bytes

    @classmethod
    def of_matrix(
        cls, text_id: str, kind: str, name: str, matrix: Float[np.ndarray, "T T"]
    ) -> "ExampleRow":
        """Quantise the attention of a head or the prediction of a pattern."""
        values = np.rint(np.clip(matrix, 0, 1) * FULL_SCALE).astype("<u2")
        return cls(text_id, kind, name, len(matrix), values.tobytes())

    @classmethod
    def of_text(cls, text_id: str, length: int, facts: dict[str, Any]) -> "ExampleRow":
        """Keep a text's tokens, words and tags."""
        return cls(text_id, "text", "", length, json.dumps(facts, ensure_ascii=False).encode())

    def matrix(self) -> Float[np.ndarray, "T T"]:
        """The attention or prediction, float32; rows of zeros are uncovered.

        Raises:
            RunError: the row does not hold a matrix of its length.
        """
        values = np.frombuffer(self.data, "<u2")
        if values.size != self.length**2:
            raise RunError(
                f"examples: expected {self.length} x {self.length} numbers for {self.kind} "
                f"{self.name} of text {self.text_id!r}, got {values.size}"
            )
        return values.reshape(self.length, self.length).astype(np.float32) / FULL_SCALE


@dataclass
class Example:
    """One text of a run with everything that was kept of it.

    Attributes:
        facts: `text`, `tokens`, `labels` (tokens as a person reads them), `special`,
            `word_of_token`, and `words` with `form` and the tags that were known.
        heads: attention by head, `7.10`.
        patterns: predictions by pattern, in a survey; `behaviours`: by what heads are named for.
        formulas: predictions of each head's formula by head, in a fit.
    """

    text_id: str
    facts: dict[str, Any]
    heads: dict[str, ExampleRow] = field(default_factory=dict)
    patterns: dict[str, ExampleRow] = field(default_factory=dict)
    formulas: dict[str, ExampleRow] = field(default_factory=dict)
    behaviours: dict[str, ExampleRow] = field(default_factory=dict)

    @property
    def labels(self) -> list[str]:
        """The tokens as a person reads them."""
        labels: list[str] = self.facts["labels"]
        return labels


def table_of(rows: Iterable[ExampleRow]) -> pa.Table:
    """The rows as a table."""
    listed = list(rows)
    columns = {name: [getattr(row, name) for row in listed] for name in _SCHEMA.names}
    return pa.table(columns, schema=_SCHEMA)


def rows_of(table: pa.Table) -> list[ExampleRow]:
    """The rows of a table.

    Raises:
        RunError: a value is missing, or of another type.
    """
    for known in _SCHEMA:
        column = table[known.name]
        if column.type != known.type or column.null_count:
            raise RunError(
                f"examples: expected {known.type} in every row of {known.name}, got {column.type}"
                f"{' with gaps' if column.null_count else ''}"
            )
    return [ExampleRow(**row) for row in table.to_pylist()]


def read_examples(run: Run) -> dict[str, Example]:
    """The example texts of a run by their ids, in the order in which they were written."""
    rows = rows_of(run.table("examples"))
    examples = {
        row.text_id: Example(row.text_id, json.loads(row.data))
        for row in rows
        if row.kind == "text"
    }
    for row in rows:
        if row.kind in ("head", "pattern", "behaviour", "formula"):
            getattr(examples[row.text_id], f"{row.kind}s")[row.name] = row
    return examples
