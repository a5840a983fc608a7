"""Shares of a head's content attention on a behaviour's keys, and what its position expects there.

For a head and a behaviour let `G` be the rows that apply, `K_i` their keys, `S` the sinks, and
`c_i = 1 - sum_{j in S} A_ij` the row's content mass:

    share    = sum_{i in G} sum_{j in K_i} A_ij          / sum_{i in G} c_i
    expected = sum_{i in G} c_i sum_{j in K_i} q_ij      / sum_{i in G} c_i
    excess   = share - expected

`q_ij` is the head's own profile over the visible content keys: its mean attention by place class
(`offsets.py`), estimated on rows that apply too and on other groups of texts. So a head that looks
three tokens back gets no credit for the determiners that happen to stand there.

One pass reads the attention and keeps sums; what is expected follows from them without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from scipy.sparse import csr_matrix

from headscribe.behaviours.catalogue import Behaviour
from headscribe.behaviours.offsets import CLASSES, place_classes
from headscribe.behaviours.places import PLACES, place_shares
from headscribe.core.arrays import HeadsAttention, TokenFlags
from headscribe.core.visibility import Visibility
from headscribe.relations.language import Evaluator, Relation
from headscribe.text.passages import Passage

HALVES = 2
"""Names are given on the first half of the groups and confirmed on the second."""

FOLDS = 4
"""Parts of a half: a profile is estimated on the half's other parts."""

TOGETHER = 256
"""Rows of a fold whose products are formed together."""

BLOCK = 1 << 23
"""Numbers of attention that are turned around at a time: 32 MB."""


@dataclass(frozen=True)
class Sums:
    """What the shares are made of, by behaviour, group and head; `G` groups, `H` heads.

    Attributes:
        half: of each group, 0 or 1, shape `(G,)`.
        on_keys: attention on the behaviours' keys, `(B, G, H)`.
        expected: what the profile puts there, `(B, G, H)`.
        content: content mass of the rows that apply, `(B, G, H)`.
        rows: rows that apply, `(B, G)`.
        hits: rows that apply whose strongest content key is one of theirs, `(B, G, H)`.
        all_content: content mass of all content rows, `(G, H)`.
        all_rows: content rows, `(G,)`.
        places: attention of the content rows in each of `PLACES`, `(G, P, H)`.
        by_place: of each fold the attention by place class on the rows that apply; `met`: the
            content mass that met the class, `(F, B, C, H)`.
        overall: the profile of a fold's half, its other folds, on all content rows, `(F, C, H)`.
        folds: the fold of each group, `(G,)`.
        cells: related cells by behaviour, `(B,)`.
    """

    half: Int[np.ndarray, " G"]
    on_keys: Float[np.ndarray, "B G H"]
    expected: Float[np.ndarray, "B G H"]
    content: Float[np.ndarray, "B G H"]
    rows: Float[np.ndarray, "B G"]
    hits: Float[np.ndarray, "B G H"]
    all_content: Float[np.ndarray, "G H"]
    all_rows: Float[np.ndarray, " G"]
    places: Float[np.ndarray, "G P H"]
    by_place: Float[np.ndarray, "F B C H"]
    met: Float[np.ndarray, "F B C H"]
    overall: Float[np.ndarray, "F C H"]
    folds: Int[np.ndarray, " G"]
    cells: Float[np.ndarray, " B"]

    def profile(self, fold: int, behaviour: int) -> Float[np.ndarray, "C H"]:
        """The profile on the rows where a behaviour applies, of the other folds of a half."""
        others = _others(fold)
        by_place, met = self.by_place[others, behaviour], self.met[others, behaviour]
        return _profile(by_place.sum(0), met.sum(0))


def sinks_of(passage: Passage, visibility: Visibility) -> TokenFlags:
    """The tokens that soak up attention: special ones, and the first in a causal layer."""
    sinks = passage.is_special.copy()
    if visibility.causal:
        sinks[:1] = True
    return sinks


@dataclass(frozen=True)
class _Text:
    """What is kept of one text when its attention is gone.

    Attributes:
        group: its number.
        mass: content mass of each row and head, `(R, H)`.
        seen: visible content keys of each row by place class, `(R, C)`.
        gates: rows where each behaviour applies, `(B, R)`, as bits.
        pair, row, place, count: how many keys of a place class each relation has on a row.
    """

    group: int
    mass: Float[np.ndarray, "R H"]
    seen: Float[np.ndarray, "R C"]
    gates: UInt8[np.ndarray, "B _"]
    pair: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]
    place: Int[np.ndarray, " n"]
    count: Float[np.ndarray, " n"]


