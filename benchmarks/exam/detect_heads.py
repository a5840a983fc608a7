"""What TransformerLens' `detect_head` says of the known heads, kept for the exam's page.

    python benchmarks/exam/detect_heads.py

Runs in an environment of its own, which has transformer-lens and not Headscribe. `detect_head` is
given the recorded attention as a model's cache, one text after the other, and its three named
patterns, with the start left out (`exclude_bos`), on which heads rest. Kept are the mean scores
over the texts that formulas are fitted to, by model and head.
"""

import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import get_args

import numpy as np
import torch
from transformer_lens.head_detector import HeadName, detect_head

ROOT = Path(__file__).parents[2]
UNIT, FRESH = 250, 0.375


def scores(texts: list[str], stored: np.ndarray) -> dict[str, list[float]]:
    """The mean score of every head by pattern; NaN where it reads the start alone."""
    words = ["BOS", *sorted({word for text in texts for word in text.split()})]
    heads, fit = stored.shape[1], len(texts) - round(len(texts) * FRESH)
    found: dict[str, list[torch.Tensor]] = {name: [] for name in get_args(HeadName)}
    for text, padded in zip(texts[:fit], stored, strict=False):
        ids = torch.tensor([[0, *(words.index(word) for word in text.split())]])
        length = ids.shape[1]
        rows = torch.from_numpy(padded[:, :length, :length].astype(np.float32) / UNIT)
        sizes = {"n_layers": 1, "n_heads": heads, "n_ctx": 99, "device": "cpu"}
        model = SimpleNamespace(
            cfg=SimpleNamespace(**sizes, dtype=torch.float32), to_tokens=lambda _, ids=ids: ids
        )
        for name, every in found.items():
            cache = {("pattern", 0, "attn"): rows}
            every.append(detect_head(model, text, name, cache=cache, exclude_bos=True)[0])
    return {name: torch.stack(one).nanmean(0).tolist() for name, one in found.items()}


def main() -> None:
    """Score every model."""
    kept: dict[str, dict[str, list[float]]] = {}
    for kind in ("compiled", "trained"):
        folder = ROOT / "src" / "headscribe" / "exam"
        described = json.loads((folder / f"{kind}.json").read_text("utf-8"))
        with np.load(folder / f"{kind}.npz") as arrays:
            for one in described["models"]:
                texts = described["texts"][one["texts"]]
                kept[one["name"]] = scores(texts, arrays[one["name"]])
    document = {"transformer_lens": version("transformer-lens"), "models": kept}
    out = ROOT / "benchmarks" / "results" / "exam_detect_head.json"
    out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
