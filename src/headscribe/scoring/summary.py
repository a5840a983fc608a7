"""From sums to the tables of a survey: scores, layers, the gate, containment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float, Int

from headscribe.core.metrics import METRICS, VIEWS, View
from headscribe.patterns.contract import Pattern
from headscribe.scoring.accumulators import (
    CONTAINMENT_CHANNELS,
    FOLDS,
    GATE_CHANNELS,
    GATE_STATES,
    Accumulators,
    score_channels,
)
from headscribe.scoring.baselines import UNKNOWN, Calibration
from headscribe.scoring.engine import Engine, Progress
from headscribe.scoring.predictions import UNIFORM
from headscribe.scoring.statistics import ratio
from headscribe.text.splits import fold_of, split_of

SplitName = Literal["all", "fit", "select", "test"]
_Interval = tuple[np.ndarray, np.ndarray, np.ndarray]
"""A mean with the lower and the upper end of its interval."""

FULL_COVERAGE = 0.9
"""Patterns that cover this share of the rows are candidates for explaining a head as a whole."""


@dataclass(frozen=True)
class Summary:
    """What a survey's tables are computed from."""

    sums: Accumulators
    calibration: Calibration
    engine: Engine

    @classmethod
    def of(cls, engine: Engine, progress: Progress) -> "Summary":
        """What a finished engine has to say."""
        return cls(progress.sums, engine.calibration(progress), engine)

    @property
    def patterns(self) -> Sequence[Pattern]:
        """What was scored."""
        return self.engine.patterns

    def scores(self) -> pa.Table:
        """One row per pattern, head, metric, view and split."""
        parts = [
            self._scores(split, view, metric)
            for split in get_args(SplitName)
            for view in VIEWS
            for metric in METRICS
        ]
        return self._surveyed(pa.concat_tables(parts)).combine_chunks()

    def layers(self) -> pa.Table:
        """How well each layer is explained: the mean over its heads of their best pattern.

        For each fold the best pattern of a head is chosen on the other folds, among patterns that
        cover `FULL_COVERAGE` of the rows, and scored on the fold itself, so that the choice does
        not flatter the score. `uniform` is no candidate: it knows nothing, and a head that spreads
        evenly is not explained by it. Where no fold has others, or no pattern covers enough, the
        score is null. The row with layer null is the whole model.
        """
        lines = [
            line
            for view in VIEWS
            for metric in ("jsd", "iou")
            for line in self._layers(view, metric)
        ]
        return pa.Table.from_pylist(lines)

    def gate(self) -> pa.Table:
        """Attention on the sinks and on the last token where a pattern applies and where not.

        Only patterns that leave some content rows uncovered; `difference` is `on` minus `off` for
        rows of the same texts, `on` minus `absent` for texts where it applies nowhere.
        """
        total = self.sums.gate[:, :, 0].sum(axis=0)  # S P N
        some = (total[0] > 0).any(-1) & (total[1:].sum(axis=0) > 0).any(-1)
        partial = np.flatnonzero(some)
        sums, total = self.sums.gate[self._filled][:, :, :, partial], total[:, partial]
        reads = GATE_CHANNELS[1:]
        shape = len(reads), len(partial), sums.shape[-1]
        names = np.array([pattern.name for pattern in self.patterns], object)[partial]
        layer, head = self._head_columns()
        columns: dict[str, object] = {
            "pattern": np.broadcast_to(names[:, None], shape).ravel(),
            "layer": np.broadcast_to(layer, shape).ravel(),
            "head": np.broadcast_to(head, shape).ravel(),
            "read": np.repeat(np.array(reads, object), shape[1] * shape[2]),
        }
        for s, state in enumerate(GATE_STATES):
            read = sums[:, s, 1:]
            mean, low, high = ratio(read, np.broadcast_to(sums[:, s, :1], read.shape))
            columns |= {
                state: mean.ravel(), f"{state}_low": low.ravel(), f"{state}_high": high.ravel(),
                f"{state}_rows": np.broadcast_to(total[s], shape).ravel().astype(np.int64),
            }  # fmt: skip
        return self._surveyed(_table(columns))

    def containment(self) -> pa.Table:
        """Pattern against pattern: rows that both cover, their overlap, mass of one in the other.

        `inside` is the share of `pattern`'s attention that lies on the support of `other`; 1 means
        that `other` contains `pattern`.
        """
        rows, overlap, inside = (
            self.sums.containment[CONTAINMENT_CHANNELS.index(c)] for c in CONTAINMENT_CHANNELS
        )
        names = [pattern.name for pattern in self.patterns]
        number = len(names)
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = {
                "pattern": np.repeat(names, number),
                "other": np.tile(names, number),
                "rows": rows.ravel().astype(np.int64),
                "overlap": (overlap / rows).ravel(),
                "inside": (inside / rows).ravel(),
            }
        return _table(columns)

    def coverage(self) -> Float[np.ndarray, " P"]:
        """Share of all rows that each pattern covers."""
        rows = self.sums.seen[:, 1].sum()
        return self.sums.covered / max(rows, 1)

    def scored(self) -> Float[np.ndarray, " P"]:
        """Share of the rows that each pattern covers on which it was scored.

        Less than 1 for dense patterns on long texts; NaN where a pattern covers nothing.
        """
        with np.errstate(invalid="ignore"):
            return self.sums.scored / np.where(self.sums.covered > 0, self.sums.covered, np.nan)

    def _scores(self, split: SplitName, view: View, metric: str) -> pa.Table:
        splits = np.array([split_of(bucket) for bucket in self._filled.tolist()])
        chosen = self._filled[(splits == split) | (split == "all")]
        texts = self._texts(metric, view)[chosen]
        value = self._metric(metric, view)[chosen]
        mean, *ends = ratio(value, texts)
        # Student's t of two or three texts reaches far beyond what a metric can be.
        low, high = (np.clip(end, *METRICS[metric].range) for end in ends)
        rows = self._channel("rows", view)[chosen].sum(axis=0)
        layer, head = self._head_columns()
        patterns, heads = len(self.patterns), len(layer)
        over_fixed, over_profile = self._gains(metric, view, chosen)
        (gain, gain_low, gain_high), baseline = self._harder(metric, view, over_fixed, over_profile)
        same = {"metric": metric, "view": view, "split": split}
        return _table(
            {
                "pattern": self._names.take(np.repeat(np.arange(patterns), heads)),
                "layer": np.tile(layer, patterns),
                "head": np.tile(head, patterns),
                **{name: pa.repeat(pa.scalar(value), mean.size) for name, value in same.items()},
                "score": mean.ravel(),
                "low": low.ravel(),
                "high": high.ravel(),
                "texts": texts.sum(axis=0).ravel().astype(np.int64),
                "rows": rows.ravel(),
                "coverage": np.repeat(self.coverage(), heads),
                "scored": np.repeat(self.scored(), heads),
                "baseline": baseline,
                "gain": gain.ravel(),
                "gain_low": gain_low.ravel(),
                "gain_high": gain_high.ravel(),
                **{
                    f"profile_gain{end}": values.ravel()
                    for end, values in zip(("", "_low", "_high"), over_profile, strict=True)
                },
            }
        )

    @cached_property
    def _filled(self) -> Int[np.ndarray, " b"]:
        """The buckets that hold texts: in a small corpus a few of all."""
        return np.flatnonzero(self.sums.seen[:, 0])

    @property
    def _names(self) -> pa.Array:
        return pa.array([pattern.name for pattern in self.patterns], pa.string())

    def _channel(self, name: str, view: View) -> Float[np.ndarray, "B P N"]:
        channel: Float[np.ndarray, "B P N"] = self.sums.scores[
            :, score_channels().index(name), VIEWS.index(view)
        ]
        return channel

    def _metric(self, metric: str, view: View) -> Float[np.ndarray, "B P N"]:
        by_chance = METRICS[metric].chance
        if by_chance is None:
            return self._channel(metric, view)
        return self._channel(metric.removesuffix("_gain"), view) - self._channel(by_chance, view)

    def _texts(self, metric: str, view: View) -> Float[np.ndarray, "B P N"]:
        """How many texts a metric was measured on."""
        return self._channel(METRICS[metric].texts, view)

    def _gains(
        self, metric: str, view: View, chosen: Int[np.ndarray, " b"]
    ) -> tuple[_Interval, _Interval]:
        """Gains over the best fixed baseline and over the profile, with their intervals.

        NaN where nothing was estimated on other texts, or one bucket holds all texts.
        """
        shared = METRICS[metric].gain
        if shared is None:
            nothing = np.full(self.sums.scores.shape[3:], np.nan)
            return (nothing,) * 3, (nothing,) * 3
        channel, factor = shared
        texts = self._channel("paired_texts", view)[chosen]
        over_fixed, over_profile = (
            ratio(factor * self._channel(f"{name}_{channel}", view)[chosen], texts)
            for name in ("fixed", "profile")
        )
        return over_fixed, over_profile

    def _harder(
        self, metric: str, view: View, over_fixed: _Interval, over_profile: _Interval
    ) -> tuple[_Interval, pa.Array]:
        """The smaller of the two gains, with the name of what it is over.

        Patterns that read positions alone are not held against the profile, which contains them.
        """
        free = np.array([p.family not in ("positional", "sink") for p in self.patterns])[:, None]
        with np.errstate(invalid="ignore"):
            harder = free & (over_profile[0] <= over_fixed[0])
        mean, low, high = (
            np.where(harder, b, a) for a, b in zip(over_fixed, over_profile, strict=True)
        )
        by = self.calibration.by_jsd if metric == "jsd" else self.calibration.by_overlap
        by = by[:, VIEWS.index(view)]
        choice = np.where(by[0] == UNKNOWN, by.max(axis=0), by[0])  # the folds' rarely differ
        fixed = [*(self.patterns[k].name for k in self.engine.fixed), "profile"]
        which = np.where(harder, len(fixed) - 1, choice).ravel()
        known = pa.array(which, mask=np.isnan(mean).ravel() | (which == UNKNOWN))
        return (mean, low, high), pa.array(fixed, pa.string()).take(known)

    def _layers(self, view: View, metric: str) -> Iterator[dict[str, object]]:
        """A line for each layer, and the last for the whole model."""
        texts = self._channel("texts", view)[self._filled]
        value = self._metric(metric, view)[self._filled]
        sign = METRICS[metric].sign
        full = self.coverage() >= FULL_COVERAGE
        full &= np.array([pattern.name != UNIFORM for pattern in self.patterns])
        fold = np.array([fold_of(bucket, FOLDS) for bucket in self._filled.tolist()])
        total, count = np.zeros((2, len(fold), texts.shape[-1]))
        for f in range(FOLDS):
            others, here = fold != f, fold == f
            seen = texts[others].sum(axis=0)
            with np.errstate(invalid="ignore", divide="ignore"):
                score = sign * value[others].sum(axis=0) / seen
            score = np.where((seen > 0) & full[:, None], score, -np.inf)
            best = score.argmax(axis=0)[None, None]
            known = score.max(axis=0) > -np.inf  # else nothing could be chosen on other texts
            total[here] = np.take_along_axis(value[here], best, 1)[:, 0] * known
            count[here] = np.take_along_axis(texts[here], best, 1)[:, 0] * known
        every = self.engine.source.heads
        for layer in [*self.engine.chosen, None]:
            heads = slice(None) if layer is None else slice(layer * every, (layer + 1) * every)
            mean, low, high = ratio(total[:, heads].sum(axis=1), count[:, heads].sum(axis=1))
            yield {
                "layer": layer, "metric": metric, "view": view, "score": _number(mean),
                "low": _number(low), "high": _number(high),
            }  # fmt: skip

    def _surveyed(self, table: pa.Table) -> pa.Table:
        """The rows of the layers that were looked at."""
        if len(self.engine.chosen) == self.engine.source.layers:
            return table
        wanted = pa.array(self.engine.chosen, pa.int32())
        return table.filter(pc.is_in(table["layer"], value_set=wanted))

    def _head_columns(self) -> tuple[np.ndarray, np.ndarray]:
        layer = np.repeat(np.arange(self.engine.source.layers), self.engine.source.heads)
        head = np.tile(np.arange(self.engine.source.heads), self.engine.source.layers)
        return layer.astype(np.int32), head.astype(np.int32)


def _number(value: np.ndarray) -> float | None:
    return None if np.isnan(value) else float(value)


_TEXT_COLUMNS = {"pattern", "other", "read"}


def _table(columns: dict[str, object]) -> pa.Table:
    """A table whose NaNs are nulls: what is not known is absent, not a number."""
    arrays = {
        name: values
        if isinstance(values, pa.Array)
        else pa.array(values, pa.string() if name in _TEXT_COLUMNS else None, from_pandas=True)
        for name, values in columns.items()
    }
    return pa.table(arrays)
