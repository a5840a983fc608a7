"""A survey: patterns, packed scores of all heads, layers, gates, containment, relations."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headscribe.core.metrics import metric as metric_named
from headscribe.report.packing import numbers, small_numbers
from headscribe.report.parts.tables import rows, table
from headscribe.report.reading import METRIC_TITLES, baselines, shape
from headscribe.results.relations import relation_accuracy
from headscribe.results.run import Run

METRICS = ("jsd", "iou", "overlap", "sae", "mass", "hit")
"""Metrics that a page shows; the others of a survey are multiples or differences of these."""

SPLITS = ("all", "test")

LARGE = 2048
"""Of models with more heads a page shows the first two metrics on all texts alone."""

_VALUES = ("score", "low", "high", "gain", "gain_low", "gain_high", "coverage")
_KEYS = ("pattern", "layer", "head", "metric", "view", "split", "baseline", "texts")


def patterns(run: Run) -> dict[str, Any]:
    """What the survey was about: its patterns, which of them are baselines, what was left out."""
    excluded = baselines(run)
    kept = ("name", "sentence", "family", "source", "relation", "group", "looks_ahead", "formula")
    described = [
        {key: str(pattern[key]) for key in kept if pattern.get(key)}
        | {"baseline": pattern.get("name") in excluded}
        for pattern in run.manifest.get("patterns", [])
        if isinstance(pattern, dict) and isinstance(pattern.get("name"), str)
    ]
    metrics = [
        {
            "name": name,
            "title": METRIC_TITLES.get(name, name),
            "higher": metric_named(name).higher_is_better,
        }
        for name in _extent(run)[0]
    ]
    return {"patterns": described, "metrics": metrics}


def _extent(run: Run) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Metrics and splits that a page of the run has room for."""
    layers, heads = shape(run)
    return (METRICS, SPLITS) if layers * heads <= LARGE else (METRICS[:2], SPLITS[:1])


def scores(run: Run) -> dict[str, Any]:
    """Scores as one packed matrix (patterns x heads) a value, by `metric|view|split`.

    Raises:
        RunError: the table is damaged, or names heads or patterns that the run has not.
    """
    names = [one["name"] for one in patterns(run)["patterns"]]
    layers, heads = shape(run)
    found = table(run, "scores", [*_KEYS, *_VALUES])
    found = found.filter(pc.is_valid(found["score"]))
    place = _places(found, names, layers, heads)
    known = sorted(set(pc.unique(found["baseline"]).to_pylist()) - {None})
    by = {name: i + 1 for i, name in enumerate(known)}
    base = np.array([by.get(name, 0) for name in found["baseline"].to_pylist()], np.uint8)
    values = {name: _floats(found, name) for name in _VALUES}
    texts = found["texts"].to_numpy()
    blocks = {}
    metrics, splits = _extent(run)
    for metric in metrics:
        for view in ("raw", "content"):
            for split in splits:
                chosen = _where(found, metric, view, split) & (place >= 0)
                if not chosen.any():
                    continue
                at, size = place[chosen], (len(names), layers * heads)
                block: dict[str, Any] = {
                    name: numbers(_spread(column[chosen], at, size, np.nan))
                    for name, column in values.items()
                    if np.isfinite(column[chosen]).any()
                }
                block["baseline"] = small_numbers(_spread(base[chosen], at, size, 0))
                block["texts"] = int(texts[chosen].max())
                blocks[f"{metric}|{view}|{split}"] = block
    return {"baselines": known, "blocks": blocks}


def _places(found: pa.Table, names: list[str], layers: int, heads: int) -> np.ndarray:
    """Where in a patterns x heads matrix each row goes; -1 for what the run has not."""
    position = {name: i for i, name in enumerate(names)}
    pattern = np.array([position.get(name, -1) for name in found["pattern"].to_pylist()], np.int64)
    layer, head = (pc.cast(found[name], pa.int64()).to_numpy() for name in ("layer", "head"))
    sound = (pattern >= 0) & (layer >= 0) & (layer < layers) & (head >= 0) & (head < heads)
    return np.where(sound, (pattern * layers + layer) * heads + head, -1)


def _where(found: pa.Table, metric: str, view: str, split: str) -> np.ndarray:
    chosen = pc.and_(pc.equal(found["metric"], metric), pc.equal(found["view"], view))
    return np.asarray(pc.and_(chosen, pc.equal(found["split"], split)).to_numpy())


def _floats(found: pa.Table, name: str) -> np.ndarray:
    column = pc.fill_null(pc.cast(found[name], pa.float64()), float("nan"))
    return np.asarray(column.to_numpy())


def _spread(values: np.ndarray, at: np.ndarray, size: tuple[int, int], empty: float) -> np.ndarray:
    matrix = np.full(size[0] * size[1], empty)
    matrix[at] = values
    return matrix.reshape(size)


def layers(run: Run) -> list[dict[str, Any]]:
    """The layer summary."""
    found = rows(run, "layers", ("layer", "metric", "view", "score", "low", "high"))
    return [row for row in found if row["metric"] in METRICS]


_GATE = ("on", "on_low", "on_high", "off", "off_low", "off_high")
GATES_OF_A_HEAD = 6
"""Gates of a head that a page keeps, the clearest ones."""


def gates(run: Run) -> list[list[Any]]:
    """Gates as rows of head, pattern, place, then means and ends of their intervals.

    Of every head the clearest few, those whose intervals lie apart before the others.
    """
    columns = ("pattern", "layer", "head", "read", *_GATE, "on_rows", "off_rows")
    found: dict[tuple[int, int], list[tuple[tuple[bool, float], list[Any]]]] = {}
    for row in rows(run, "gate", columns):
        if row["on"] is None or row["off"] is None:
            continue
        ends = [row[name] for name in ("on_low", "on_high", "off_low", "off_high")]
        apart = None not in ends and (ends[0] > ends[3] or ends[2] > ends[1])
        order = (not apart, -abs(row["on"] - row["off"]))
        listed = [
            f"{row['layer']}.{row['head']}", row["pattern"], row["read"],
            *(row[name] for name in _GATE), row["on_rows"], row["off_rows"], apart,
        ]  # fmt: skip
        found.setdefault((row["layer"], row["head"]), []).append((order, listed))
    kept = []
    for head in sorted(found):
        best = sorted(found[head], key=lambda entry: entry[0])[:GATES_OF_A_HEAD]
        kept += [listed for _, listed in best]
    return kept


def containment(run: Run) -> list[list[Any]]:
    """Pattern, other pattern, and the share of the first that lies on keys of the other."""
    found = rows(run, "containment", ("pattern", "other", "inside"))
    return [[row["pattern"], row["other"], row["inside"]] for row in found]


def relations(run: Run) -> list[dict[str, Any]] | None:
    """Which head follows which dependency relation; None where the texts were not parsed."""
    if "relations" not in run.manifest.get("tables", []):
        return None
    return [line.as_dict() for line in relation_accuracy(run)]


PARTS = {
    "about": patterns,
    "scores": scores,
    "layers": layers,
    "gates": gates,
    "containment": containment,
    "relations": relations,
}
