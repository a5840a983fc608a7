"""Shares of a head's content attention on a behaviour's keys, and what its position expects there.

For a head and a behaviour let `G` be the rows that apply, `K_i` their keys, `S` the sinks, and
`c_i = 1 - sum_{j in S} A_ij` the row's content mass:

    share    = sum_{i in G} sum_{j in K_i} A_ij          / sum_{i in G} c_i
    expected = sum_{i in G} c_i sum_{j in K_i} q_ij      / sum_{i in G} c_i
    excess   = share - expected

`q_ij` is the head's own profile over the visible content keys: its mean attention by place class
(`offsets.py`), estimated on rows that apply too and on other groups of texts. So a head that looks
three tokens back gets no credit for the determiners that happen to stand there.

One pass reads the attention and keeps sums; what is expected follows from them without it. Groups
are dealt out to at most `CLUSTERS` clusters, by which intervals go: more would not narrow them.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

import numpy as np
from jaxtyping import Float, Int, Integer
from numpy.typing import DTypeLike

from headscribe.behaviours.compiled.first import add_expected, add_rows, gate_rows, read_rows
from headscribe.behaviours.offsets import classes_of, nearest
from headscribe.behaviours.places import PLACES
from headscribe.behaviours.texts import Asked, Kept, Related, Rows
from headscribe.core.errors import RunError
from headscribe.core.visibility import Visibility
from headscribe.scoring.threads import share
from headscribe.text.passages import Passage
from headscribe.text.splits import BUCKETS, buckets_of

HALVES = 2
"""Names are given on the first half of the groups and confirmed on the second."""

FOLDS = 4
"""Parts of a half: a profile is estimated on the half's other parts."""

CLUSTERS = BUCKETS
"""At most so many parts, by which intervals go; whole numbers of them make the halves' folds."""


def clusters_of(groups: Sequence[str], seed: int) -> dict[str, int]:
    """The cluster of every group: dealt out in turn, in an order that a hash decides."""
    bucket = buckets_of(groups, seed)
    ordered = sorted(bucket, key=lambda group: (bucket[group], group))
    return {group: place % CLUSTERS for place, group in enumerate(ordered)}


def add_sums(totals: Mapping[str, np.ndarray], kept: Mapping[str, np.ndarray]) -> None:
    """Add what was kept of the same sums.

    Raises:
        RunError: another version kept it, whose sums were others.
    """
    lacks = [
        name for name, total in totals.items()
        if name not in kept or kept[name].shape != total.shape
    ]  # fmt: skip
    if lacks:
        raise RunError(f"what was kept lacks {', '.join(lacks)} as this version sums them")
    for name, total in totals.items():
        total += kept[name]


def half_of(cluster: int) -> int:
    """The half that a cluster belongs to."""
    return cluster % HALVES


def fold_of(cluster: int) -> int:
    """The fold that a cluster belongs to: those of the first half come first."""
    return cluster % HALVES * FOLDS + cluster // HALVES % FOLDS


@dataclass(frozen=True)
class Sums:
    """What the shares are made of, by behaviour, cluster of groups and head: `B`, `G`, `H`.

    Attributes:
        half, folds: of each cluster, `(G,)`.
        on_keys: attention on the behaviours' keys, `(B, G, H)`.
        expected: what the profile puts there, `(B, G, H)`.
        content: content mass of the rows that apply, `(B, G, H)`.
        rows: rows that apply, `(B, G)`.
        hits: rows that apply whose strongest content key is one of theirs, by half, `(B, 2, H)`.
        all_content: content mass of all content rows, `(G, H)`.
        all_rows: content rows, `(G,)`.
        places: attention of the content rows in each of `PLACES`, `(G, P, H)`; `even`: what even
            rows would have there, `(G, P)`.
        by_place: of each fold the attention by place class on the rows that apply; `met`: the
            content mass that met the class, `(F, B, H, C)`.
        overall: the profile of a fold's half, its other folds, on all content rows, `(F, H, C)`.
    """

    half: Int[np.ndarray, " G"]
    folds: Int[np.ndarray, " G"]
    on_keys: Float[np.ndarray, "B G H"]
    expected: Float[np.ndarray, "B G H"]
    content: Float[np.ndarray, "B G H"]
    rows: Float[np.ndarray, "B G"]
    hits: Float[np.ndarray, "B halves H"]
    all_content: Float[np.ndarray, "G H"]
    all_rows: Float[np.ndarray, " G"]
    places: Float[np.ndarray, "G P H"]
    even: Float[np.ndarray, "G P"]
    by_place: Float[np.ndarray, "F B H C"]
    met: Float[np.ndarray, "F B H C"]
    overall: Float[np.ndarray, "F H C"]

    def profiles(
        self, fold: int, behaviours: Int[np.ndarray, " n"], head: int
    ) -> Float[np.ndarray, "n C"]:
        """A head's profiles on the rows where behaviours apply, of the other folds of a half."""
        at = np.ix_(_others(fold), behaviours, np.array([head]))
        return _profile(self.by_place[at].sum(0)[:, 0], self.met[at].sum(0)[:, 0])


