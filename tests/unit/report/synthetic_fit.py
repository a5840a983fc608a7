"""Runs with the tables of a fit, made without a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.results.examples import ExampleRow, table_of
from headscribe.results.run import Run
from tests.unit.report.synthetic import SENTENCE

RELATIONS = ("key.is_bos", "distance == -1", 'key.lower in {"a", "<b>"}', "key.head == query.word")


def make_fit(
    folder: Path,
    *,
    layers: int = 3,
    heads: int = 4,
    name: str = "bundled:stories",
    seed: int = 0,
    relations: tuple[str, ...] = RELATIONS,
    **facts: Any,
) -> Run:
    """A complete run with random but plausible numbers; head 0.0 is labelled `previous_token`."""
    rng = np.random.default_rng(seed)
    run = Run.create(folder, "fit", {"seed": seed, "terms": 4})
    run.manifest |= {
        "model": {"name": name, "layers": layers, "heads": heads},
        "corpus": {"name": "sample stories", "texts": 45, "tokens": 4711},
        "versions": {"headscribe": "0.1.0"},
    } | facts  # fmt: skip
    every = [(layer, head) for layer in range(layers) for head in range(heads)]
    run.write_table("formulas", pa.Table.from_pylist([_formula(rng, *h, relations) for h in every]))
    run.write_table("layers", _layers(rng, layers, heads))
    run.write_table("mixtures", pa.Table.from_pylist([
        {"layer": layer, "head": head, "pattern": pattern, "weight": weight, "gain": gain,
         "low": gain - 0.02 if gain else None, "high": gain + 0.02 if gain else None}
        for layer, head in every
        for pattern, weight, gain in (("previous_token", 0.6, 0.12), ("uniform", 0.4, None))
    ]))  # fmt: skip
    run.write_table("labels", pa.Table.from_pylist([
        {"corpus": "all", "layer": 0, "head": 0, "place": 0, "pattern": "previous_token",
         "gain_iou": 0.1, "gain_jsd": 0.1, "p": 1e-5}
    ]))  # fmt: skip
    run.write_table("similarity", pa.Table.from_pylist([
        {"layer_a": a[0], "head_a": a[1], "layer_b": b[0], "head_b": b[1],
         "jsd": float(rng.uniform(0.2, 0.9))}
        for i, a in enumerate(every) for b in every[i + 1 :]
    ]))  # fmt: skip
    run.write_table("covers", pa.Table.from_pylist([
        {"loss": 0.02, "layer": layer, "head": head, "by_layer": 0, "by_head": 1, "iou": 0.4,
         "own_iou": 0.41}
        for layer, head in every
    ]))  # fmt: skip
    run.write_table("examples", _examples(rng, every))
    run.finish()
    return run


def _formula(
    rng: np.random.Generator, layer: int, head: int, relations: tuple[str, ...]
) -> dict[str, Any]:
    terms = [
        {"relation": relation, "weight": float(rng.normal(0, 3)), "low": -1.0, "high": 1.0,
         "drop": -float(rng.uniform(0, 0.1))}
        for relation in relations
    ]  # fmt: skip
    row: dict[str, Any] = {
        "layer": layer, "head": head, "text": "", "pattern": "previous_token",
        "formula": json.dumps({"name": f"L{layer}H{head}", "terms": terms}),
        "labels": ["previous_token"] if layer == head == 0 else [],
    }  # fmt: skip
    for what, middle in (("formula", 0.5), ("profile", 0.4), ("gain", 0.1)):
        for view in ("raw", "content"):
            for metric in ("iou", "jsd"):
                mean = middle + float(rng.normal(0, 0.05))
                for part, value in (("mean", mean), ("low", mean - 0.01), ("high", mean + 0.01)):
                    row[f"{what}_{view}_{metric}_{part}"] = value
    return row


def _layers(rng: np.random.Generator, layers: int, heads: int) -> pa.Table:
    return pa.Table.from_pylist([
        {"layer": layer, "score": score, "view": view, "metric": metric, "mean": mean,
         "low": mean - 0.01, "high": mean + 0.01, "heads": heads,
         "above": 1 if score == "gain" else None, "labelled": 1}
        for layer in [*range(layers), None]
        for score in ("formula", "profile", "gain")
        for view in ("raw", "content")
        for metric in ("iou", "jsd")
        for mean in [float(rng.uniform(0.3, 0.6))]
    ])  # fmt: skip


def _examples(rng: np.random.Generator, every: list[tuple[int, int]]) -> pa.Table:
    words = ["[CLS]", *SENTENCE, "[SEP]"]
    facts = {
        "text": " ".join(words), "tokens": words, "labels": words,
        "special": [word[0] == "[" for word in words],
        "word_of_token": list(range(len(words))), "words": {"form": words},
    }  # fmt: skip
    rows = [ExampleRow.of_text("stories:1", len(words), facts)]
    for layer, head in every:
        for kind in ("head", "formula"):
            matrix = rng.gamma(0.3, size=(len(words), len(words))) + 1e-9
            matrix /= matrix.sum(axis=1, keepdims=True)
            rows.append(ExampleRow.of_matrix("stories:1", kind, f"{layer}.{head}", matrix))
    return table_of(rows)
