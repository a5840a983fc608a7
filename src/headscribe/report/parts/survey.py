"""A survey: patterns, packed scores of all heads, layers, gates, containment, relations."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headscribe.core.metrics import metric as metric_named
from headscribe.report.packing import numbers, small_numbers
from headscribe.report.reading import MEASURED, METRIC_TITLES, baselines, gates_of_heads, shape
from headscribe.report.schema import Facts, Table, of_table, table, tabled
from headscribe.results.relations import relation_accuracy
from headscribe.results.run import Run

METRICS = ("jsd", "iou", "overlap", "sae", "mass", "hit")
"""Metrics that a page shows; the others of a survey are multiples or differences of these."""

SPLITS = ("all", "test")

LARGE = 2048
"""Of models with more heads a page shows the first two metrics on all texts alone."""

_VALUES = ("score", "low", "high", "gain", "gain_low", "gain_high", "coverage")
_GAIN = ("gain", "gain_low", "gain_high")
_KEYS = ("pattern", "layer", "head", "metric", "view", "split", "baseline", "texts")


def patterns(run: Run) -> Facts:
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


def scores(run: Run) -> Facts:
    """Scores as one packed matrix (patterns x heads) a value, by `metric|view|split`.

    `profile` says whether every pattern was held against the heads' profiles.

    Raises:
        RunError: the table is damaged, or names heads or patterns that the run has not.
    """
    names = [pattern["name"] for pattern in patterns(run)["patterns"]]
    layers, heads = shape(run)
    known = run.schema("scores").names
    more = [f"profile_{name}" for name in _GAIN if f"profile_{name}" in known]
    found = table(run, "scores", [*_KEYS, *_VALUES, *more])
    found = found.filter(pc.is_valid(found["score"]))
    place = _places(found, names, layers, heads)
    values = {name: _floats(found, name) for name in _VALUES}
    over = np.array(found["baseline"].to_pylist(), object)
    _against_profile(found, values, over)
    names_of_baselines = sorted(set(over.tolist()) - {None})
    by = {name: i + 1 for i, name in enumerate(names_of_baselines)}
    base = np.array([by.get(name, 0) for name in over], np.uint8)
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
    return {"baselines": names_of_baselines, "blocks": blocks, "profile": bool(more)}


def _against_profile(found: pa.Table, values: dict[str, np.ndarray], over: np.ndarray) -> None:
    """Put the gain over the profile in the place of a larger one, as `Score.margin` does."""
    if "profile_gain" not in found.column_names:
        return
    harder = _floats(found, "profile_gain") < values["gain"]
    for name in _GAIN:
        values[name] = np.where(harder, _floats(found, f"profile_{name}"), values[name])
    over[harder] = "profile"


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


GATES_OF_A_HEAD = 6
"""Gates of a head that a page keeps, the clearest ones."""

_GATE = ("head", "pattern", "place", *MEASURED, "clear")


def gates(run: Run) -> Table:
    """Of every head the clearest gates, those whose intervals lie apart before the others."""
    found = gates_of_heads(run)
    kept = [gate for head in sorted(found) for gate in found[head][:GATES_OF_A_HEAD]]
    return tabled(
        _GATE, ({name: getattr(gate, name) for name in _GATE} | {"head": str(gate.head)}
                for gate in kept)
    )  # fmt: skip


def relations(run: Run) -> list[Facts] | None:
    """Which head follows which dependency relation; None where the texts were not parsed."""
    if "relations" not in run.manifest.get("tables", []):
        return None
    return [line.as_dict() for line in relation_accuracy(run)]


PARTS = {
    "about": patterns,
    "scores": scores,
    "layers": of_table("layers", ("layer", "metric", "view", "score", "low", "high")),
    "gates": gates,
    "containment": of_table("containment", ("pattern", "other", "inside")),
    "relations": relations,
}
