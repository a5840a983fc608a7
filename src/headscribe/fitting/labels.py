"""Labels: the patterns that a head follows, taken one after the other, or none.

A pattern is a label of a head if mixing it into what is already there gains more than a threshold
on unseen texts, in IoU and in Jensen-Shannon distance: both one-sided tests, clustered by group,
under Benjamini-Yekutieli control over all heads and patterns. Gains are measured where the head
works: on the rows that the pattern covers, over content keys, each row weighted by the attention
that the head spends on content. A head that looks from determiners to their nouns and rests on
`[SEP]` everywhere else is judged by its determiners.

What is already there is at first, for a pattern that reads words, the head's own profile on the
very rows that the pattern covers (so that a head that looks back two tokens gets no credit for the
determiners that stand there), and for a positional one the uniform row; then the mixture with the
labels found so far. Patterns that read words go first, and of those that pass the one that gains
most, so that a narrow one goes before the broad one that contains it. A sink says where a head
rests, not what it does: it is a label of a head that has no other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from headscribe.core.metrics import divergence
from headscribe.fitting.features import Sample
from headscribe.fitting.folds import halves
from headscribe.fitting.scores import cell_classes
from headscribe.fitting.stages import selection_rows
from headscribe.fitting.statistics import benjamini_yekutieli, number_groups, one_sided
from headscribe.scoring.profile import CELL_CLASSES

THRESHOLD = 0.05
"""Gains that matter, in IoU and in JSD."""

LEAST_ROWS, LEAST_GROUPS = 20, 6
"""Rows and groups of texts that a pattern has to cover."""

LEAST_CONTENT = 0.1
"""Attention that a head has to spend on content, in the mean over the rows that a pattern covers,
to be judged by it there."""

LEAST_REST = 0.4
"""Attention that a head has to spend on sinks to be said to rest on them."""

_LOOKED_AT = 6  # patterns of each head whose gains are tested, those that promise most
_MOST = 4
_STEPS = 12
_TINY = 1e-30


@dataclass(frozen=True)
class Label:
    """A pattern that a head follows: its gains given the labels before it, and the p-value."""

    pattern: str
    gain_iou: float
    gain_jsd: float
    p: float


@dataclass(frozen=True)
class _Cells:
    """The cells of the rows that one pattern covers, as far as they count.

    Attributes:
        text: the text of each row; half: its half, `(R,)`.
        row: the row of each cell, ascending, `(N,)`.
        start: the first cell of each row, `(R,)`.
        cell: the place of each cell in the sample, `(N,)`.
        classes: the class of each cell in a profile of its own half, `(N,)`.
        predicted: the pattern's rows over these cells, each summing to 1, `(N,)`.
        spent: what every head spends on the cells of each row, `(H, R)`.
        attention: of every head on all cells of the sample; `by_cell` the same, cells first.
    """

    text: Int[np.ndarray, " R"]
    half: Int[np.ndarray, " R"]
    row: Int[np.ndarray, " N"]
    start: Int[np.ndarray, " R"]
    cell: Int[np.ndarray, " N"]
    classes: Int[np.ndarray, " N"]
    predicted: Float[np.ndarray, " N"]
    spent: Float[np.ndarray, "H R"]
    attention: Float[np.ndarray, "H S"]
    by_cell: Float[np.ndarray, "S H"]

    def sums(self, values: Float[np.ndarray, "*any N"]) -> Float[np.ndarray, "*any R"]:
        """Add the cells of every row."""
        return np.add.reduceat(values, self.start, axis=-1)

    def normalised(self, values: Float[np.ndarray, "*any N"]) -> Float[np.ndarray, "*any N"]:
        """Rows that sum to 1; uniform where nothing is known."""
        total = self.sums(values)
        if (total > _TINY).all():
            return values * (1 / total)[..., self.row]
        total = total[..., self.row]
        return np.where(total > _TINY, values / np.maximum(total, _TINY), self.uniform(1))

    def uniform(self, heads: int) -> Float[np.ndarray, "H N"]:
        """The uniform row, for so many heads."""
        flat = (1 / np.bincount(self.row)[self.row]).astype(np.float32)
        return np.broadcast_to(flat, (heads, len(self.row)))

    def promise(self, there: Float[np.ndarray, "H N"]) -> Float[np.ndarray, " H"]:
        """What every head spends on the pattern's keys beyond what is there, as a share times the
        root of the rows; minus infinity where it spends next to nothing on all of the keys.
        """
        cells = np.flatnonzero(self.predicted)
        rows = self.row[cells]
        spent = self.spent.sum(axis=1)
        share = self.by_cell[self.cell[cells]].sum(axis=0) / np.maximum(spent, _TINY)
        known = np.einsum("hn,hn->h", there[:, cells], self.spent[:, rows])
        promise = (share - known / np.maximum(spent, _TINY)) * len(self.start) ** 0.5
        return np.where(spent >= LEAST_CONTENT * len(self.start), promise, -np.inf)

    @cached_property
    def _means(self) -> tuple[Float[np.ndarray, "H k"], Int[np.ndarray, " N"]]:
        """What every head spends on the classes of cells that occur, each half with what the other
        one says, and the place of each cell's class among them.
        """
        known, index = np.unique(self.classes, return_inverse=True)
        order = np.argsort(index, kind="stable")
        first = np.searchsorted(index[order], np.arange(len(known)))
        cells, rows = self.cell[order], self.row[order]
        mean = np.zeros((len(self.attention), 2 * CELL_CLASSES), np.float32)
        for one, spent, into in zip(self.attention, self.spent, mean, strict=True):
            total, count = np.add.reduceat(one[cells], first), np.add.reduceat(spent[rows], first)
            into[known] = total / np.maximum(count, _TINY)
        return mean[:, (known + CELL_CLASSES) % (2 * CELL_CLASSES)], index

    def profile(self, heads: Int[np.ndarray, " h"]) -> Float[np.ndarray, "h N"]:
        """Some heads' profiles on these rows, each half with what the other one says."""
        mean, index = self._means
        return self.normalised(mean[heads][:, index])

    def mixed(
        self, head: int, pattern: Float[np.ndarray, " N"], there: Float[np.ndarray, " N"]
    ) -> Float[np.ndarray, " N"]:
        """What is there, mixed with a pattern: the share fitted on one half serves the other."""
        covered = np.bincount(self.row, pattern, len(self.start)) > 0
        keys = np.flatnonzero(pattern)
        serves = np.zeros(len(self.start))
        for side in (0, 1):
            fitted = (self.half == side) & covered
            cells = keys[fitted[self.row[keys]]]
            values, base = pattern[cells], np.asarray(there[cells], np.float64)
            own = self.attention[head, self.cell[cells]] * values
            spent, share = max(float(self.spent[head, fitted].sum()), _TINY), 0.5
            for _ in range(_STEPS):
                odds = (1 - share) / max(share, _TINY)
                share = float(own @ (1 / (values + odds * base))) / spent
            serves[(self.half != side) & covered] = share
        mixed = pattern - there
        mixed *= serves[self.row]
        mixed += there
        return mixed

    def overlap(
        self, head: int, rows: Float[np.ndarray, " N"], texts: int
    ) -> Float[np.ndarray, " texts"]:
        """IoU of some rows with a head, by text."""
        real, predicted, spent = self._compared(head, rows)
        shared = np.bincount(self.text, self.sums(np.minimum(real, predicted)), texts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return shared / (2 * np.bincount(self.text, spent, texts) - shared)

    def distance(
        self, head: int, rows: Float[np.ndarray, " N"], texts: int
    ) -> Float[np.ndarray, " texts"]:
        """Jensen-Shannon distance of some rows from a head, by text."""
        real, predicted, spent = self._compared(head, rows)
        square = self.sums(divergence(real, predicted)) / np.maximum(spent, _TINY)
        distance = np.bincount(self.text, spent * np.sqrt(np.clip(square, 0, 1)), texts)
        with np.errstate(divide="ignore", invalid="ignore"):
            return distance / np.bincount(self.text, spent, texts)

    def _compared(
        self, head: int, rows: Float[np.ndarray, " N"]
    ) -> tuple[Float[np.ndarray, " N"], Float[np.ndarray, " N"], Float[np.ndarray, " R"]]:
        """A head's attention, what some rows make of it, and what the head spends on each row."""
        spent = self.spent[head].astype(np.float64)
        real = self.attention[head, self.cell].astype(np.float64)
        return real, rows * spent[self.row], spent


class _Labeller:
    """Tests patterns of one sample on the heads."""

    def __init__(
        self,
        sample: Sample,
        patterns: Sequence[int],
        half: Int[np.ndarray, " texts"],
        *,
        sinks: bool,
    ) -> None:
        self.sample = sample
        self.group = number_groups(sample.groups)
        self.half = half
        self._classes = cell_classes(sample) + CELL_CLASSES * half[sample.row_text][sample.row]
        self._by_cell = np.ascontiguousarray(sample.attention.T)
        self._counts = np.ones(len(sample.key_token), bool)
        if not sinks:
            self._counts = sample.sinks[sample.key_token] == 0
            self._counts &= (sample.sinks[sample.row_token] == 0)[sample.row]
        self.cells = {p: cells for p in patterns if (cells := self._cells(p)) is not None}

    def _cells(self, pattern: int) -> _Cells | None:
        sample = self.sample
        column = sample.predictions.column(pattern, len(sample.key_token)) * self._counts
        covered = np.bincount(sample.row, column, len(sample.lengths)) > 0
        texts = np.unique(sample.row_text[covered])
        few = covered.sum() < LEAST_ROWS or len(set(self.group[texts].tolist())) < LEAST_GROUPS
        if few or len(set(self.half[texts].tolist())) < 2:
            return None
        cell = np.flatnonzero(covered[sample.row] & self._counts)
        row = (np.cumsum(covered) - 1)[sample.row[cell]]
        start = np.flatnonzero(np.append(True, row[1:] != row[:-1]))
        text = sample.row_text[covered]
        predicted = column[cell].astype(np.float64)
        predicted /= np.add.reduceat(predicted, start)[row]
        spent = np.add.reduceat(self._by_cell[cell], start, axis=0).T
        return _Cells(
            text, self.half[text], row, start, cell, self._classes[cell], predicted, spent,
            sample.attention, self._by_cell,
        )  # fmt: skip

    def column(self, pattern: int, cells: _Cells) -> Float[np.ndarray, " N"]:
        """What a pattern predicts on the rows of another, each row summing to 1 or 0."""
        column = self.sample.predictions.column(pattern, len(self.sample.key_token))
        values = column[cells.cell].astype(np.float64)
        total = cells.sums(values)[cells.row]
        return np.where(total > 0, values / np.where(total > 0, total, 1), 0.0)

    def there(
        self, cells: _Cells, heads: Int[np.ndarray, " h"], *, profile: bool
    ) -> Float[np.ndarray, "h N"]:
        """What a first label has to gain over."""
        if profile:
            return cells.profile(heads)
        return cells.uniform(len(heads))

    def run(
        self,
        patterns: Sequence[int],
        labels: list[list[tuple[int, Label]]],
        open_heads: Sequence[int],
        threshold: float,
        rate: float,
        *,
        profile: bool,
    ) -> None:
        """Add labels out of some patterns to the open heads, over those that they have."""
        known = [p for p in patterns if p in self.cells]
        heads = np.array(open_heads, int)
        if not known or not len(heads):
            return
        every = np.arange(len(labels))
        promise = np.stack(
            [
                self.cells[p].promise(self.there(self.cells[p], every, profile=profile))[heads]
                for p in known
            ]
        )
        order = np.argsort(-promise, axis=0, kind="stable")[:_LOOKED_AT]
        left = {
            int(h): [known[k] for k in order[:, i] if np.isfinite(promise[k, i])]
            for i, h in enumerate(heads)
        }
        for _ in range(_MOST):
            p_values = np.ones((len(labels), len(known)))
            gains = np.zeros((len(labels), len(known), 2))
            for h, these in left.items():
                for p in these:
                    k = known.index(p)
                    before = [q for q, _ in labels[h]]
                    p_values[h, k], gains[h, k] = self._gain(
                        p, h, before, threshold, rate, profile=profile
                    )
            passed = benjamini_yekutieli(p_values, rate)
            for h in list(left):
                if not passed[h].any() or len(labels[h]) >= _MOST:
                    del left[h]
                    continue
                best = int(np.argmax(np.where(passed[h], gains[h, :, 0], -1.0)))
                iou, jsd = (float(gain) for gain in gains[h, best])
                name = self.sample.patterns[known[best]]
                labels[h].append((known[best], Label(name, iou, jsd, float(p_values[h, best]))))
                left[h].remove(known[best])
            if not left:
                return

    def _gain(
        self,
        pattern: int,
        head: int,
        before: Sequence[int],
        threshold: float,
        rate: float,
        *,
        profile: bool,
    ) -> tuple[float, tuple[float, float]]:
        """What a pattern adds to a head's labels in IoU and JSD, and the larger p-value of both."""
        cells = self.cells[pattern]
        there = self.there(cells, np.array([head]), profile=profile)[0]
        for label in before:
            there = cells.mixed(head, self.column(label, cells), there)
        mixed = cells.mixed(head, cells.predicted, there)
        texts = len(self.sample.groups)
        iou = cells.overlap(head, mixed, texts) - cells.overlap(head, there, texts)
        p = float(one_sided(iou, self.group, threshold))
        if p > rate:  # no control of false discoveries passes this: spare the logarithms
            return p, (float(np.nanmean(iou)), np.nan)
        jsd = cells.distance(head, there, texts) - cells.distance(head, mixed, texts)
        p = max(p, float(one_sided(jsd, self.group, threshold)))
        return p, (float(np.nanmean(iou)), float(np.nanmean(jsd)))


def label_heads(
    sample: Sample, seed: int = 0, *, threshold: float = THRESHOLD, rate: float = 0.05
) -> tuple[tuple[Label, ...], ...]:
    """The labels of every head; none for a head that is `unexplained`.

    The groups are dealt to two halves: shares and profiles fitted on one are tested on the other.

    `threshold` is the gain that matters, `rate` the false-discovery rate.
    """
    sample = selection_rows(sample, seed)
    half = halves(sample, seed)
    if half is None:
        return tuple(() for _ in sample.attention)
    kinds = _kinds(sample)
    words, positions, sinks = (
        [p for p, kind in enumerate(kinds) if kind == wanted]
        for wanted in ("word", "place", "sink")
    )
    labels: list[list[tuple[int, Label]]] = [[] for _ in sample.attention]
    content = _Labeller(sample, words + positions, half, sinks=False)
    mass, every = content_mass(sample), range(len(labels))
    content.run(words, labels, every, threshold, rate, profile=True)
    content.run(positions, labels, every, threshold, rate, profile=False)
    resting = [h for h, found in enumerate(labels) if not found and 1 - mass[h] >= LEAST_REST]
    whole = _Labeller(sample, sinks, half, sinks=True)
    whole.run(sinks, labels, resting, threshold, rate, profile=False)
    return tuple(tuple(label for _, label in found) for found in labels)


def content_mass(sample: Sample) -> Float[np.ndarray, " H"]:
    """What every head spends on content keys, in the mean over content rows."""
    rows = sample.sinks[sample.row_token] == 0
    cells = rows[sample.row] & (sample.sinks[sample.key_token] == 0)
    spent: Float[np.ndarray, " H"] = sample.attention[:, cells].sum(axis=1, dtype=np.float64)
    return spent / max(int(rows.sum()), 1)


def _kinds(sample: Sample) -> list[str]:
    """What each pattern is: `word`, `place`, `sink`, or `` for one that says what another says.

    A pattern is a sink if it puts more on sinks than on content; fall-backs for rows without
    content count for nothing, since the rows of sinks are left out.
    """
    rows = (sample.sinks[sample.row_token] == 0)[sample.row]
    on_sink = sample.sinks[sample.key_token] > 0
    found, seen = [], set()
    for p, positional in enumerate(sample.positional):
        column = sample.predictions.column(p, len(sample.key_token))
        sink = column[rows & on_sink].sum() > column[rows & ~on_sink].sum()
        kept = column if sink else column * (rows & ~on_sink)
        same = kept.tobytes()
        found.append("" if same in seen else "sink" if sink else "place" if positional else "word")
        seen.add(same)
    return found


def agreement(
    one: Sequence[Iterable[str]], two: Sequence[Iterable[str]]
) -> tuple[float, float | None]:
    """How far two namings of the same heads agree: mean Jaccard index over heads.

    Returns:
        Over all heads, where two without labels agree; and over the heads that either labels, None
        if there is none.

    >>> agreement([["a"], [], ["a", "b"]], [["a"], [], ["b"]])
    (0.8333333333333334, 0.75)
    """
    pairs = [(set(a), set(b)) for a, b in zip(one, two, strict=True)]
    scores = [len(a & b) / len(a | b) for a, b in pairs if a | b]
    every = (sum(scores) + len(pairs) - len(scores)) / len(pairs)
    return every, sum(scores) / len(scores) if scores else None
