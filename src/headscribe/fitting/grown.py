"""Terms grown from the data: literal sets of token attributes and distances.

A relation such as `key.lower in {"and", "or"} and distance in {-2, -1}` is one term whose literal
sets are chosen on the texts that a formula is fitted to. For the residual `e = p - a` of a head's
current formula, the term that holds on the cells `U` has the score `(sum_U e)^2 / sum_U p (1 - p)`
up to what it shares with the terms already there. Both sums are additive over the values of an
attribute, so they are tabled once for every pair of values (`tables`), and the best sets are found
by turns: with one set held, the values of the other are sorted by `sum e / sum p (1 - p)`, of which
the best set is a prefix (Fisher 1958; Breiman et al. 1984, section 4.2).
"""

import json
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.fitting.features import Sample

MAX_MEMBERS = 20
"""Members of a literal set, at most."""

_VALUES = 120
_REACH = 12
_ROUNDS = 4
_SHRINK = 1e-3


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
    """The cells of a gate (all cells without one), sorted by the values of one or two axes."""

    gate: str
    cells: Int[np.ndarray, " n"] | None
    first: Axis
    second: Axis | None
    code: Int[np.ndarray, " n"]

    @property
    def shape(self) -> tuple[int, int]:
        """Values of both axes, the rest of each included."""
        return len(self.first.values) + 1, 1 if self.second is None else len(self.second.values) + 1

    def sums(self, weight: Float[np.ndarray, " N"]) -> Float[np.ndarray, "a b"]:
        """Add `weight` over the cells of each pair of values."""
        if self.cells is not None:
            weight = weight[self.cells]
        a, b = self.shape
        return np.bincount(self.code, weight, a * b).reshape(a, b)

    def column(
        self, first: Bool[np.ndarray, " a"], second: Bool[np.ndarray, " b"], cells: int
    ) -> Float[np.ndarray, " N"]:
        """The term with these values of each axis, over all cells, float32."""
        held = (first[:, None] & second[None, :]).ravel()[self.code].astype(np.float32)
        if self.cells is None:
            return held
        full = np.zeros(cells, np.float32)
        full[self.cells] = held
        return full


@dataclass(frozen=True)
class Grown:
    """A term grown from a table: its source and its values over all cells."""

    source: str
    column: Float[np.ndarray, " N"]
    score: float


def _literal(values: list[str | int]) -> str:
    return "{" + ", ".join(json.dumps(value, ensure_ascii=False) for value in values) + "}"


