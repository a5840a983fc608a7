"""What a survey of a real language model costs beside its plain forward passes, in one run.

    python -m benchmarks.survey_cost [--model bundled:smollm2] [--texts 16] [--rounds 5]

The sample stories, joined and cut to texts of 128 tokens, are surveyed for the first 20 patterns of
the catalogue, the baselines among them: both passes, plans, sums and summaries. A round times the
plain passes (the model's own kernel, nothing read, as often as the survey reads the texts) and the
survey in turns, in processor seconds, on one thread; ratios are of the same round. Annotation and
loading stand apart: they are done once, whatever is asked of the texts. Memory is the peak of
resident memory, model included, in processes of their own.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from benchmarks.scoring import machine, resident
from headscribe.api.choice import choose_patterns
from headscribe.core.progress import silent
from headscribe.models.inputs import Inputs, open_inputs
from headscribe.models.loading import load
from headscribe.patterns.registry import baselines
from headscribe.scoring.engine import Engine
from headscribe.scoring.summary import Summary
from headscribe.text.corpora import from_strings, read

TOKENS, PATTERNS = 128, 20


def inputs_of(model: str, texts: int) -> Inputs:
    """So many texts of as many tokens as are surveyed."""
    stories = [text.text for text in read("bundled:samples")]
    joined = [" ".join(stories[i % len(stories) :][:6]) for i in range(texts)]
    found = open_inputs(load(model), from_strings(joined), None, None, TOKENS, silent)
    assert {len(passage) for passage in found.passages} == {TOKENS}
    return found


def passes(inputs: Inputs) -> tuple[Callable[[], None], Callable[[], None], Engine]:
    """The plain passes and the survey."""
    kept = choose_patterns(["all"], inputs.provides, causal=True).patterns[:PATTERNS]
    assert set(baselines()) <= set(kept)
    model = inputs.source

    def engine() -> Engine:
        return Engine(model, inputs.passages, kept)

    batches = [b for phase in engine().phases() for b in engine().batches_of(phase)]

    def plain() -> None:
        for batch in batches:
            with torch.inference_mode():
                model.stack.body(**model.inputs(batch))

    def survey() -> None:
        whole = engine()
        progress = whole.start()
        whole.run(progress, lambda *_: None)
        summary = Summary.of(whole, progress)
        for table in (summary.scores, summary.layers, summary.gate, summary.containment):
            table()

    return plain, survey, engine()


def timed(work: Callable[[], None]) -> float:
    """Processor seconds."""
    started = time.process_time()
    work()
    return time.process_time() - started


def peak(model: str, texts: int, survey: bool) -> tuple[float, float]:
    """MB that are resident with the model loaded, and at the peak of the passes."""
    work = passes(inputs_of(model, texts))[survey]
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    work()
    return before / 1024, resident("VmHWM") / 1024


def main() -> None:
    """Run and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="bundled:smollm2")
    parser.add_argument("--texts", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peak", choices=["plain", "survey"], help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.peak:
        print(*peak(given.model, given.texts, given.peak == "survey"))
        return
    plain, survey, engine = passes(inputs_of(given.model, given.texts))
    plain(), survey()
    rounds = [(timed(plain), timed(survey)) for _ in range(given.rounds)]
    ratios = sorted(s / p for p, s in rounds)
    memory = {}
    command = [sys.executable, "-m", "benchmarks.survey_cost", "--model", given.model]
    command += ["--texts", str(given.texts), "--peak"]
    for kind in ("plain", "survey"):
        done = subprocess.run([*command, kind], check=True, capture_output=True, text=True)
        memory[kind] = tuple(map(float, done.stdout.split()))
    page = (
        f"# A survey of {given.model} beside its plain passes\n\n"
        f"`python -m benchmarks.survey_cost --model {given.model} --texts {given.texts} --rounds "
        f"{given.rounds}`: {machine().removesuffix(', random weights')}.\n\n"
        f"{given.texts} texts of {TOKENS} tokens, read {len(engine.phases())} times, "
        f"{len(engine.patterns)} patterns, {engine.source.layers * engine.source.heads} heads: a "
        f"survey costs {median(ratios):.2f} times its plain passes ({ratios[0]:.2f} to "
        f"{ratios[-1]:.2f} in {given.rounds} rounds; {median(p for p, _ in rounds):.1f} and "
        f"{median(s for _, s in rounds):.1f} s of processor).\n"
        f"Peak of memory: {memory['plain'][1]:.0f} MB plain, {memory['survey'][1]:.0f} MB survey, "
        f"{memory['survey'][1] / memory['plain'][1]:.2f} times ({memory['plain'][0]:.0f} and "
        f"{memory['survey'][0]:.0f} MB before the first pass).\n"
    )
    print(page)
    if given.out:
        given.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