@dataclass(frozen=True)
class _Text:
    """What is kept of one text when its attention is gone.

    Attributes:
        text_id: which; `cluster`: its cluster.
        mass: content mass of each row and head, `(R, H)`.
        seen: visible content keys of each row by place class, `(R, C)`.
        related: which rows the behaviours speak of.
    """

    text_id: str
    cluster: int
    mass: Float[np.ndarray, "R H"]
    seen: Integer[np.ndarray, "R C"]
    related: Kept


class Collector:
    """Adds up what all heads of one kind of layers do; `sums` ends it."""

    def __init__(
        self, asked: Asked, clusters: dict[str, int], visibility: Visibility, heads: int,
        precision: DTypeLike = np.float32,
    ) -> None:  # fmt: skip
        """Begin with nothing.

        Args:
            asked: the behaviours that apply to the texts.
            clusters: the cluster of every group.
            visibility: what the layers see.
            heads: how many heads they have together.
            precision: of the sums.
        """
        self.asked, self.clusters, self.visibility, self.heads = asked, clusters, visibility, heads
        self._precision = precision
        count, classes = len(asked.behaviours), classes_of(visibility)
        groups, folds = max(clusters.values()) + 1, HALVES * FOLDS
        self.totals: dict[str, np.ndarray] = {
            "on_keys": np.zeros((groups, heads, count), precision),
            "content": np.zeros((groups, heads, count), precision),
            "hits": np.zeros((HALVES, heads, count)),
            "rows": np.zeros((groups, count)),
            "all_content": np.zeros((groups, heads)),
            "all_rows": np.zeros(groups),
            "places": np.zeros((groups, heads, len(PLACES))),
            "even": np.zeros((groups, len(PLACES))),
            "by_place": np.zeros((folds, count, heads, classes), precision),
            "met": np.zeros((folds, count, heads, classes), precision),
            "all_by_place": np.zeros((folds, heads, classes)),
            "all_met": np.zeros((folds, heads, classes)),
        }
        self._texts: list[_Text] = []

    def reading(self, batch: Sequence[Passage]) -> "FirstReading":
        """What reads some texts."""
        return FirstReading(self, batch, self._precision)

    def add_text(self, text: _Text) -> None:
        """Keep what is kept of a text."""
        self._texts.append(text)

    def arrays(self) -> dict[str, np.ndarray]:
        """All that is known, by name, for storage."""
        return self.totals | _packed(self._texts)

    def add(self, arrays: dict[str, np.ndarray]) -> None:
        """Add what `arrays` gave of another part of the same texts, or of an interrupted run."""
        add_sums(self.totals, arrays)
        self._texts += _unpacked(arrays)

    def sums(self) -> Sums:
        """The sums of all texts, with what the profiles of the other parts of a half expect."""
        of, cluster = self.totals, np.arange(len(self.totals["all_rows"]))
        expected = np.zeros((len(cluster), *of["by_place"].shape[1:3]), self._precision)
        overall = np.zeros_like(of["all_by_place"])
        # Sums do not depend on the order in which the texts were read.
        texts = sorted(self._texts, key=lambda text: (text.cluster, text.text_id))
        by_cluster = {k: list(mine) for k, mine in groupby(texts, key=lambda text: text.cluster)}
        for fold in range(HALVES * FOLDS):
            others = _others(fold)
            overall[fold] = _profile(
                of["all_by_place"][others].sum(0), of["all_met"][others].sum(0)
            )
            mine = [k for k in by_cluster if fold_of(k) == fold]
            if not mine:
                continue
            own = _profile(of["by_place"][others].sum(0), of["met"][others].sum(0))
            own = np.ascontiguousarray(own.transpose(0, 2, 1))

            def work(items: Iterator[int], mine: list[int] = mine, own: np.ndarray = own) -> None:
                for item in items:
                    for text in by_cluster[mine[item]]:
                        self._expect(text, own, expected[mine[item]])

            share(len(mine), work)
        return Sums(
            cluster % HALVES, np.array([fold_of(int(k)) for k in cluster]),
            of["on_keys"].transpose(2, 0, 1), expected.transpose(1, 0, 2),
            of["content"].transpose(2, 0, 1), of["rows"].T, of["hits"].transpose(2, 0, 1),
            of["all_content"], of["all_rows"], of["places"].transpose(0, 2, 1), of["even"],
            of["by_place"], of["met"], overall,
        )  # fmt: skip

    def _expect(
        self, text: _Text, own: Float[np.ndarray, "B C H"], into: Float[np.ndarray, "B H"]
    ) -> None:
        related, asked = text.related, self.asked
        add_expected(
            own, asked.pair, asked.test, related.tests(len(text.mass)), related.start, related.row,
            related.entry, related.place, related.count, text.seen, text.mass, into,
        )  # fmt: skip


