"""Where all of a head's attention goes, and which of its behaviours stand by themselves.

A second reading of the texts, once the behaviours of every head are confirmed. Of each head the
confirmed behaviours are ordered from narrow to broad, by how many cells they relate; what one of
them relates is left out of all later ones. A broad behaviour that keeps no excess on the cells that
are left was only the narrow one seen from afar, and is not listed.

The budget follows the same order on the content rows of a half: sinks, the token itself,
every listed behaviour (only its excess; what position expects there is position's), the tokens next
to it, the four around, and what is left. It sums to 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.behaviours.catalogue import FAMILIES, Behaviour
from headscribe.behaviours.measure import Sums, sinks_of
from headscribe.behaviours.naming import CONFIRM, POINT, SMALLEST, Named
from headscribe.behaviours.offsets import CLASSES, place_classes
from headscribe.core.arrays import HeadsAttention
from headscribe.core.visibility import Visibility
from headscribe.relations.language import Evaluator
from headscribe.scoring.statistics import ratio
from headscribe.text.passages import Passage

PARTS = ("sinks", "itself", "previous token", "next token", "nearby", "elsewhere")
"""Parts of every budget besides the behaviours; `elsewhere` is what nothing accounts for."""

SHARED = 0.5
"""Least overlap of rows with the mean of their text's other rows: the same from everywhere."""

BEYOND = 0.1
"""Least part of that overlap beyond what the head's profile overlaps with."""


@dataclass(frozen=True)
class Remaining:
    """What a confirmed behaviour keeps once narrower ones have had their cells; by head.

    Attributes:
        behaviour: its number.
        excess, low, high: beyond position, on the second half, as a share of the content attention
            on the rows where something is left to it; with the ends of its 95 % interval.
        listed: whether the excess is still above the smallest effect, its lower end above 0.
    """

    behaviour: int
    excess: float
    low: float
    high: float
    listed: bool


@dataclass(frozen=True)
class Accounts:
    """The second reading of all heads.

    Attributes:
        remaining: for every head its confirmed behaviours, narrow to broad.
        parts: shares of `PARTS` on both halves, `(2, len(PARTS), H)`.
        of_behaviours: for every head the share of each of `remaining`, on both halves.
        common: overlap of rows with the mean of their text's other rows, by half, `(2, H)`.
        common_low: its lower end; `common_gain`, `common_gain_low`: beyond the profile's overlap.
    """

    remaining: tuple[tuple[Remaining, ...], ...]
    parts: Float[np.ndarray, "2 K H"]
    of_behaviours: tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]
    common: Float[np.ndarray, "2 H"]
    common_low: Float[np.ndarray, "2 H"]
    common_gain: Float[np.ndarray, "2 H"]
    common_gain_low: Float[np.ndarray, "2 H"]

    @property
    def broadcasts(self) -> Bool[np.ndarray, " H"]:
        """Heads that read the same keys from every token of a text, on both halves."""
        held = (self.common_low > SHARED) & (self.common_gain_low > SMALLEST)
        return np.asarray(held.all(0) & (self.common_gain > BEYOND).all(0))


def _only_broader(behaviours: Sequence[Behaviour], named: Named) -> Bool[np.ndarray, "B H"]:
    """Behaviours that are a broader one on some rows: no more of it there than everywhere.

    "Pronouns read nouns" says something beside "reads nouns" only if pronouns read them more.
    """
    number = {behaviour.name: i for i, behaviour in enumerate(behaviours)}
    found = np.zeros_like(named.confirmed)
    for i, behaviour in enumerate(behaviours):
        for name in behaviour.broader:
            if name in number:
                whole = number[name]
                more = named.first.excess[i] - named.first.excess[whole]
                found[i] |= named.confirmed[whole] & (more < POINT)
    return found