@dataclass
class _Waiting:
    """Texts of one fold whose products by place class are not formed yet."""

    gates: list[Float[np.ndarray, "B R"]]
    by_place: list[Float[np.ndarray, "R C H"]]
    seen: list[Float[np.ndarray, "R C"]]
    mass: list[Float[np.ndarray, "R H"]]


class Collector:
    """Reads texts with the attention of all heads, one by one; `sums` ends it.

    Many behaviours ask the same of pairs and differ in the rows that they speak of: "nouns read
    determiners", "verbs read determiners". What is asked of pairs is evaluated and summed by row
    once, and behaviours add up their rows.
    """

    def __init__(self, behaviours: Sequence[Behaviour], half: dict[str, int]) -> None:
        """Ask for these behaviours.

        Args:
            behaviours: those that apply to the texts.
            half: 0 or 1 for every group of texts.
        """
        parted = [behaviour.relation.parted for behaviour in behaviours]
        self._pairs = list(dict.fromkeys(pairs for pairs, _ in parted))
        number = {pairs: i for i, pairs in enumerate(self._pairs)}
        self._pair = np.array([number[pairs] for pairs, _ in parted], np.int64)
        self._tests = list(dict.fromkeys(test for _, test in parted if test is not None))
        at: dict[Relation | None, int] = {test: i for i, test in enumerate(self._tests, 1)}
        self._test = np.array([at.get(test, 0) for _, test in parted], np.int64)
        self._members = [np.flatnonzero(self._pair == i) for i in range(len(self._pairs))]
        self._count = len(parted)
        self._half = half
        self._groups = {group: number for number, group in enumerate(half)}
        within = {0: 0, 1: 0}
        self._fold = {}
        for group, which in half.items():
            self._fold[group] = which * FOLDS + within[which] % FOLDS
            within[which] += 1
        self._texts: list[list[_Text]] = [[] for _ in range(HALVES * FOLDS)]
        self._waiting = [_Waiting([], [], [], []) for _ in range(HALVES * FOLDS)]
        self._ready = False

    def _begin(self, heads: int) -> None:
        groups, count = len(self._groups), self._count
        self._on_keys = np.zeros((count, groups, heads))
        self._content = np.zeros((count, groups, heads))
        self._hits = np.zeros((count, groups, heads))
        self._rows = np.zeros((count, groups))
        self._cells = np.zeros(count)
        self._all_content = np.zeros((groups, heads))
        self._all_rows = np.zeros(groups)
        shape = (HALVES * FOLDS, count, CLASSES, heads)
        self._by_place = np.zeros(shape, np.float32)
        self._met = np.zeros(shape, np.float32)
        self._all_by_place = np.zeros((HALVES * FOLDS, CLASSES, heads))
        self._all_met = np.zeros((HALVES * FOLDS, CLASSES, heads))
        self._places = np.zeros((groups, len(PLACES), heads))
        self._ready = True

    def add(self, passage: Passage, attention: HeadsAttention, visibility: Visibility) -> None:
        """Read one text."""
        heads = len(attention)
        if not self._ready:
            self._begin(heads)
        sinks = sinks_of(passage, visibility)
        content = ~sinks
        queries = np.flatnonzero(content)
        if len(queries) < 2:
            return
        group = self._groups[passage.group]
        fold = self._fold[passage.group]
        place = place_classes(queries, content)
        visible = visibility.dense(len(passage))[queries]
        place[~visible] = -1
        rows = attention[:, queries, :]
        mass = rows[:, :, content].sum(-1, dtype=np.float64).T
        narrow = mass.astype(np.float32)
        size, length, pairs = len(queries), len(passage), len(self._pairs)
        self._all_content[group] += mass.sum(0)
        self._all_rows[group] += size
        self._places[group] += place_shares(rows, queries, sinks, visible)

        evaluator = Evaluator(passage, visibility)
        pair, row, key = self._related(evaluator, queries, content)
        cell = np.flatnonzero(place >= 0)
        classes = np.concatenate([place.ravel()[cell], CLASSES + pair])
        at = np.concatenate([cell, row * length + key])
        sums = _by_row(rows, at, classes, CLASSES + pairs)
        by_place, on_keys = sums[:, :CLASSES], sums[:, CLASSES:]
        slot = (cell // length) * CLASSES + place.ravel()[cell]
        seen = np.bincount(slot, minlength=size * CLASSES).reshape(size, CLASSES)
        self._all_by_place[fold] += by_place.sum(0)
        self._all_met[fold] += np.einsum("rc,rh->ch", seen, mass)

        related = np.zeros((pairs, size, length), bool)
        related[pair, row, key] = True
        many = np.bincount(pair * size + row, minlength=pairs * size).reshape(pairs, size)
        tests = np.ones((len(self._tests) + 1, size), bool)
        for number, test in enumerate(self._tests, 1):
            tests[number] = evaluator.rows(test)[queries]
        applies = (many > 0)[self._pair] & tests[self._test]
        gates = applies.astype(np.float32)
        self._rows[:, group] += gates.sum(1)
        self._cells += (gates * many[self._pair]).sum(1)
        self._content[:, group] += applies.astype(np.float64) @ mass
        rows[:, :, sinks] = -1  # a copy of the attention, read for the last time
        strongest = rows.argmax(-1).T
        hits = related[:, np.arange(size)[:, None], strongest].astype(np.float32)
        for number in np.unique(pair):
            members = self._members[number]
            self._on_keys[members, group] += gates[members] @ on_keys[:, number]
            self._hits[members, group] += gates[members] @ hits[number]

        seen = seen.astype(np.float32)
        waiting = self._waiting[fold]
        waiting.gates.append(gates)
        waiting.by_place.append(by_place)
        waiting.seen.append(seen)
        waiting.mass.append(narrow)
        if sum(map(len, waiting.seen)) >= TOGETHER:
            self._form(fold)
        counted = (pair * size + row) * CLASSES + place.ravel()[row * length + key]
        cells, count = np.unique(counted, return_counts=True)
        which, kind = np.divmod(cells, CLASSES)
        self._texts[fold].append(
            _Text(
                group, narrow, seen, np.packbits(applies, axis=1),
                (which // size).astype(np.int32), (which % size).astype(np.int32),
                kind.astype(np.int8), count.astype(np.float32),
            )
        )  # fmt: skip

    def _related(
        self, evaluator: Evaluator, queries: Int[np.ndarray, " R"], content: TokenFlags
    ) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
        """All pairs of content tokens that are related: by what, the row, the key."""
        found = [evaluator.cells(pairs) for pairs in self._pairs]
        query = np.concatenate([cells.query for cells in found])
        key = np.concatenate([cells.key for cells in found])
        pair = np.repeat(np.arange(len(found)), [len(cells) for cells in found])
        good = content[query] & content[key]
        row_of = np.full(len(content), -1)
        row_of[queries] = np.arange(len(queries))
        return pair[good], row_of[query[good]], key[good]

    def _form(self, fold: int) -> None:
        """Add the products of all texts of a fold that wait for it."""
        waiting, self._waiting[fold] = self._waiting[fold], _Waiting([], [], [], [])
        if not waiting.seen:
            return
        gates = np.concatenate(waiting.gates, axis=1)
        seen, mass = np.concatenate(waiting.seen), np.concatenate(waiting.mass)
        by_place = np.concatenate(waiting.by_place)
        some, used = gates.any(1), seen.any(0)
        at = np.ix_(some, used)
        shape = (int(some.sum()), int(used.sum()), mass.shape[1])
        flat = by_place[:, used].reshape(len(seen), -1)
        self._by_place[fold][at] += (gates[some] @ flat).reshape(shape)
        flat = (seen[:, used, None] * mass[:, None, :]).reshape(len(seen), -1)
        self._met[fold][at] += (gates[some] @ flat).reshape(shape)

    def sums(self) -> Sums:
        """The sums of all texts, with what the profiles of the other parts of a half expect."""
        expected = np.zeros_like(self._on_keys)
        overall = np.zeros_like(self._all_by_place)
        for fold in range(HALVES * FOLDS):
            self._form(fold)
        used = np.asarray(self._all_met.any((0, 2)))
        for fold, texts in enumerate(self._texts):
            others = _others(fold)
            overall[fold] = _profile(
                self._all_by_place[others].sum(0), self._all_met[others].sum(0)
            )
            for part in _parts(texts):
                self._expect(part, others, used, expected)
        half_of = np.array([self._half[group] for group in self._groups])
        return Sums(
            half_of, self._on_keys, expected, self._content, self._rows, self._hits,
            self._all_content, self._all_rows, self._places, self._by_place, self._met, overall,
            np.array([self._fold[group] for group in self._groups]), self._cells,
        )  # fmt: skip

    def _expect(
        self,
        texts: Sequence[_Text],
        others: Int[np.ndarray, " _"],
        used: Bool[np.ndarray, " C"],
        into: Float[np.ndarray, "B G H"],
    ) -> None:
        """Add what the profile of other folds expects on some texts of a fold."""
        sizes = [len(text.mass) for text in texts]
        start = np.cumsum([0, *sizes])
        mass = np.concatenate([text.mass for text in texts])
        seen = np.concatenate([text.seen for text in texts])[:, used]
        group = np.repeat([text.group for text in texts], sizes)
        counts = np.zeros((len(self._pairs), len(mass), len(used)), np.float32)
        for text, begin in zip(texts, start, strict=False):
            counts[text.pair, begin + text.row, text.place] = text.count
        counts = counts[:, :, used]
        gates = np.concatenate(
            [
                np.unpackbits(one.gates, 1, size).view(bool)
                for one, size in zip(texts, sizes, strict=True)
            ],
            axis=1,
        )
        for number in np.flatnonzero(gates.any(1)):
            rows = np.flatnonzero(gates[number])
            by_place = self._by_place[others, number][:, used].sum(0)
            own = _profile(by_place, self._met[others, number][:, used].sum(0))
            share = counts[self._pair[number], rows] @ own
            share /= np.maximum(seen[rows] @ own, 1e-30)
            share *= mass[rows]
            mine = group[rows]
            first = np.flatnonzero(np.diff(mine, prepend=-1))
            np.add.at(into[number], mine[first], np.add.reduceat(share, first, axis=0))


def _others(fold: int) -> Int[np.ndarray, " _"]:
    """The other folds of a fold's half."""
    begin = fold // FOLDS * FOLDS
    return np.delete(np.arange(begin, begin + FOLDS), fold - begin)


def _parts(texts: Sequence[_Text]) -> list[list[_Text]]:
    """Texts in parts of some thousand rows."""
    parts: list[list[_Text]] = []
    rows = 0
    for text in texts:
        if not parts or rows + len(text.mass) > 8 * TOGETHER:
            parts.append([])
            rows = 0
        parts[-1].append(text)
        rows += len(text.mass)
    return parts


def _by_row(
    rows: Float[np.ndarray, "H R T"],
    cell: Int[np.ndarray, " n"],
    kind: Int[np.ndarray, " n"],
    kinds: int,
) -> Float[np.ndarray, "R K H"]:
    """Attention summed by row and kind of cell: `cell` counts through rows and keys."""
    heads, size, length = rows.shape
    row = cell // length
    order = np.argsort(row, kind="stable")
    cell, kind, row = cell[order], kind[order], row[order]
    found = np.empty((size, kinds, heads), np.float32)
    step = max(1, BLOCK // (heads * length))
    for begin in range(0, size, step):
        end = min(size, begin + step)
        mine = slice(*np.searchsorted(row, [begin, end]))
        at = (row[mine] - begin) * kinds + kind[mine], cell[mine] - begin * length
        shape = ((end - begin) * kinds, (end - begin) * length)
        one = csr_matrix((np.ones(len(at[0]), np.float32), at), shape)
        flat = np.ascontiguousarray(rows[:, begin:end].reshape(heads, -1).T)
        found[begin:end] = (one @ flat).reshape(end - begin, kinds, heads)
    return found


def _profile(
    by_place: Float[np.ndarray, "C H"], met: Float[np.ndarray, "C H"]
) -> Float[np.ndarray, "C H"]:
    """Mean attention per key of a class and unit of content mass, drawn a little to the mean.

    One key's worth of the behaviour's overall mean stands in each class, so that a class which
    the other texts never met expects what an ordinary key gets.
    """
    mean = by_place.sum(0) / np.maximum(met.sum(0), 1e-9)
    return (by_place + mean) / (met + 1)
