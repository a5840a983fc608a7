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

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import csr_matrix

from headscribe.behaviours.catalogue import Behaviour
from headscribe.behaviours.offsets import CLASSES, place_classes
from headscribe.behaviours.places import PLACES, place_shares
from headscribe.core.arrays import HeadsAttention, TokenFlags
from headscribe.core.visibility import Visibility
from headscribe.relations.language import Evaluator
from headscribe.text.passages import Passage

HALVES = 2
"""Names are given on the first half of the groups and confirmed on the second."""

FOLDS = 4
"""Parts of a half: a profile is estimated on the half's other parts."""


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
        profiles: of each fold the profile of its half's other folds, by behaviour and place class.
        overall: the same on all content rows, `(F, C, H)`.
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
    profiles: Float[np.ndarray, "F B C H"]
    overall: Float[np.ndarray, "F C H"]
    folds: Int[np.ndarray, " G"]
    cells: Float[np.ndarray, " B"]


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
        group: its number; `fold`: 0 to `HALVES * FOLDS - 1`.
        mass: content mass of each row and head, `(R, H)`.
        seen: visible content keys of each row by place class, `(R, C)`.
        keys: of each behaviour's rows its keys by place class, a list of (row, class, count).
    """

    group: int
    fold: int
    mass: Float[np.ndarray, "R H"]
    seen: Float[np.ndarray, "R C"]
    keys: list[tuple[Int[np.ndarray, " _"], Int[np.ndarray, " _"]]]


class Collector:
    """Reads texts with the attention of all heads, one by one; `sums` ends it."""

    def __init__(self, behaviours: Sequence[Behaviour], half: dict[str, int]) -> None:
        """Ask for these behaviours.

        Args:
            behaviours: those that apply to the texts.
            half: 0 or 1 for every group of texts.
        """
        self._behaviours = tuple(behaviours)
        self._half = half
        self._groups = {group: number for number, group in enumerate(half)}
        within = {0: 0, 1: 0}
        self._fold = {}
        for group, which in half.items():
            self._fold[group] = which * FOLDS + within[which] % FOLDS
            within[which] += 1
        self._texts: list[_Text] = []
        self._ready = False

    def _begin(self, heads: int) -> None:
        groups, count = len(self._groups), len(self._behaviours)
        self._on_keys = np.zeros((count, groups, heads))
        self._content = np.zeros((count, groups, heads))
        self._hits = np.zeros((count, groups, heads))
        self._rows = np.zeros((count, groups))
        self._cells = np.zeros(count)
        self._all_content = np.zeros((groups, heads))
        self._all_rows = np.zeros(groups)
        # Attention by place class on the rows that apply, and the content mass that met the class.
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
        flat = np.ascontiguousarray(rows.reshape(heads, -1).T)
        size, length = len(queries), len(passage)
        self._all_content[group] += mass.sum(0)
        self._all_rows[group] += size
        self._places[group] += place_shares(rows, queries, sinks, visible)

        cell = np.flatnonzero(place >= 0)
        slot = (cell // length) * CLASSES + place.ravel()[cell]
        ones = np.ones(len(cell), np.float32)
        by_class = csr_matrix((ones, (slot, cell)), (size * CLASSES, size * length))
        by_place = np.asarray(by_class @ flat).reshape(size, CLASSES * heads)
        seen = np.bincount(slot, minlength=size * CLASSES).reshape(size, CLASSES)
        met = (seen[:, :, None] * mass[:, None, :].astype(np.float32)).reshape(size, -1)

        self._all_by_place[fold] += by_place.sum(0).reshape(CLASSES, heads)
        self._all_met[fold] += met.sum(0).reshape(CLASSES, heads)

        evaluator = Evaluator(passage, visibility)
        row_of = np.full(length, -1)
        row_of[queries] = np.arange(size)
        strongest = np.where(content, rows, -1.0).argmax(-1)
        gate_row, gate_of, cell_at, cell_of, kept = [], [], [], [], []
        for number, behaviour in enumerate(self._behaviours):
            found = evaluator.cells(behaviour.relation)
            good = content[found.query] & content[found.key]
            row, key = row_of[found.query[good]], found.key[good]
            at = row * length + key
            kept.append((row.astype(np.int32), place.ravel()[at].astype(np.int8)))
            cell_at.append(at)
            cell_of.append(np.full(len(at), number))
            applies = np.unique(row)
            gate_row.append(applies)
            gate_of.append(np.full(len(applies), number))
            self._rows[number, group] += len(applies)
            self._cells[number] += len(at)
            if len(at):
                related = np.zeros(size * length, bool)
                related[at] = True
                hit = related[applies[None, :] * length + strongest[:, applies]]
                self._hits[number, group] += hit.sum(1)
        count = len(self._behaviours)
        at, of = np.concatenate(cell_at), np.concatenate(cell_of)
        cells = csr_matrix((np.ones(len(at), np.float32), (of, at)), (count, size * length))
        self._on_keys[:, group] += cells @ flat
        row, of = np.concatenate(gate_row), np.concatenate(gate_of)
        gates = csr_matrix((np.ones(len(row), np.float32), (of, row)), (count, size))
        self._content[:, group] += gates @ mass
        self._by_place[fold] += (gates @ by_place).reshape(count, CLASSES, heads)
        self._met[fold] += (gates @ met).reshape(count, CLASSES, heads)
        self._texts.append(
            _Text(group, fold, mass.astype(np.float32), seen.astype(np.float32), kept)
        )

    def sums(self) -> Sums:
        """The sums of all texts, with what the profiles of the other parts of a half expect."""
        expected = np.zeros_like(self._on_keys)
        profiles, overall = np.zeros_like(self._by_place), np.zeros_like(self._all_by_place)
        for half in range(HALVES):
            folds = np.arange(half * FOLDS, (half + 1) * FOLDS)
            for fold in folds:
                others = folds[folds != fold]
                profiles[fold] = _profile(self._by_place[others].sum(0), self._met[others].sum(0))
                overall[fold] = _profile(
                    self._all_by_place[others].sum(0)[None], self._all_met[others].sum(0)[None]
                )[0]
        for text in self._texts:
            _expect(text, profiles[text.fold], expected)
        half_of = np.array([self._half[group] for group in self._groups])
        return Sums(
            half_of, self._on_keys, expected, self._content, self._rows, self._hits,
            self._all_content, self._all_rows, self._places, profiles, overall,
            np.array([self._fold[group] for group in self._groups]), self._cells,
        )  # fmt: skip


def _profile(
    by_place: Float[np.ndarray, "B C H"], met: Float[np.ndarray, "B C H"]
) -> Float[np.ndarray, "B C H"]:
    """Mean attention per key of a class and unit of content mass, drawn a little to the mean.

    One key's worth of the behaviour's overall mean stands in each class, so that a class which
    the other texts never met expects what an ordinary key gets.
    """
    mean = by_place.sum(1, keepdims=True) / np.maximum(met.sum(1, keepdims=True), 1e-9)
    return (by_place + mean) / (met + 1)


def _expect(
    text: _Text, profile: Float[np.ndarray, "B C H"], into: Float[np.ndarray, "B G H"]
) -> None:
    for number, (row, place) in enumerate(text.keys):
        if not len(row):
            continue
        rows, where = np.unique(row, return_inverse=True)
        counts = np.zeros((len(rows), CLASSES), np.float32)
        np.add.at(counts, (where, place), 1)
        own = profile[number]
        on_keys, on_all = counts @ own, text.seen[rows] @ own
        share = on_keys / np.maximum(on_all, 1e-30)
        into[number, text.group] += (share * text.mass[rows]).sum(0)


def collect(
    items: Iterable[tuple[Passage, HeadsAttention, Visibility]],
    behaviours: Sequence[Behaviour],
    half: dict[str, int],
) -> Sums:
    """Sums over texts with their attention."""
    collector = Collector(behaviours, half)
    for passage, attention, visibility in items:
        collector.add(passage, attention, visibility)
    return collector.sums()
