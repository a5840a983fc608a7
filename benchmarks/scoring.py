"""What scoring costs beside the model's own forward pass, side by side in one run.

    python benchmarks/scoring.py [--lengths 24,128,512,2048] [--rounds 5] [--out FILE]

A model of BERT-base shape with random weights reads random tokens, 768 to 1,024 a batch (one text
where it is longer). A round times, one after the other, the plain fused (sdpa) forward pass and a
survey's scoring pass with 20 and with 100 patterns: the fixed baselines, the profile, all metrics,
both views, gains, the gate. Ratios are medians over rounds of survey over plain in the same round,
so that other load on the machine weighs on both. Plans are made once a batch beforehand and timed
on their own: a survey makes them once for all layers and passes. Memory is the peak of resident
memory above what was resident before the pass, in a process of its own.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from zlib import crc32

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.patterns.contract import Family, Pattern
from headscribe.patterns.registry import registry
from headscribe.scoring.accumulators import FOLDS
from headscribe.scoring.baselines import Calibration
from headscribe.scoring.batch import BatchScorer
from headscribe.scoring.engine import Engine
from headscribe.scoring.plan import FIXED_BASELINES, make_plan
from headscribe.text.passages import Encoding, Passage, Ragged, Words

TOKENS = 1024
PATTERNS = (20, 100)


@dataclass(frozen=True)
class Random:
    """About three random keys a row on nine rows of ten, at random weights; same for a text."""

    name: str
    family: Family = "lexical"
    sentence: str = "Random keys."
    source: str = "this benchmark"
    needs: frozenset[str] = frozenset()
    looks_ahead: bool = True
    needs_later_keys: bool = False
    mirror: str | None = None

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        """Predict."""
        length = len(passage)
        rng = np.random.default_rng(crc32(f"{self.name} {passage.text_id}".encode()))
        query = np.repeat(np.arange(length), rng.integers(1, 6, length))
        query = query[(rng.random(length) < 0.9)[query]]
        return Rows.from_cells(query, rng.integers(0, length, len(query)), length).visible(
            visibility
        )


def bert(layers: int, context: int) -> Model:
    """A BERT-base shape with random weights."""
    torch.manual_seed(0)
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    vocabulary |= {f"t{i}": i for i in range(4, 1000)}
    config = BertConfig(
        vocab_size=1000, num_hidden_layers=layers, max_position_embeddings=context, pad_token_id=0
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, "[UNK]")),
        unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip
    return load((BertModel(config).eval(), tokenizer))


def text(name: str, length: int) -> Passage:
    """A passage of random tokens between `[CLS]` and `[SEP]`."""
    ids = np.random.default_rng(crc32(name.encode())).integers(4, 1000, length)
    ids[[0, -1]] = 2, 3
    special = np.zeros(length, bool)
    special[[0, -1]] = True
    tokens = tuple(f"{name}.{i}" for i in range(length))
    encoding = Encoding(tokens, ids, np.zeros((length, 2), np.int64), special)
    words = Words((), np.zeros((0, 2), np.int64))
    return Passage(name, name, "", encoding, words, Ragged.from_lists([[]] * length))


def patterns_of(number: int) -> list[Pattern]:
    """The fixed baselines, and random patterns up to the number."""
    fixed: list[Pattern] = [registry().get(name) for name in FIXED_BASELINES]
    return fixed + [Random(f"random{i}") for i in range(number - len(fixed))]


def scorer_of(model: Model, batch: Sequence[Passage], number: int) -> tuple[BatchScorer, float]:
    """What scores the batch, and the seconds that its plan took."""
    patterns = patterns_of(number)
    engine = Engine(model, batch, patterns)
    heads = model.layers * model.heads
    sums = engine.start().sums
    started = time.perf_counter()
    plan = make_plan(patterns, batch, model.visibility(0), torch.device("cpu"))
    plan.layout  # noqa: B018
    seconds = time.perf_counter() - started
    rng = np.random.default_rng(0)
    profile = torch.from_numpy(rng.random((FOLDS, heads, sums.profile_sum.shape[2])))
    choice = rng.integers(0, len(FIXED_BASELINES), (FOLDS, 2, number, heads))
    index = np.arange(len(batch))
    scorer = BatchScorer(
        sums, lambda layer: plan, index % 120, index % FOLDS, engine.fixed, False,
        Calibration(profile, choice, choice), True,
    )  # fmt: skip
    return scorer, seconds


def jobs(
    model: Model, batch: Sequence[Passage]
) -> tuple[dict[str, Callable[[], None]], list[float]]:
    """The passes to compare, by name, and the seconds that the plans took."""
    inputs = model.inputs(batch)
    made = [scorer_of(model, batch, number) for number in PATTERNS]

    def plain() -> None:
        with torch.inference_mode():
            model.stack.body(**inputs)

    def survey(scorer: BatchScorer) -> Callable[[], None]:
        def run() -> None:
            with torch.inference_mode():
                model.run(batch, scorer)
            scorer.commit()

        return run

    found: dict[str, Callable[[], None]] = {"plain": plain}
    for number, (scorer, _) in zip(PATTERNS, made, strict=True):
        found[str(number)] = survey(scorer)
    return found, [seconds for _, seconds in made]


def timed(run: Callable[[], None]) -> float:
    """Seconds of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def batch_of(length: int) -> list[Passage]:
    """A batch of texts of a length, within the budget."""
    return [text(f"text{i}", length) for i in range(max(1, TOKENS // length))]


def measure(length: int, layers: int, rounds: int) -> dict[str, object]:
    """Medians and ratios at one length."""
    model = bert(layers, max(512, length))
    batch = batch_of(length)
    work, plans = jobs(model, batch)
    for run in work.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            seconds[name].append(timed(run))
    line: dict[str, object] = {"texts": len(batch), "tokens": length, "layers": layers}
    line["plain_s"] = median(seconds["plain"])
    for number, plan in zip(PATTERNS, plans, strict=True):
        ratios = [s / p for s, p in zip(seconds[str(number)], seconds["plain"], strict=True)]
        line[f"ratio_{number}"] = median(ratios)
        line[f"low_{number}"], line[f"high_{number}"] = min(ratios), max(ratios)
        line[f"plan_{number}_s"] = plan
    return line


def peak(length: int, layers: int, name: str) -> float:
    """MB of resident memory that one pass adds at its peak, model and plan aside."""
    model = bert(layers, max(512, length))
    work, _ = jobs(model, batch_of(length))
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    work[name]()
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """KB of resident memory now (`VmRSS`) or at its peak (`VmHWM`), on Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0])


def peak_apart(length: int, layers: int, name: str) -> float:
    """`peak` in a process of its own."""
    command = [sys.executable, __file__, "--peak", f"{length},{layers},{name}"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def page(lines: Sequence[dict[str, object]]) -> str:
    """The results as a table."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.processor(),
    )  # fmt: skip
    head = (
        "# Scoring beside the plain forward pass\n\n"
        f"`python benchmarks/scoring.py`, BERT-base shape, random weights, float32, "
        f"{torch.get_num_threads()} threads of {cpu}, {os.cpu_count()} cores, torch "
        f"{torch.__version__}. Medians over rounds of survey / plain in the same round (lowest and "
        "highest round in brackets); load average at the end "
        f"{os.getloadavg()[0]:.1f}. Memory: peak above what was resident before the pass, MB.\n\n"
        "| texts x tokens | layers | plain s | 20 patterns | 100 patterns | plan of 20 / 100, s | "
        "MB plain | MB 20 | MB 100 |\n|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "".join(
        "| {texts} x {tokens} | {layers} | {plain_s:.2f} | {ratio_20:.2f} ({low_20:.2f}-"
        "{high_20:.2f}) | {ratio_100:.2f} ({low_100:.2f}-{high_100:.2f}) | {plan_20_s:.2f} / "
        "{plan_100_s:.2f} | {mb_plain:.0f} | {mb_20:.0f} | {mb_100:.0f} |\n".format(**line)
        for line in lines
    )


def main() -> None:
    """Run, print and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", default="24,128,512,2048")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        length, layers, name = options.peak.split(",")
        print(peak(int(length), int(layers), name))
        return
    lines = []
    for length in map(int, options.lengths.split(",")):
        layers = options.layers if length <= 1024 else min(options.layers, 4)
        line = measure(length, layers, options.rounds)
        for name in ("plain", *map(str, PATTERNS)):
            line[f"mb_{name}"] = peak_apart(length, layers, name)
        print(json.dumps(line), flush=True)
        lines.append(line)
    if options.out:
        options.out.write_text(page(lines))


if __name__ == "__main__":
    main()
