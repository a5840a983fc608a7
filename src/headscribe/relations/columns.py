"""Token attributes of one passage as arrays: texts interned, neighbours shifted, all cached."""

import numpy as np
from jaxtyping import Shaped

from headscribe.relations.attributes import attribute
from headscribe.relations.characters import numeral
from headscribe.relations.syntax import Column
from headscribe.text.passages import Passage

MISSING = -1
"""Code of a missing text."""

UNSEEN = -2
"""Code of a text that no token of the passage has."""


class Columns:
    """The columns of one passage, each made when first asked for.

    Numbers are float64 with NaN for missing, conditions bool, texts int64 codes that all text
    columns share (`MISSING`, `UNSEEN`).
    """

    def __init__(self, passage: Passage) -> None:
        self._passage = passage
        self._codes: dict[str, int] = {}
        self._made: dict[tuple[str, tuple[int, ...]], Shaped[np.ndarray, " T"]] = {}

    def code(self, text: str) -> int:
        """Return the code of a literal."""
        return self._codes.get(text, UNSEEN)

    def numbers(self, codes: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
        """Return what texts are worth as numerals, by their codes; NaN for those that are none."""
        worth = np.array([*map(numeral, self._codes), np.nan])
        return worth[np.where(codes < 0, len(self._codes), codes)]

    def __getitem__(self, column: Column) -> Shaped[np.ndarray, " T"]:
        """Return the values of `column` by token, whichever side of the pair it reads."""
        where = (column.name, column.steps)
        if where not in self._made:
            values = self._read(column.name)
            for step in reversed(column.steps):
                values = _neighbour(values, step)
            self._made[where] = values
        return self._made[where]

    def _read(self, name: str) -> Shaped[np.ndarray, " T"]:
        if (name, ()) in self._made:
            return self._made[name, ()]
        values = attribute(name).read(self._passage)
        if isinstance(values, list):
            codes = [
                MISSING if value is None else self._codes.setdefault(value, len(self._codes))
                for value in values
            ]
            values = np.array(codes, np.int64)
        self._made[name, ()] = values
        return values


def _neighbour(values: Shaped[np.ndarray, " T"], step: int) -> Shaped[np.ndarray, " T"]:
    """Return the value of the next (+1) or previous (-1) token, missing at the end."""
    fill = {"b": False, "f": np.nan, "i": MISSING}[values.dtype.kind]
    moved = np.full_like(values, fill)
    if step > 0:
        moved[:-1] = values[1:]
    else:
        moved[1:] = values[:-1]
    return moved
