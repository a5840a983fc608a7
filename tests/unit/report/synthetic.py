"""Runs with the tables of a survey, made without a model."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.results.examples import ExampleRow, table_of
from headscribe.results.run import Run

PATTERNS = {
    "next_token": "positional", "previous_token": "positional", "same_token": "positional",
    "punctuation": "lexical", "repetition": "lexical", "induction": "lexical",
    "part_of_speech": "syntactic", "dependency": "syntactic", "dependency_to_head": "syntactic",
    "separator": "sink", "key.word == query.head": "custom", "rare": "lexical",
    "uniform": "sink", "first_token": "sink", "previous": "positional",
}  # fmt: skip

SENTENCE = [
    "When",
    "it",
    "was",
    "time",
    "to",
    "go",
    "home",
    ",",
    "Beep",
    "knew",
    "he",
    "needed",
    ".",
]

HOSTILE = [
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "\u202eright\u202c",
    "\x1b[31mred", "a\x00b", "$x_1$", "漢字", "😀", "'onload='x", "&amp;", " ", "\ud800",
    "שלום", "]]>", "</svg>",
]  # fmt: skip


def make_run(
    folder: Path,
    *,
    layers: int = 3,
    heads: int = 4,
    texts: dict[str, list[str]] | None = None,
    name: str = "bundled:stories",
    seed: int = 0,
    patterns: dict[str, str] | None = None,
    **facts: Any,
) -> Run:
    """A complete run with random but plausible numbers; `previous_token` explains head 0.0."""
    rng = np.random.default_rng(seed)
    names = patterns or PATTERNS
    run = Run.create(folder, "survey", {"seed": seed, "annotator": {"name": "bundled:en"}})
    run.manifest |= {
        "model": {"name": name, "layers": layers, "heads": heads, "causal": False},
        "corpus": {"name": "sample stories", "texts": 300, "tokens": 4711},
        "patterns": [
            {
                "name": pattern, "sentence": f"What {pattern} says.", "family": family,
                "source": "Clark et al. 2019",
            }
            for pattern, family in names.items()
        ],
        "versions": {"headscribe": "0.1.0", "torch": "2.13.0"},
        "skipped": {"next_punctuation": "needs later keys, which a causal model hides"},
        "failures": {"dependency": 2},
    } | facts  # fmt: skip
    run.write_table("scores", _scores(rng, list(names), layers, heads))
    run.write_table("layers", _layers(rng, layers))
    run.write_table("gate", _gate(rng, list(names)[:6], layers, heads))
    run.write_table("containment", _containment(rng, list(names)))
    run.write_table("examples", _examples(rng, list(names), layers, heads, texts))
    run.finish()
    return run


def _scores(rng: np.random.Generator, names: list[str], layers: int, heads: int) -> pa.Table:
    rows = []
    for metric in ("jsd", "iou"):
        for view in ("raw", "content"):
            for pattern in names:
                for layer in range(layers):
                    for head in range(heads):
                        gain = float(rng.normal(-0.08, 0.1))
                        score = float(rng.uniform(0.3, 0.9))
                        if pattern == "previous_token" and layer == head == 0:
                            gain, score = 0.41, 0.12 if metric == "jsd" else 0.92
                        known = pattern != "uniform"
                        over_profile = gain - 0.2 if pattern == "same_token" else gain + 0.01
                        rows.append({
                            "pattern": pattern, "layer": layer, "head": head, "metric": metric,
                            "view": view, "split": "all", "score": score, "low": score - 0.02,
                            "high": score + 0.02, "texts": 300, "rows": 4000.0,
                            "coverage": 0.03 if pattern == "rare" else 0.95,
                            "baseline": "profile" if known else None,
                            "gain": gain if known else None,
                            "gain_low": gain - 0.02 if known else None,
                            "gain_high": gain + 0.02 if known else None,
                            "profile_gain": over_profile, "profile_gain_low": over_profile - 0.02,
                            "profile_gain_high": over_profile + 0.02,
                        })  # fmt: skip
    return pa.Table.from_pylist(rows)


def _layers(rng: np.random.Generator, layers: int) -> pa.Table:
    rows = []
    for metric in ("jsd", "iou"):
        for view in ("raw", "content"):
            for layer in [*range(layers), None]:
                score = float(rng.uniform(0.3, 0.5))
                rows.append({
                    "layer": layer, "metric": metric, "view": view, "score": score,
                    "low": score - 0.02, "high": score + 0.02,
                })  # fmt: skip
    return pa.Table.from_pylist(rows)


def _gate(rng: np.random.Generator, names: list[str], layers: int, heads: int) -> pa.Table:
    rows = []
    for read in ("sink", "last"):
        for pattern in names:
            for layer in range(layers):
                for head in range(heads):
                    row: dict[str, Any] = {
                        "pattern": pattern, "layer": layer, "head": head, "read": read,
                    }  # fmt: skip
                    for state in ("on", "off", "absent"):
                        mean = float(rng.uniform(0.05, 0.9))
                        row |= {
                            state: mean, f"{state}_low": mean - 0.03, f"{state}_high": mean + 0.03,
                            f"{state}_rows": 800,
                        }  # fmt: skip
                    rows.append(row)
    return pa.Table.from_pylist(rows)


def _containment(rng: np.random.Generator, names: list[str]) -> pa.Table:
    rows = [
        {
            "pattern": a, "other": b, "rows": 10,
            "overlap": 1.0 if a == b else float(rng.beta(0.5, 1.5)),
            "inside": 1.0 if a == b else None if (a, b) == ("rare", "next_token") else
            float(rng.beta(0.5, 1.5)),
        }
        for a in names
        for b in names
    ]  # fmt: skip
    return pa.Table.from_pylist(rows)


def _examples(
    rng: np.random.Generator,
    names: list[str],
    layers: int,
    heads: int,
    texts: dict[str, list[str]] | None,
) -> pa.Table:
    rows = []
    for text_id, words in (texts or {"stories:1": ["[CLS]", *SENTENCE, "[SEP]"]}).items():
        length = len(words)
        facts = {
            "text": " ".join(words).encode("utf-8", "backslashreplace").decode(),
            "tokens": words, "labels": words, "special": [word[0] == "[" for word in words],
            "word_of_token": list(range(length)), "words": {"form": words},
        }  # fmt: skip
        facts = {key: _storable(value) for key, value in facts.items()}
        rows.append(ExampleRow.of_text(text_id, length, facts))
        for layer in range(layers):
            for head in range(heads):
                real = rng.gamma(0.3, size=(length, length)) + 1e-9
                real += 3 * np.eye(length, k=-1) * (layer == head == 0)
                real /= real.sum(axis=1, keepdims=True)
                rows.append(ExampleRow.of_matrix(text_id, "head", f"{layer}.{head}", real))
        for number, name in enumerate(names):
            predicted = np.eye(length, k=number - 2)
            rows.append(ExampleRow.of_matrix(text_id, "pattern", name, predicted))
    return table_of(rows)


def _storable(value: Any) -> Any:
    """Strings without lone surrogates, which UTF-8 cannot hold."""
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {key: _storable(item) for key, item in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value
