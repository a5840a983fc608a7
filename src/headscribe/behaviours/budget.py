"""Where all of a head's attention goes, and which of its behaviours stand by themselves.

A second reading of the texts, once the behaviours of every head are confirmed. Of each head the
confirmed behaviours are ordered: narrow families before broad ones, and within a family by the
excess that a head surely has on the first half, the lower end of its interval. What one of them
relates is left out of all later ones: one that keeps no excess on the cells that are left was only
an earlier one seen from afar, and is not listed.

The budget follows the same order on the content rows of a half: sinks, the token itself,
every listed behaviour (only its excess; what position expects there is position's), the tokens next
to it, the four around, and what is left. It sums to 1.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from headscribe.behaviours.catalogue import FAMILIES, Behaviour
from headscribe.behaviours.compiled.second import give, overlaps
from headscribe.behaviours.measure import Sums, add_sums, half_of
from headscribe.behaviours.naming import CONFIRM, POINT, SMALLEST, Named
from headscribe.behaviours.texts import Rows, cells_of
from headscribe.core.visibility import Visibility
from headscribe.relations.language import Evaluator
from headscribe.scoring.statistics import ratio
from headscribe.scoring.threads import share
from headscribe.text.passages import Passage

PARTS = ("sinks", "itself", "previous token", "next token", "nearby", "elsewhere")
"""Parts of every budget besides the behaviours; `elsewhere` is what nothing accounts for."""

SHARED = 0.5
"""Least overlap of rows with the mean of their text's other rows: the same from everywhere."""

BEYOND = 0.1
"""Least part of that overlap beyond what the head's profile overlaps with."""


@dataclass(frozen=True)
class Remaining:
    """What a confirmed behaviour keeps once earlier ones have had their cells; by head.

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
        remaining: for every head its confirmed behaviours, in the order in which they had cells.
        parts: shares of `PARTS` on both halves, `(2, len(PARTS), H)`.
        of_behaviours: for every head the share of each of `remaining`, on both halves.
        common: overlap of rows with the mean of their text's other rows, by half, `(2, H)`.
        common_low: its lower end; `common_gain`, `common_gain_low`: beyond the profile's overlap.
        picked: the key of each text that all its rows together read most, -1 for none, `(N, H)`.
    """

    remaining: tuple[tuple[Remaining, ...], ...]
    parts: Float[np.ndarray, "2 K H"]
    of_behaviours: tuple[tuple[tuple[float, ...], ...], tuple[tuple[float, ...], ...]]
    common: Float[np.ndarray, "2 H"]
    common_low: Float[np.ndarray, "2 H"]
    common_gain: Float[np.ndarray, "2 H"]
    common_gain_low: Float[np.ndarray, "2 H"]
    picked: Int[np.ndarray, "N H"]

    @property
    def broadcasts(self) -> Bool[np.ndarray, " H"]:
        """Heads that read the same keys from every token of a text, on both halves."""
        held = (self.common_low > SHARED) & (self.common_gain_low > SMALLEST)
        return np.asarray(held.all(0) & (self.common_gain > BEYOND).all(0))


def _only_broader(behaviours: Sequence[Behaviour], named: Named) -> Bool[np.ndarray, "B H"]:
    """Behaviours that are a broader one on some rows: no more of it there than everywhere.

    "Pronouns read nouns" says something only if pronouns read them more than all words do, whether
    or not these do so enough for a name: on both halves, by as much as a name asks for.
    """
    number = {behaviour.name: i for i, behaviour in enumerate(behaviours)}
    found = np.zeros_like(named.confirmed)
    for i, behaviour in enumerate(behaviours):
        for name in behaviour.broader:
            if name in number:
                whole = number[name]
                for half, least in ((named.first, POINT), (named.second, CONFIRM)):
                    found[i] |= half.excess[i] - half.excess[whole] < least
    return found