class Accountant:
    """Reads the texts again, one by one; `accounts` ends it."""

    def __init__(
        self, behaviours: Sequence[Behaviour], sums: Sums, named: Named, groups: dict[str, int]
    ) -> None:
        """Order every head's confirmed behaviours from narrow to broad.

        Args:
            behaviours: as they were collected.
            sums: of the first reading.
            named: what was confirmed.
            groups: the number of each group in `sums`.
        """
        heads = named.confirmed.shape[1]
        kept = named.confirmed & ~_only_broader(behaviours, named)
        rank = np.array([FAMILIES.index(behaviour.family) for behaviour in behaviours])
        # Within a family by how many cells of a matrix a behaviour relates.
        order = np.lexsort((named.cells, rank))
        self._of = [[int(b) for b in order if kept[b, h]] for h in range(heads)]
        self._used = sorted({b for listed in self._of for b in listed})
        self._behaviours, self._sums, self._groups = behaviours, sums, groups
        shape = [(len(sums.half), len(listed)) for listed in self._of]
        self._beyond = [np.zeros(one) for one in shape]
        self._content = [np.zeros(one) for one in shape]
        self._parts = np.zeros((2, len(PARTS), heads))
        self._given = [np.zeros((2, len(listed))) for listed in self._of]
        self._profiles: dict[tuple[int, int], Float[np.ndarray, "C H"]] = {}
        self._rows = np.zeros(2)
        self._overlap = np.zeros((len(sums.half), 3, heads))

    def add(self, passage: Passage, attention: HeadsAttention, visibility: Visibility) -> None:
        """Read one text."""
        sinks = sinks_of(passage, visibility)
        content = ~sinks
        queries = np.flatnonzero(content)
        if len(queries) < 2:
            return
        group = self._groups[passage.group]
        fold, half = self._sums.folds[group], int(self._sums.half[group])
        visible = visibility.dense(len(passage))[queries]
        place = place_classes(queries, content)
        place[~visible] = -1
        rows = attention[:, queries, :]
        mass = rows[:, :, content].sum(-1)
        length = len(passage)
        at = np.nonzero(place >= 0)
        slot = at[0] * CLASSES + place[at]
        seen = np.bincount(slot, minlength=len(queries) * CLASSES).astype(np.float32)
        seen = seen.reshape(len(queries), CLASSES)
        self._common(rows, mass, place, seen, group, fold)

        evaluator = Evaluator(passage, visibility)
        row_of = np.full(length, -1)
        row_of[queries] = np.arange(len(queries))
        cells: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for number in self._used:
            found = evaluator.cells(self._behaviours[number].relation)
            good = content[found.query] & content[found.key]
            cells[number] = row_of[found.query[good]], found.key[good]
        offset = np.arange(length)[None, :] - queries[:, None]
        # The part of `PARTS` that a cell belongs to by its place alone.
        part = np.select(
            [offset == 0, offset == -1, offset == 1, np.abs(offset) <= 4], [1, 2, 3, 4], 5
        )
        free = content[None, :] & visible & (part > 1)
        self._rows[half] += len(queries)
        self._parts[half, 0] += rows[:, :, sinks].sum((1, 2))
        own = [part == 1, *(free & (part == k) for k in range(2, len(PARTS)))]
        flat = np.array(own, rows.dtype).reshape(len(own), -1)
        self._parts[half, 1:] += flat @ rows.reshape(len(rows), -1).T
        self._give(rows, mass, place, seen, cells, free, part, int(group), int(fold))

    def _give(
        self,
        rows: Float[np.ndarray, "H R T"],
        mass: Float[np.ndarray, "H R"],
        place: Int[np.ndarray, "R T"],
        seen: Float[np.ndarray, "R C"],
        cells: dict[int, tuple[np.ndarray, np.ndarray]],
        free: Bool[np.ndarray, "R T"],
        part: Int[np.ndarray, "R T"],
        group: int,
        fold: int,
    ) -> None:
        """Give heads' behaviours the cells that narrower ones have left, as their parts in turn.

        Heads whose lists begin alike are taken together: they have the same cells left.
        """
        half = int(self._sums.half[group])
        for number, slot, heads, taken in self._turns(cells, free):
            row, key = taken
            if (fold, number) not in self._profiles:
                self._profiles[fold, number] = self._sums.profile(fold, number)
            profile = self._profiles[fold, number][:, heads]
            applies, at = np.unique(row, return_inverse=True)
            total = np.maximum(seen[applies] @ profile, 1e-30)
            expected = mass[heads][:, row].T * profile[place[row, key]] / total[at]
            on_keys = rows[heads][:, row, key].T
            beyond = (on_keys - expected).sum(0, dtype=np.float64)
            content = mass[heads][:, applies].sum(1)
            kind = part[row, key]
            for k, head in enumerate(heads):
                self._beyond[head][group, slot] += beyond[k]
                self._content[head][group, slot] += content[k]
                self._given[head][half, slot] += beyond[k]
            # What position expects on a behaviour's keys belongs to the places they lie in.
            for one in np.unique(kind):
                here = kind == one
                self._parts[half, one, heads] += (expected[here] - on_keys[here]).sum(0)

    def _turns(
        self, cells: dict[int, tuple[np.ndarray, np.ndarray]], free: Bool[np.ndarray, "R T"]
    ) -> Iterator[tuple[int, int, list[int], tuple[np.ndarray, np.ndarray]]]:
        """Every behaviour of every list: its number, its place, the heads, the cells left to it."""
        open_ = [(list(range(len(self._of))), free, 0)]
        while open_:
            heads, left, slot = open_.pop()
            following: dict[int, list[int]] = {}
            for head in heads:
                if slot < len(self._of[head]):
                    following.setdefault(self._of[head][slot], []).append(head)
            for number, same in following.items():
                row, key = cells[number]
                mine = left[row, key]
                row, key = row[mine], key[mine]
                if len(row):
                    yield number, slot, same, (row, key)
                if any(slot + 1 < len(self._of[head]) for head in same):
                    after = left.copy()
                    after[row, key] = False
                    open_.append((same, after, slot + 1))

    def _common(
        self,
        rows: Float[np.ndarray, "H R T"],
        mass: Float[np.ndarray, "H R"],
        place: Int[np.ndarray, "R T"],
        seen: Float[np.ndarray, "R C"],
        group: int,
        fold: int | np.integer,
    ) -> None:
        """Overlap of each row with the mean of the others, and with the head's profile."""
        allowed = place >= 0
        wide = np.flatnonzero(allowed.sum(1) >= 4)
        if len(wide) < 4:
            return
        shares = np.where(allowed, rows, 0) / np.maximum(mass, 1e-9)[:, :, None]
        sums = shares.sum(1, keepdims=True) - shares
        counts = np.maximum(allowed.sum(0) - allowed, 1)
        mean = np.where(allowed, sums / counts, 0)
        mean /= np.maximum(mean.sum(-1, keepdims=True), 1e-9)
        profile = self._sums.overall[fold].T.astype(np.float32)
        expected = profile[:, np.maximum(place, 0)] * allowed
        expected /= np.maximum(expected.sum(-1, keepdims=True), 1e-9)
        weight = mass[:, wide]
        common = np.minimum(shares, mean)[:, wide].sum(-1) * weight
        alone = np.minimum(shares, expected)[:, wide].sum(-1) * weight
        self._overlap[group, 0] += common.sum(1)
        self._overlap[group, 1] += (common - alone).sum(1)
        self._overlap[group, 2] += weight.sum(1)

    def _shares(self, half: int) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(given[half] / max(self._rows[half], 1)) for given in self._given)

    def accounts(self) -> Accounts:
        """What was read."""
        second = self._sums.half == 1
        remaining = []
        for listed, beyond, content in zip(self._of, self._beyond, self._content, strict=True):
            excess, low, high = ratio(beyond[second], content[second])
            remaining.append(
                tuple(
                    Remaining(
                        number, float(excess[i]), float(low[i]), float(high[i]),
                        bool(excess[i] >= CONFIRM and low[i] > 0),
                    )
                    for i, number in enumerate(listed)
                )
            )  # fmt: skip
        figures = []
        for half in (0, 1):
            chosen = self._overlap[self._sums.half == half]
            figures += [ratio(chosen[:, k], chosen[:, 2])[:2] for k in (0, 1)]
        common, low = (np.stack([figures[0][i], figures[2][i]]) for i in (0, 1))
        gain, gain_low = (np.stack([figures[1][i], figures[3][i]]) for i in (0, 1))
        return Accounts(
            tuple(remaining),
            self._parts / np.maximum(self._rows, 1)[:, None, None],
            (self._shares(0), self._shares(1)),
            common, low, gain, gain_low,
        )  # fmt: skip
