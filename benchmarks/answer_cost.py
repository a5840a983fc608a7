"""What it costs to ask every head what it does, beside plain forward passes, paired in one run.

    python -P benchmarks/answer_cost.py [--lengths 32,128,512] [--tokens 4096] [--rounds 3]

SmolLM2-135M (`bundled:smollm2`) reads stories of the shared data cut to each length, one thread. A
round makes, one after the other, a plain forward pass of every batch and the two readings of the
answer (what heads do; where the rest of their attention goes), the whole catalogue asked, and
reports processor seconds: load on the machine weighs on none. Naming between the readings is timed
apart, once. `patterns` says what a survey's scoring costs beside both.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from headscribe.api.choice import choose_patterns
from headscribe.behaviours.answer import Answer
from headscribe.core.progress import silent
from headscribe.models.batching import batches
from headscribe.models.inputs import open_inputs
from headscribe.models.loading import load
from headscribe.scoring.engine import Engine, Phase, Progress
from headscribe.text.corpora import corpus
from headscribe.text.passages import Passage

STORIES = Path(__file__).resolve().parents[2] / "shared/data/tinystories/train.jsonl.gz"


def seconds(work: Callable[[], object]) -> float:
    """Processor seconds of some work."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measured(model: object, length: int, tokens: int, rounds: int) -> dict[str, float]:
    """Seconds of both readings and of plain passes over the same batches, medians of rounds."""
    number, stories = max(20, tokens // length), [text.text for text in corpus(STORIES, 2000)]
    each = 1 + length // 100  # stories have some 200 tokens; texts are cut to the length
    texts = ["\n".join(stories[each * i : each * (i + 1)]) for i in range(number)]
    inputs = open_inputs(model, corpus(texts), None, None, length, silent)
    passages: list[Passage] = list(inputs.passages)
    answer = Answer(inputs.source, passages, inputs.provides)
    choice = choose_patterns(None, inputs.provides, causal=True)
    source, found = inputs.source, {}
    passages = passages[: tokens // length]
    lots = [[passages[i] for i in lot] for lot in batches(passages, 1024)]

    def plain() -> None:
        for lot in lots:
            width = max(map(len, lot))
            ids = torch.zeros((len(lot), width), dtype=torch.long)
            mask = torch.zeros((len(lot), width), dtype=torch.long)
            for b, passage in enumerate(lot):
                ids[b, : len(passage)] = torch.as_tensor(passage.ids)
                mask[b, : len(passage)] = 1
            with torch.inference_mode():
                source.hf(input_ids=ids, attention_mask=mask, use_cache=False)

    def passed(patterns: tuple, phase: Phase, companion: Answer | None) -> Progress:
        engine = Engine(source, passages, patterns, companion=companion, example_texts=0)
        progress = engine.start()
        progress.companion = companion
        for number, lot in enumerate(lots):
            engine._run_batch(number, lot, phase, None, progress)
        return progress

    first, second = Phase((), False, False, False, 1), Phase((), False, False, False, 2)
    asked = answer.blank()
    passed((), first, asked)  # compiles
    found["naming"] = seconds(asked.turn)
    passed((), second, asked.blank())
    plain()
    score = Phase((), True, False, False, 0)
    passed(choice.patterns, score, None)
    each: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in {
            "plain": plain,
            "first": lambda: passed((), first, answer.blank()),
            "second": lambda: passed((), second, asked.blank()),
            "patterns": lambda: passed(choice.patterns, score, None),
        }.items():
            each.setdefault(name, []).append(seconds(work))
    found |= {name: median(values) for name, values in each.items()}
    for name in ("first", "second", "patterns"):
        ratios = [one / two for one, two in zip(each[name], each["plain"], strict=True)]
        found[f"{name}_of_plain"] = median(ratios)
    found["whole_of_plain"] = (found["first"] + found["second"] + found["naming"]) / (
        2 * found["plain"]
    )
    return {"length": length, "texts": len(passages), "tokens": sum(map(len, passages))} | found


def main() -> None:
    """Measure and print one line of JSON a length."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lengths", default="32,128,512")
    parser.add_argument("--tokens", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    model = load("bundled:smollm2")
    for length in map(int, given.lengths.split(",")):
        line = measured(model, length, given.tokens, given.rounds)
        print(json.dumps({key: round(value, 3) for key, value in line.items()}), flush=True)


if __name__ == "__main__":
    main()