class Accountant:
    """Adds up where the attention of all heads of one kind of layers goes; `accounts` ends it."""

    def __init__(
        self,
        behaviours: Sequence[Behaviour],
        sums: Sums,
        named: Named,
        clusters: dict[str, int],
        visibility: Visibility,
        texts: Sequence[str],
    ) -> None:
        """Order every head's confirmed behaviours, so that the first explain the others.

        Args:
            behaviours: as they were collected.
            sums: of the first reading.
            named: what was confirmed.
            clusters: the cluster of each group, see `Collector`.
            visibility: what the layers see.
            texts: ids of the texts that will be read.
        """
        self._number = {text_id: number for number, text_id in enumerate(texts)}
        heads = named.confirmed.shape[1]
        kept = named.confirmed & ~_only_broader(behaviours, named)
        rank = np.array([FAMILIES.index(behaviour.family) for behaviour in behaviours])
        low, _ = named.first.interval()
        self._of = [
            [int(b) for b in np.lexsort((-low[:, h], rank)) if kept[b, h]] for h in range(heads)
        ]
        self._used = sorted({b for listed in self._of for b in listed})
        self._behaviours, self.visibility = tuple(behaviours), visibility
        self._fold, self._clusters = sums.folds, clusters
        # What the profiles of a head's behaviours say, by fold; the rest of the sums is not needed.
        numbers = [np.array(listed, np.int64) for listed in self._of]
        self._listed = [np.searchsorted(self._used, listed) for listed in numbers]
        self._profiles: list[Float[np.ndarray, "F n C"]] = [
            np.stack([sums.profiles(fold, listed, h) for fold in range(len(sums.met))])
            for h, listed in enumerate(numbers)
        ]
        self._overall = sums.overall
        groups, most = len(sums.half), max(map(len, self._of), default=0)
        self.totals = {
            "beyond": np.zeros((groups, heads, most)),
            "content": np.zeros((groups, heads, most)),
            "parts": np.zeros((2, heads, len(PARTS))),
            "rows": np.zeros(2),
            "overlap": np.zeros((groups, heads, 3)),
            "picked": np.zeros((len(texts), heads)),  # counted from 1: parts of texts are added up
        }

    def reading(self, batch: Sequence[Passage]) -> "SecondReading":
        """What reads some texts."""
        return SecondReading(self, batch)

    def blank(self) -> "Accountant":
        """The same question with nothing read."""
        other = copy(self)
        other.totals = {name: np.zeros_like(total) for name, total in self.totals.items()}
        return other

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Add what `totals` were of another part of the same texts, or of an interrupted run."""
        add_sums(self.totals, arrays)

    def cluster_of(self, passage: Passage) -> int:
        """The cluster of a text's group."""
        return self._clusters[passage.group]

    def number_of(self, passage: Passage) -> int:
        """The number of a text."""
        return self._number[passage.text_id]

    def cells(
        self, passage: Passage, rows: Rows
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " e"], Int[np.ndarray, " e"]]:
        """The related cells of every behaviour that some head has, see `texts.cells_of`."""
        relations = [self._behaviours[number].relation for number in self._used]
        return cells_of(Evaluator(passage, self.visibility), rows, relations)

    def of_head(
        self, head: int, cluster: int
    ) -> tuple[
        Int[np.ndarray, " n"], Float[np.ndarray, "n C"], Float[np.ndarray, " C"]
    ]:  # fmt: skip
        """A head's behaviours, by their place among those that some head has; their profiles, and
        the head's own."""
        fold = self._fold[cluster]
        return self._listed[head], self._profiles[head][fold], self._overall[fold, head]

    def accounts(self) -> Accounts:
        """What was read."""
        of, which = self.totals, np.arange(len(self._fold)) % 2
        second = which == 1
        remaining = []
        for head, listed in enumerate(self._of):
            beyond, content = (of[name][second, head] for name in ("beyond", "content"))
            excess, low, high = ratio(beyond, content)
            remaining.append(
                tuple(
                    Remaining(
                        number, float(excess[i]), float(low[i]), float(high[i]),
                        bool(excess[i] >= CONFIRM and low[i] > 0),
                    )
                    for i, number in enumerate(listed)
                )
            )  # fmt: skip
        rows = np.maximum(of["rows"], 1)
        given = [
            tuple(
                tuple(of["beyond"][which == half, head, : len(listed)].sum(0) / rows[half])
                for head, listed in enumerate(self._of)
            )
            for half in (0, 1)
        ]
        figures = []
        for half in (0, 1):
            chosen = of["overlap"][which == half]
            figures += [ratio(chosen[:, :, k], chosen[:, :, 2])[:2] for k in (0, 1)]
        common, low = (np.stack([figures[0][i], figures[2][i]]) for i in (0, 1))
        gain, gain_low = (np.stack([figures[1][i], figures[3][i]]) for i in (0, 1))
        return Accounts(
            tuple(remaining), (of["parts"] / rows[:, None, None]).transpose(0, 2, 1),
            (given[0], given[1]), common, low, gain, gain_low, of["picked"].astype(np.int64) - 1,
        )  # fmt: skip


class SecondReading:
    """Reads some texts layer by layer; until `commit` the accountant does not know of them."""

    def __init__(self, accountant: Accountant, batch: Sequence[Passage]) -> None:
        self._accountant = accountant
        rows = [
            (b, passage, Rows.of(passage, accountant.visibility)) for b, passage in enumerate(batch)
        ]
        self._texts = [
            (b, passage, one, accountant.cells(passage, one))
            for b, passage, one in rows
            if len(one.queries)
        ]
        self._of = [
            {name: np.zeros(total.shape[1:]) for name, total in accountant.totals.items()}
            for _ in self._texts
        ]

    def read(self, attention: Float[np.ndarray, "B H T T"], first: int) -> None:
        """Read heads `first`, `first + 1`, ... of the accountant's."""

        def work(items: Iterator[int]) -> None:
            for t in items:
                b, passage, rows, (start, row, key) = self._texts[t]
                real = np.ascontiguousarray(attention[b, :, : len(passage), : len(passage)])
                cluster = self._accountant.cluster_of(passage)
                taken, of = np.zeros(rows.place.shape, bool), self._of[t]
                seen = (rows.queries, rows.sinks, rows.place, rows.bounds)
                for h, matrix in enumerate(real, first):
                    listed, profiles, own = self._accountant.of_head(h, cluster)
                    give(
                        matrix, *seen, rows.seen, listed, start, row, key, profiles, taken,
                        of["parts"][h], of["beyond"][h], of["content"][h],
                    )  # fmt: skip
                    of["picked"][h] = overlaps(matrix, *seen, own, of["overlap"][h]) + 1

        share(len(self._texts), work)

    def commit(self) -> None:
        """Add what was read to the accountant's sums."""
        totals = self._accountant.totals
        for (_, passage, rows, _), of in zip(self._texts, self._of, strict=True):
            cluster = self._accountant.cluster_of(passage)
            for name in ("beyond", "content", "overlap"):
                totals[name][cluster] += of[name]
            totals["picked"][self._accountant.number_of(passage)] = of["picked"]
            totals["parts"][half_of(cluster)] += of["parts"]
            totals["rows"][half_of(cluster)] += len(rows.queries)