def _axes(sample: Sample) -> dict[str, Axis]:
    """The axes of a sample; only values that stand in several groups are told apart."""
    groups = sorted(set(sample.groups))
    number = {group: i for i, group in enumerate(groups)}
    least = max(3, len(groups) // 40)
    text = np.array([number[group] for group in sample.groups])[sample.row_text]
    token_text = np.full(len(next(iter(sample.tokens.values()))), -1)
    token_text[sample.key_token] = text[sample.row]
    axes: dict[str, Axis] = {}
    for name, column in sample.tokens.items():
        seen: dict[str | int, set[int]] = {}
        for value, where in zip(column, token_text, strict=True):
            if value is not None and where >= 0:
                seen.setdefault(value, set()).add(int(where))
        common = sorted(seen, key=lambda value: (-len(seen[value]), str(value)))
        values = tuple(v for v in common if len(seen[v]) >= least)[:_VALUES]
        index = {value: i for i, value in enumerate(values)}
        code = np.array([index.get(value, len(values)) for value in column])
        axes[f"key.{name}"] = Axis(f"key.{name}", values, code[sample.key_token])
        axes[f"query.{name}"] = Axis(
            f"query.{name}", values, code[sample.row_token][sample.row]
        )
    distance = sample.distance
    low, high = max(-_REACH, int(distance.min())), min(_REACH, int(distance.max()))
    near = (distance >= low) & (distance <= high)
    code = np.where(near, distance - low, high - low + 1)
    axes["distance"] = Axis("distance", tuple(range(low, high + 1)), code)
    return axes


def tables(sample: Sample, gates: tuple[str, ...]) -> tuple[Table, ...]:
    """The tables of a sample: pairs of axes over all cells, single axes over gates of the pool."""
    axes = _axes(sample)
    tokens = list(sample.tokens)
    pairs = [(f"{side}.{name}", "distance") for name in tokens for side in ("key", "query")]
    pairs += [(f"query.{a}", f"key.{b}") for a in tokens for b in tokens if a != b or a != "lower"]
    found = []
    for one, two in pairs:
        first, second = axes[one], axes[two]
        code = first.code * (len(second.values) + 1) + second.code
        found.append(Table("", None, first, second, code))
    position = {source: k for k, source in enumerate(sample.pool)}
    for gate in gates:
        if gate not in position:
            continue
        span = slice(*sample.features.ptr[position[gate] : position[gate] + 2])
        cells = sample.features.cell[span].astype(np.int64)
        if not len(cells):
            continue
        for axis in axes.values():
            found.append(Table(gate, cells, axis, None, axis.code[cells]))
    return tuple(found)


def _best_set(
    score: Float[np.ndarray, " a"], weight: Float[np.ndarray, " a"], floor: float
) -> tuple[Bool[np.ndarray, " a"], float]:
    """The values whose union scores best; at most `MAX_MEMBERS`, never the rest."""
    best, chosen = 0.0, np.zeros(len(score), bool)
    for sign in (1.0, -1.0):
        signed = sign * score[:-1]
        ratio = signed / (weight[:-1] + floor)
        order = np.argsort(-ratio, kind="stable")
        order = order[signed[order] > 0][:MAX_MEMBERS]
        if not len(order):
            continue
        value = np.cumsum(signed[order]) ** 2 / (np.cumsum(weight[order]) + floor)
        # A few members that add little are not worth their ink.
        stop = int(np.argmax(value >= 0.98 * value.max()))
        if value[stop] > best:
            best = float(value[stop])
            chosen = np.zeros(len(score), bool)
            chosen[order[: stop + 1]] = True
    return chosen, best


def _grow_one(
    table: Table, score: Float[np.ndarray, "a b"], weight: Float[np.ndarray, "a b"], floor: float
) -> list[tuple[float, Bool[np.ndarray, " a"], Bool[np.ndarray, " b"]]]:
    """The best terms of one table, one from each start."""
    a, b = table.shape
    every = np.ones(b, bool)
    if table.second is None:
        first, value = _best_set(score[:, 0], weight[:, 0], floor)
        return [(value, first, every)] if value > 0 else []
    starts = [every]
    if table.second.name == "distance":
        offsets = np.array([*table.second.values, 0])
        starts += [offsets < 0, offsets > 0]
        starts = [start for start in starts if start.any()]
    found = []
    for second in starts:
        first, value = np.zeros(a, bool), 0.0
        for turn in range(_ROUNDS):
            first, value = _best_set(score[:, second].sum(1), weight[:, second].sum(1), floor)
            if not first.any():
                break
            if turn == 0 and second.all():
                found.append((value, first, second))
            changed, value = _best_set(score[first].sum(0), weight[first].sum(0), floor)
            if not changed.any() or (changed == second).all():
                break
            second = changed
        if first.any() and second.any():
            found.append((value, first, second))
    return found


def _source(table: Table, first: Bool[np.ndarray, " a"], second: Bool[np.ndarray, " b"]) -> str:
    parts = [table.gate] if table.gate else []
    for axis, held in ((table.first, first), (table.second, second)):
        if axis is None or held.all():
            continue
        values = [axis.values[i] for i in np.flatnonzero(held)]
        values.sort(key=lambda value: (isinstance(value, str), value))
        if len(values) == 1:
            parts.append(f"{axis.name} == {json.dumps(values[0], ensure_ascii=False)}")
        else:
            parts.append(f"{axis.name} in {_literal(values)}")
    return " and ".join(parts)


def grow(
    found: tuple[Table, ...],
    predicted: Float[np.ndarray, " N"],
    real: Float[np.ndarray, " N"],
    rows: int,
    limit: int,
) -> list[Grown]:
    """Grow the `limit` best terms for a head's residual."""
    residual = predicted - real
    weight = predicted * (1 - predicted)
    floor = _SHRINK * rows
    candidates = []
    for index, table in enumerate(found):
        for value, first, second in _grow_one(
            table, table.sums(residual), table.sums(weight), floor
        ):
            candidates.append((value, index, first, second))
    candidates.sort(key=lambda c: (-c[0], c[1]))
    return [
        Grown(_source(found[i], first, second), found[i].column(first, second, len(real)), value)
        for value, i, first, second in candidates[:limit]
    ]
