"""Hints: one observed pass a condition and question, beside one pass per head.

    python benchmarks/hints.py [--questions 6] [--rounds 3] [--out FILE]

The old way, as the slides' code had it: for every head two forward passes a question, without hint
and with it, that return the attention of all layers, of which one head's is kept and compared. The
way of `headscribe hints`: the four conditions of every question in batches, one pass each, in
which all heads are compared by all measures. Beside both stand as many plain forward passes in the
same batches. A round times the three one after the other; ratios are medians over rounds, so
that other load weighs on all. The old way compares one hint only, so per comparison it costs three
times what is printed.
"""

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from scipy.spatial.distance import jensenshannon
from transformers import LlamaConfig, LlamaForCausalLM

from headscribe.core.visible import plural
from headscribe.hinting.conditions import CONDITIONS, DEFAULT
from headscribe.hinting.prompts import Asked, Prompter
from headscribe.hinting.questions import Questions, questions_of
from headscribe.hinting.reading import Unit, read
from headscribe.models.batching import batches
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.models.tap import implementation

WORDS = ("model", "reads", "question", "about", "rings", "and", "fields", "answers", "letter")


def questions(count: int) -> Questions:
    """Questions of about a hundred tokens."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(count):
        asked = " ".join(rng.choice(WORDS, size=24))
        choices = [f"{' '.join(rng.choice(WORDS, size=3))} {n}" for n in range(4)]
        rows.append({"question": f"{asked} {number}", "choices": choices, "answer": number % 4})
    return questions_of(rows)


def models() -> dict[str, Model]:
    """The bundled storyteller, and a random Llama of 144 heads with its tokenizer."""
    stories = load("bundled:stories", device="cpu")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(stories.tokenizer), hidden_size=384, intermediate_size=1024,
        num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=12,
        max_position_embeddings=512,
    )  # fmt: skip
    random = load((LlamaForCausalLM(config), stories.tokenizer), device="cpu")
    return {"bundled:stories (36 heads)": stories, "random Llama, 384 wide (144 heads)": random}


def new(model: Model, units: list[Unit]) -> int:
    """Every condition of every question once; returns the passes."""
    for batch in batches([range(len(unit) * len(CONDITIONS)) for unit in units], 4096):
        read(model, [units[at] for at in batch], None)
    return len(units) * len(CONDITIONS)


def plain(model: Model, units: list[Unit]) -> int:
    """The same passes without a look at attention."""
    for batch in batches([range(len(unit) * len(CONDITIONS)) for unit in units], 4096):
        model.logits([units[at].text(c) for at in batch for c in CONDITIONS], last=True)
    return len(units) * len(CONDITIONS)


def old(model: Model, units: list[Unit]) -> int:
    """Two passes per head and question."""
    passes = 0
    with torch.inference_mode(), implementation(model.hf, "eager"):
        for unit in units:
            first, second, after = unit.shared("wrong")
            for layer, head in np.ndindex(model.layers, model.heads):
                found = []
                for condition, keys in (("none", first), ("wrong", second)):
                    ids = torch.from_numpy(unit.text(condition).ids)[None]
                    result = model.hf(ids, output_attentions=True)
                    matrix = result.attentions[layer][0, head].double().numpy()
                    found.append(matrix[keys[len(keys) - after :]][:, keys].sum(0))
                    passes += 1
                jensenshannon(*found, base=2)
    return passes


def timed(run: Callable[[Model, list[Unit]], int], model: Model, units: list[Unit]
          ) -> tuple[float, int]:  # fmt: skip
    begin = time.perf_counter()
    passes = run(model, units)
    return time.perf_counter() - begin, passes


def table(count: int, rounds: int, names: list[str] | None) -> str:
    """The results as Markdown."""
    lines = [
        "| model | way | passes | seconds | beside plain passes |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for name, model in models().items():
        if names and not any(one in name for one in names):
            continue
        prompter = Prompter(model.tokenizer, DEFAULT, "before", "likelihood", 0, None)
        made = [prompter.ask(row) for row in questions(count).usable]
        units = [Unit(one, ()) for one in made if isinstance(one, Asked)]
        new(model, units[:1])
        found: dict[str, list[float]] = {"plain": [], "observed": [], "per head": []}
        passes = {}
        for _ in range(rounds):
            for way, run in (("plain", plain), ("observed", new), ("per head", old)):
                seconds, passes[way] = timed(run, model, units)
                found[way].append(seconds)
        for way, seconds in found.items():
            ratio = median(b / a for a, b in zip(found["plain"], seconds, strict=True))
            lines.append(
                f"| {name} | {way} | {passes[way]} | {median(seconds):.2f} | {ratio:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--models", default="", help="parts of names, comma-separated")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    names = [one for one in given.models.split(",") if one]
    text = table(given.questions, given.rounds, names)
    print(text)
    if given.out is not None:
        head = (
            "# Hints: one pass a condition and question, beside one pass per head\n\n"
            f"`benchmarks/hints.py --questions {given.questions} --rounds {given.rounds}`, "
            f"{plural(torch.get_num_threads(), 'thread')}, {platform.machine()}, "
            f"torch {torch.__version__}. Medians over rounds.\n\n"
        )
        given.out.write_text(head + text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
