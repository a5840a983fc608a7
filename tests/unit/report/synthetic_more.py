"""Runs of a replacement, a discovery, hints, effects and probes, made without a model."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headscribe.results.examples import ExampleRow, table_of
from headscribe.results.run import Run
from tests.unit.report.synthetic import SENTENCE

MODEL = {"name": "bundled:stories", "layers": 3, "heads": 4, "causal": True}
HEADS = [f"{layer}.{head}" for layer in range(3) for head in range(4)]
VERSIONS = {"headscribe": "0.1.0"}


def make_replacement(folder: Path, text: str = "Once upon a time") -> Run:
    """A complete run; its curve rises with the share of the heads."""
    run = Run.create(folder, "replacement", {"seed": 0})
    rows, curve = [], []
    for program, cost in (("formula", 1.0), ("profile", 2.0), ("zero", 9.0)):
        for fraction in (0.25, 0.5, 1.0):
            point = {
                "program": program, "order": "best_first", "tuned": False, "fraction": fraction,
                "heads": round(12 * fraction), "value": 5 + cost * fraction,
                "increase": cost * fraction / 5, "low": 0.01, "high": 2.0,
            }  # fmt: skip
            curve.append(point)
            rows.append(point | {"head": None, "seed": None, "metric": "perplexity",
                                 "unaltered": 5.0})  # fmt: skip
        rows += [
            point | {"order": "alone", "head": head, "seed": None, "metric": "perplexity",
                     "unaltered": 5.0}
            for head in HEADS
        ]  # fmt: skip
    run.write_table("replacement", pa.Table.from_pylist(rows))
    run.finish(
        replacement={"metric": "perplexity", "unaltered": 5.0, "curve": curve},
        model=MODEL, versions=VERSIONS, corpus={"name": "test", "texts": 12, "tokens": 99},
        agreement=[{"program": "formula", "tuned": False, "iou": 0.4}],
        continuations=[
            {"program": "formula", "tuned": False, "fraction": 0.25, "heads": 3, "prompt": text,
             "unaltered": f"{text} there was", "altered": f"{text} she went"}
        ],
    )  # fmt: skip
    return run


def make_discovery(folder: Path, text: str = "attends to the previous token") -> Run:
    """A complete run: 0.0 got a program, 0.1 did not."""
    run = Run.create(folder, "discover", {"seed": 0, "proposer": "offline", "rounds": 2})
    rows = [
        {
            "layer": 0, "head": head, "status": status, "reason": "" if head == 0 else text,
            "statement": text if head == 0 else "", "iou_formula": 0.4,
            "iou_program": 0.5 if head == 0 else None, "gain": 0.1 if head == 0 else None,
            "gain_low": 0.05 if head == 0 else None, "gain_high": 0.15 if head == 0 else None,
            "rounds": 1, "looks_ahead": False, "failed_test_texts": 0,
        }
        for head, status in enumerate(("accepted", "rejected"))
    ]  # fmt: skip
    run.write_table("discoveries", pa.Table.from_pylist(rows))
    run.write_table("all_heads", pa.Table.from_pylist(
        [{"program": "0.0", "layer": 1, "head": 1, "iou": 0.3, "texts": 5}]
    ))  # fmt: skip
    words = ["[CLS]", *SENTENCE, "[SEP]"]
    facts = {"text": " ".join(words), "labels": words, "special": [False] * 15,
             "word_of_token": list(range(15)), "words": {"form": words}}  # fmt: skip
    rng = np.random.default_rng(0)
    matrices = [rng.dirichlet(np.full(15, 0.2), 15) for _ in range(3)]
    names = [("head", "0.0"), ("pattern", "0.0:formula"), ("pattern", "0.0:program")]
    run.write_table("examples", table_of([
        ExampleRow.of_text("t", 15, facts),
        *(ExampleRow.of_matrix("t", *name, m) for name, m in zip(names, matrices, strict=True)),
    ]))  # fmt: skip
    for folder_name in ("heads", "evidence"):
        (run.folder / folder_name).mkdir()
    for row in rows:
        name = f"0.{row['head']}"
        story = _story(name, str(row["status"]), text)
        (run.folder / "heads" / f"{name}.json").write_text(json.dumps(story), encoding="utf-8")
    (run.folder / "evidence" / "0.0.json").write_text(json.dumps({"texts": [{
        "text": "t", "why": "typical", "iou_of_formula": 0.3,
        "top_pairs": [{"from": {"token": text}, "to": {"token": "b"}, "weight": 0.9}],
        "formula_wrong": {"underestimated": [[1, text, 2, "b", 0.9, 0.1]]},
    }]}), encoding="utf-8")  # fmt: skip
    run.finish(
        model=MODEL, corpus={"name": "stories", "texts": 45}, versions=VERSIONS,
        examined=["0.0", "0.1"], left_out=[],
        tally={"heads": 2, "stopped": 0, "proposals": 2, "invalid": {}, "failed": {},
               "rejected": {"fit": 1}, "accepted": 1, "calls": 2, "tokens": 999, "usd": 0.02},
    )  # fmt: skip
    return run


def _story(name: str, status: str, text: str) -> dict[str, Any]:
    proposal = {
        "hypotheses": [{"statement": f"{text} {n}", "evidence": [text]} for n in range(3)],
        "chosen": 1, "validation": text, "example": {"text": "t", "cells": [[1, 0, 1.0]]},
        "code": {"kind": "python", "relations": [], "program": f"def attention(p):\n    # {text}"},
    }  # fmt: skip
    program = {"kind": "formula", "relations": ["distance == -1"], "formula": {
        "name": name, "terms": [{"relation": "distance == -1", "weight": 2.0}]}}  # fmt: skip
    accepted = status == "accepted"
    return {
        "head": name, "status": status, "reason": "" if accepted else text, "formula": text,
        "rivals": {"catalogue": "previous_token"}, "looks_ahead": False,
        "attempts": [{"round": 1, "source": f"offline:{text}", "fate": status, "kind": "",
                      "message": text, "proposal": proposal, "notes": [text], "fit_iou": 0.5,
                      "fit_gain": 0.1, "select_p": 0.01, "example_agreement": 1.0}],
        "program": program if accepted else None,
        "scores": {"test": {"formula": 0.4, "program": 0.5}},
        "gains": {"formula": [0.1, 0.05, 0.15]} if accepted else {},
    }  # fmt: skip


def make_hints(folder: Path, text: str = "What is 2 + 2?", *, ranked: bool = True) -> Run:
    """A complete run of two questions, with a profile, and with a ranking unless it is refused."""
    run = Run.create(folder, "hints", {"seed": 0, "position": "before"})
    share = {"hits": 1, "n": 2, "share": 0.5, "low": 0.1, "high": 0.9}
    run.write_table("rates", pa.Table.from_pylist([
        {"name": name, "condition": condition} | share
        for name in ("accuracy", "changed", "to_hinted") for condition in ("none", "wrong")
    ]))  # fmt: skip
    run.write_table("heads", pa.Table.from_pylist([
        {"head": head, "measure": measure, "condition": condition, "n": 2, "hint": 0.2,
         "note": 0.1, "beyond": 0.1, "beyond_low": 0.05, "beyond_high": 0.15, "contrast": 0.1,
         "contrast_low": 0.0, "contrast_high": 0.2, "t": 2.0, "p": 0.01,
         "flagged": ranked and head == "1.1"}
        for head in HEADS for measure in ("rows", "hint") for condition in ("wrong", "right")
    ]))  # fmt: skip
    if ranked:
        run.write_table("ranking", pa.Table.from_pylist([
            {"rank": 1, "head": "1.1", "measure": "rows", "t": 4.0, "p": 1e-5, "flagged": True,
             "slides": None, "slides_n": 0}
        ]))  # fmt: skip
    run.write_table("questions", pa.Table.from_pylist([
        {"id": "q", "question": text, "choices": [text, "4"], "answer": 1}
    ]))  # fmt: skip
    run.write_table("answers", pa.Table.from_pylist([
        {"id": "q", "condition": condition, "target": 0, "answer": 1, "state": "answered",
         "text": text, "insertion": text}
        for condition in ("none", "wrong", "note")
    ]))  # fmt: skip
    run.write_table("profile", pa.Table.from_pylist([
        {"id": "q", "head": "1.1", "condition": condition, "position": k, "token": text,
         "part": "insertion" if k == 0 else "shared", "weight": 0.5}
        for condition in ("none", "wrong", "note") for k in range(2)
    ]))  # fmt: skip
    run.write_table("causal", pa.Table.from_pylist([
        {"set": "top", "draw": 0, "how": "block", "heads": ["1.1"], "n": 2, "back": 1}
        | {"share": 0.5, "low": 0.1, "high": 0.9}
    ]))  # fmt: skip
    run.finish(
        model=MODEL, versions=VERSIONS, messages=[text], questions={"name": "sums", "rows": 1},
        ranking={"refused": None if ranked else "heads are not ranked: 0 answers follow",
                 "tests": 24, "flagged": int(ranked)},
    )  # fmt: skip
    return run


def make_effects(folder: Path, text: str = "the previous token") -> Run:
    """A complete run: 2.1 copies, 2.2 suppresses; 2.1 matters and reads from 0.1."""
    run = Run.create(folder, "effects", {"seed": 0, "matters": 8, "reads": 8})
    heads = [(layer, head) for layer in range(3) for head in range(4)]
    size = {(2, 1): 0.5, (2, 2): -0.4}
    run.write_table("effects", pa.Table.from_pylist([
        {"layer": layer, "head": head, "token": token, "value": size.get((layer, head), 0.0),
         "expected": 0.0, "effect": size.get((layer, head), 0.0), "low": -0.5, "high": 0.6,
         "rows": 90, "named": None if token != "reads" else
         {(2, 1): "copies", (2, 2): "suppresses"}.get((layer, head))}
        for layer, head in heads for token in ("reads", "next", "current")
    ]))  # fmt: skip
    run.write_table("promoted", pa.Table.from_pylist([
        {"layer": 2, "head": 1, "reads": "a word", "rows": 40, "promotes": [text, "cat"],
         "promoted_by": [1.0, 0.5], "demotes": ["dog"], "demoted_by": [-0.5]}
    ]))  # fmt: skip
    run.write_table("matters", pa.Table.from_pylist([
        {"layer": layer, "head": head, "by": by, "change": 0.2, "low": 0.1, "high": 0.3,
         "loss": 2.5, "tokens": 99, "flagged": (layer, head) == (2, 1)}
        for layer, head in heads for by in ("mean", "profile")
    ]))  # fmt: skip
    run.write_table("suffers", pa.Table.from_pylist([
        {"layer": layer, "head": head, "by": by, "token": token, "change": change, "low": 0.1,
         "high": 0.9, "tokens": 30}
        for layer, head in heads for by in ("mean", "profile")
        for token, change in (("new", 0.1), ("repeated", 0.35))
    ]))  # fmt: skip
    run.write_table("reads_from", pa.Table.from_pylist([
        {"layer": 2, "head": 1, "behaviour": text, "input": kind, "from_layer": 0,
         "from_head": 1, "own": 0.6, "estimated": -0.2, "change": -0.25, "low": -0.3,
         "high": -0.2, "texts": 8, "flagged": kind == "key"}
        for kind in ("query", "key")
    ]))  # fmt: skip
    run.finish(summary="Of 12 heads 1 copies.", model=MODEL, versions=VERSIONS,
               corpus={"name": "test", "texts": 12, "tokens": 99})  # fmt: skip
    return run


def make_probes(folder: Path) -> Run:
    """A complete run: 2.1 answers `induction`, 1.0 `copying`."""
    run = Run.create(folder, "probe", {"seed": 0, "pairs": 12})
    answers = [("induction", "attention", (2, 1)), ("copying", "logits", (1, 0))]
    run.write_table("probes", pa.Table.from_pylist([
        {"probe": name, "layer": layer, "head": head, "unit": unit, "value": 0.875,
         "control": 0.25, "difference": 0.625, "low": 0.5, "high": 0.75, "pairs": 12,
         "flagged": (layer, head) == who}
        for name, unit, who in answers for layer in range(3) for head in range(4)
    ]))  # fmt: skip
    run.finish(summary="2 of 12 heads answer a probe.", model=MODEL, versions=VERSIONS, flagged=2,
               asks={one[0]: {"asks": "it", "control": "words"} for one in answers})  # fmt: skip
    return run
