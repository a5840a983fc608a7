"""Cells sorted by the values of attributes, so that sums over any sets of values are cheap."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, Shaped

from headscribe.fitting.features import Sample

VALUES = 120
"""Values of an attribute that are told apart, at most."""

_REACH = 12


@dataclass(frozen=True)
class Axis:
    """A way to sort cells by the value of one attribute of one token, or by distance.

    Attributes:
        name: the expression, `key.lower`.
        values: its values; the last code, `len(values)`, stands for all others.
        code: the code of each cell, shape `(N,)`.
    """

    name: str
    values: tuple[str | int, ...]
    code: Int[np.ndarray, " N"]


@dataclass(frozen=True)
class Table:
    """The cells of a gate (all cells without one), sorted by the values of one or two axes.

    Attributes:
        gate: a relation; "" for none.
        cells: the cells where it is not 0; None for all.
        first: an axis.
        second: another, or None.
        code: the place of each of the cells in a matrix of both axes' values, flat.
        value: the gate's value at each of the cells; None where it is 1.
    """

    gate: str
    cells: Int[np.ndarray, " n"] | None
    first: Axis
    second: Axis | None
    code: Int[np.ndarray, " n"]
    value: Float[np.ndarray, " n"] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Values of both axes, the rest of each included."""
        return len(self.first.values) + 1, 1 if self.second is None else len(self.second.values) + 1

    def sums(self, weight: Float[np.ndarray, " N"], power: int = 1) -> Float[np.ndarray, "a b"]:
        """Add `weight`, times a power of the gate, over the cells of each pair of values."""
        if self.cells is not None:
            weight = weight[self.cells]
        if self.value is not None:
            weight = weight * self.value**power
        a, b = self.shape
        # Of no cells at all NumPy gives integers.
        return np.bincount(self.code, weight, a * b).reshape(a, b).astype(np.float64, copy=False)

    def column(
        self, first: Shaped[np.ndarray, " a"], second: Shaped[np.ndarray, " b"], cells: int
    ) -> Float[np.ndarray, " N"]:
        """The term with these values, or steps of values, of each axis, over all cells, float32."""
        held = (first[:, None] * second[None, :]).ravel()[self.code].astype(np.float32)
        if self.value is not None:
            held *= self.value
        if self.cells is None:
            return held
        full = np.zeros(cells, np.float32)
        full[self.cells] = held
        return full


def axes(sample: Sample, most: int = VALUES) -> dict[str, Axis]:
    """The axes of a sample; only values that stand in several groups are told apart.

    Args:
        sample: the rows.
        most: at most so many values of an attribute are told apart, the most frequent.
    """
    groups = sorted(set(sample.groups))
    number = {group: i for i, group in enumerate(groups)}
    least = max(3, len(groups) // 40)
    text = np.array([number[group] for group in sample.groups])[sample.row_text]
    token_text = np.full(len(next(iter(sample.tokens.values()))), -1)
    token_text[sample.key_token] = text[sample.row]
    found: dict[str, Axis] = {}
    for name, column in sample.tokens.items():
        seen: dict[str | int, set[int]] = {}
        for value, where in zip(column, token_text, strict=True):
            if value is not None and where >= 0:
                seen.setdefault(value, set()).add(int(where))
        common = sorted(seen, key=lambda value: (-len(seen[value]), str(value)))
        values = tuple(v for v in common if len(seen[v]) >= least)[:most]
        index = {value: i for i, value in enumerate(values)}
        code = np.array([index.get(value, len(values)) for value in column])
        found[f"key.{name}"] = Axis(f"key.{name}", values, code[sample.key_token])
        found[f"query.{name}"] = Axis(f"query.{name}", values, code[sample.row_token][sample.row])
    distance = sample.distance
    low, high = max(-_REACH, int(distance.min())), min(_REACH, int(distance.max()))
    near = (distance >= low) & (distance <= high)
    code = np.where(near, distance - low, high - low + 1)
    found["distance"] = Axis("distance", tuple(range(low, high + 1)), code)
    return found