class FirstReading:
    """Reads some texts layer by layer; until `commit` the collector does not know of them."""

    def __init__(
        self, collector: Collector, batch: Sequence[Passage], precision: DTypeLike
    ) -> None:
        self._collector, self._precision = collector, precision
        view, asked = collector.visibility, collector.asked
        rows = [(b, passage, Rows.of(passage, view)) for b, passage in enumerate(batch)]
        self._texts = [
            (b, passage, one, Related.of(passage, view, one, asked))
            for b, passage, one in rows
            if len(one.queries)
        ]
        sizes = [len(one.queries) for _, _, one, _ in self._texts]
        self._start = np.cumsum([0, *sizes])
        heads, total = collector.heads, int(self._start[-1])
        self._by_place = np.zeros((total, heads, classes_of(view)), precision)
        self._mass = np.zeros((total, heads), precision)
        # By related row, of which there are some dozens a token; behaviours are summed at the end.
        related = [(heads, len(one.row)) for _, _, _, one in self._texts]
        self._on_keys = [np.zeros(shape, precision) for shape in related]
        self._hits = [np.zeros(shape, np.uint8) for shape in related]
        self._shares = np.zeros((len(self._texts), heads, len(PLACES)))

    def read(self, attention: Float[np.ndarray, "B H T T"], first: int) -> None:
        """Read heads `first`, `first + 1`, ... of the collector's.

        Raises:
            RunError: attention is NaN or infinite; says where.
        """
        near = nearest(self._collector.visibility)

        def work(items: Iterator[int]) -> None:
            for t in items:
                b, passage, rows, related = self._texts[t]
                real = np.ascontiguousarray(attention[b, :, : len(passage), : len(passage)])
                heads, length = len(real), len(rows.queries)
                by_place = np.empty((length, heads, rows.seen.shape[1]), self._precision)
                mass = np.empty((length, heads), self._precision)
                mine, columns = slice(*self._start[t : t + 2]), slice(first, first + heads)
                shares = self._shares[t, columns]
                read_rows(
                    real, rows.queries, rows.sinks, rows.place, rows.bounds, near,
                    related.row, related.entry, related.key, by_place, mass,
                    self._on_keys[t][columns], self._hits[t][columns], shares,
                )  # fmt: skip
                if not np.isfinite(mass).all():
                    raise RunError(
                        f"expected finite attention, got NaN or infinity in text "
                        f"{passage.text_id!r}"
                    )
                self._by_place[mine, columns], self._mass[mine, columns] = by_place, mass

        share(len(self._texts), work)

    def commit(self) -> None:
        """Add what was read to the collector's sums."""
        collector, sums = self._collector, self._collector.totals
        asked, folds = collector.asked, []
        gates = np.zeros((len(asked.pair), int(self._start[-1])), self._precision)
        for t, (_, passage, rows, related) in enumerate(self._texts):
            mine = slice(self._start[t], self._start[t + 1])
            cluster = collector.clusters[passage.group]
            folds += [fold_of(cluster)] * len(rows.queries)
            mass = self._mass[mine].astype(np.float64)
            gate_rows(
                asked.pair, asked.test, related.tests, related.start, related.row, gates[:, mine]
            )
            sums["rows"][cluster] += gates[:, mine].sum(1)
            add_rows(
                asked.pair, asked.test, related.tests, related.start, related.row,
                self._mass[mine], self._on_keys[t], self._hits[t], sums["on_keys"][cluster],
                sums["content"][cluster], sums["hits"][half_of(cluster)],
            )  # fmt: skip
            sums["all_content"][cluster] += mass.sum(0)
            sums["all_rows"][cluster] += len(rows.queries)
            sums["places"][cluster] += self._shares[t]
            sums["even"][cluster] += rows.even
            collector.add_text(
                _Text(
                    passage.text_id, cluster, self._mass[mine].copy(), rows.seen,
                    related.by_place(rows),
                )
            )  # fmt: skip
        self._add_profiles(gates, np.array(folds, np.int64))

    def _add_profiles(self, gates: Float[np.ndarray, "B R"], folds: Int[np.ndarray, " R"]) -> None:
        """Add attention by place class, and what met the classes, on the rows that apply."""
        sums = self._collector.totals
        seen = np.concatenate([rows.seen for _, _, rows, _ in self._texts] or [np.zeros((0, 0))])
        for fold in np.unique(folds):
            mine = np.flatnonzero(folds == fold)
            some = np.flatnonzero(gates[:, mine].any(1))
            gate = gates[np.ix_(some, mine)]
            by_place = self._by_place[mine]
            met = self._mass[mine][:, :, None] * seen[mine].astype(self._precision)[:, None, :]
            for name, values in (("by_place", by_place), ("met", met)):
                product = gate @ values.reshape(len(mine), -1)
                sums[name][fold, some] += product.reshape(len(some), *values.shape[1:])
                sums[f"all_{name}"][fold] += values.sum(0, dtype=np.float64)


def _packed(texts: Sequence[_Text]) -> dict[str, np.ndarray]:
    """What is kept of texts, as a few arrays."""
    fields = [
        {"mass": text.mass, "seen": text.seen, **vars(text.related)} for text in texts
    ]  # fmt: skip
    found = {
        f"texts/{name}": np.concatenate([field[name].ravel() for field in fields])
        for name in (fields[0] if fields else ())
    }
    sizes = [
        (text.cluster, len(text.mass), len(text.related.row), len(text.related.place))
        for text in texts
    ]
    return found | {
        "texts/sizes": np.array(sizes, np.int64).reshape(-1, 4),
        "texts/of": np.array(
            [
                (
                    text.mass.shape[1],
                    len(text.related.start) - 1,
                    len(text.related.bits),
                    text.seen.shape[1],
                )
                for text in texts[:1]
            ]
        ).reshape(-1),
        "texts/ids": np.frombuffer(json.dumps([text.text_id for text in texts]).encode(), np.uint8),
    }


def _unpacked(arrays: dict[str, np.ndarray]) -> Iterator[_Text]:
    """Read back what `_packed` gave."""
    place = dict.fromkeys(arrays, 0)

    def of(name: str, *shape: int) -> np.ndarray:
        begin = place[f"texts/{name}"]
        place[f"texts/{name}"] += prod(shape)
        return arrays[f"texts/{name}"][begin : begin + prod(shape)].reshape(shape).copy()

    ids = json.loads(arrays["texts/ids"].tobytes())
    heads, pairs, tests, classes = arrays["texts/of"] if ids else (0, 0, 0, 0)
    for text_id, (cluster, rows, related, cells) in zip(ids, arrays["texts/sizes"], strict=True):
        yield _Text(
            text_id, int(cluster), of("mass", rows, heads), of("seen", rows, classes),
            Kept(
                of("bits", tests, -(-rows // 8)), of("start", pairs + 1), of("row", related),
                of("entry", related + 1), of("place", cells), of("count", cells),
            ),
        )  # fmt: skip


def _others(fold: int) -> Int[np.ndarray, " _"]:
    """The other folds of a fold's half."""
    begin = fold // FOLDS * FOLDS
    return np.delete(np.arange(begin, begin + FOLDS), fold - begin)


def _profile(
    by_place: Float[np.ndarray, "*any C"], met: Float[np.ndarray, "*any C"]
) -> Float[np.ndarray, "*any C"]:
    """Mean attention per key of a class and unit of content mass, drawn a little to the mean.

    One key's worth of the behaviour's overall mean stands in each class, so that a class which
    the other texts never met expects what an ordinary key gets.
    """
    mean = by_place.sum(-1) / np.maximum(met.sum(-1), 1e-9)
    return np.asarray((by_place + mean[..., None]) / (met + 1))
