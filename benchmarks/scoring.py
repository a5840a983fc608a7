"""What scoring costs beside the model's own forward pass, side by side in one run.

    python benchmarks/scoring.py [--rounds 5] [--quick] [--out FILE]

Models of BERT-base and of Llama-3.2-1B shape with random weights read random tokens, 768 to 1,024 a
batch (one text where it is longer). A round times, one after the other, the plain fused (sdpa)
forward pass and a survey's scoring pass with 20 and with 100 patterns: the fixed baselines, the
profile, all metrics, both views, gains, the gate. As in a survey the pass ends at the last layer's
attention; where a model has fewer layers than its shape says, it goes on to the end. Ratios are
medians over rounds of survey over plain in the same round, so that other load on the machine weighs
on both. Plans are made once a batch beforehand and timed on their own: a survey makes them once for
all layers and passes.

Memory is the peak of resident memory above what was resident before, in a process of its own: of
the plain pass, and of all that a survey does with the batch, plan and containment of patterns
included. The line through the difference of the two by length is fitted over four lengths.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple, dataclass
from pathlib import Path
from statistics import median
from zlib import crc32

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    BertConfig,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.core.visible import plural
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.patterns.contract import Family, Pattern
from headscribe.patterns.registry import baselines
from headscribe.scoring.accumulators import FOLDS
from headscribe.scoring.baselines import Calibration
from headscribe.scoring.engine import Engine
from headscribe.scoring.loops import BatchScorer
from headscribe.scoring.observer import Enough, SomeLayers
from headscribe.scoring.plan import make_plan
from headscribe.scoring.task import Task
from headscribe.text.passages import Encoding, Passage, Ragged, Words

TOKENS = 1024
PATTERNS = (20, 100)
FITTED = (1024, 2048, 4096, 8192)
"""Lengths that the line of memory goes through."""


@dataclass(frozen=True)
class Case:
    """A model and a length: `layers` are fewer than the model has where they take long."""

    shape: str
    layers: int
    length: int
    heads: int = 12

    @property
    def whole(self) -> bool:
        """Whether all layers of the model are there."""
        return self.layers == {"bert": 12, "llama": 16}[self.shape]


CASES = (
    Case("bert", 12, 24), Case("bert", 12, 128), Case("bert", 12, 512),
    Case("bert", 4, 2048), Case("bert", 2, 8192),
    Case("llama", 2, 128, 32), Case("llama", 2, 512, 32),
    Case("llama", 2, 2048, 32), Case("llama", 1, 8192, 32),
)  # fmt: skip
QUICK = tuple(Case(case.shape, 1, case.length, case.heads) for case in CASES)
RATES = tuple(
    (case, number)
    for case, numbers in (
        (Case("bert", 4, 24), (6, 20, 50, 100)), (Case("bert", 4, 128), (6, 20, 50, 100)),
        (Case("bert", 4, 128, 6), (20,)), (Case("bert", 4, 128, 24), (20,)),
        (Case("bert", 4, 256), (20,)), (Case("bert", 4, 512), (20,)),
    )
    for number in numbers
)  # fmt: skip
"""Texts a second are measured for these numbers of patterns."""


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


def model_of(case: Case) -> Model:
    """A model of a shape with random weights and few words."""
    torch.manual_seed(0)
    vocabulary = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    vocabulary |= {f"t{i}": i for i in range(4, 1000)}
    context = max(512, case.length)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, "[UNK]")),
        unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip
    if case.shape == "bert":
        config = BertConfig(
            vocab_size=1000, num_hidden_layers=case.layers, max_position_embeddings=context,
            num_attention_heads=case.heads, pad_token_id=0,
        )  # fmt: skip
        return load((BertModel(config).eval(), tokenizer))
    llama = LlamaConfig(
        vocab_size=1000, hidden_size=2048, intermediate_size=8192, num_attention_heads=case.heads,
        num_key_value_heads=8, head_dim=64, num_hidden_layers=case.layers, pad_token_id=0,
        max_position_embeddings=context,
    )  # fmt: skip
    return load((LlamaForCausalLM(llama).eval(), tokenizer))


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
    fixed: list[Pattern] = list(baselines())
    return fixed + [Random(f"random{i}") for i in range(number - len(fixed))]


def scorer_of(model: Model, batch: Sequence[Passage], number: int) -> tuple[BatchScorer, float]:
    """What scores the batch, and the seconds that its plan took."""
    patterns = patterns_of(number)
    engine = Engine(model, batch, patterns)
    heads = model.layers * model.heads
    sums = engine.start().sums
    started = time.perf_counter()
    plan = make_plan(patterns, batch, model.visibility(0))
    plan.layout  # noqa: B018
    seconds = time.perf_counter() - started
    rng = np.random.default_rng(0)
    profile = rng.random((FOLDS, heads, sums.profile_sum.shape[2]))
    choice = rng.integers(0, len(baselines()), (FOLDS, 2, number, heads))
    index = np.arange(len(batch))
    calibration = Calibration(profile, choice, choice)
    task = Task(sums, index % 120, index % FOLDS, engine.fixed, False, calibration, True)
    return BatchScorer(task, lambda layer: plan), seconds


def jobs(
    model: Model, batch: Sequence[Passage], numbers: Sequence[int], *, whole: bool = False
) -> tuple[dict[str, Callable[[], None]], list[float]]:
    """The passes to compare, by name, and the seconds that the plans took."""
    inputs = model.inputs(batch)
    made = [scorer_of(model, batch, number) for number in numbers]

    def plain() -> None:
        with torch.inference_mode():
            model.stack.body(**inputs)

    def survey(scorer: BatchScorer) -> Callable[[], None]:
        def run() -> None:
            observer = SomeLayers(scorer, tuple(range(model.layers))) if whole else scorer
            with torch.inference_mode(), suppress(Enough):
                model.run(batch, observer)
            scorer.task.commit()

        return run

    found: dict[str, Callable[[], None]] = {"plain": plain}
    for number, (scorer, _) in zip(numbers, made, strict=True):
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


def measure(case: Case, rounds: int, numbers: Sequence[int] = PATTERNS) -> dict[str, object]:
    """Medians and ratios of one case."""
    model, batch = model_of(case), batch_of(case.length)
    work, plans = jobs(model, batch, numbers, whole=case.whole)
    for run in work.values():
        run()
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(rounds):
        for name, run in work.items():
            seconds[name].append(timed(run))
    line: dict[str, object] = asdict(case) | {"texts": len(batch)}
    line["plain_s"] = median(seconds["plain"])
    for number, plan in zip(numbers, plans, strict=True):
        ratios = [s / p for s, p in zip(seconds[str(number)], seconds["plain"], strict=True)]
        line[f"ratio_{number}"] = median(ratios)
        line[f"low_{number}"], line[f"high_{number}"] = min(ratios), max(ratios)
        line[f"plan_{number}_s"] = plan
        line[f"rate_{number}"] = len(batch) / median(seconds[str(number)])
    line["rate"] = len(batch) / median(seconds["plain"])
    return line


def peak(case: Case, number: int) -> float:
    """MB of resident memory that a plain pass (0) or a survey's pass adds at its peak."""
    model, batch = model_of(case), batch_of(case.length)
    patterns = patterns_of(number or len(baselines()))

    def run(texts: Sequence[Passage]) -> None:
        if not number:
            jobs(model, texts, ())[0]["plain"]()
            return
        engine = Engine(model, texts, patterns)
        engine.part([texts], engine.phases()[1], engine.calibration(engine.start()))

    run([text("small", 24)])  # what is compiled or loaded once is no one's memory
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    run(batch)
    return (resident("VmHWM") - before) / 1024


def resident(field: str) -> int:
    """KB of resident memory now (`VmRSS`) or at its peak (`VmHWM`), on Linux."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0])


def peak_apart(case: Case, number: int) -> float:
    """`peak` in a process of its own."""
    command = [sys.executable, __file__, "--peak", json.dumps([*astuple(case), number])]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.splitlines()[-1])


def fitted(shape: str, heads: int, number: int) -> str:
    """How the memory above the plain pass grows with length, in words."""
    # Two layers: of the last one a survey computes the attention alone.
    cases = [Case(shape, 2, length, heads) for length in FITTED]
    above = np.array([peak_apart(case, number) - peak_apart(case, 0) for case in cases])
    length = np.array(FITTED) / 1024
    slope, start = np.polyfit(length, above, 1)
    rest = above - (start + slope * length)
    share = 1 - (rest**2).sum() / ((above - above.mean()) ** 2).sum()
    found = ", ".join(f"{m:.0f} at {n:,}" for n, m in zip(FITTED, above, strict=True))
    return (
        f"{shape}, 2 layers, {number} patterns: MB above the plain pass {found} tokens; line "
        f"{start:.0f} MB + {slope:.1f} MB per 1,024 tokens, R^2 {share:.3f}."
    )


def machine() -> str:
    """The processor, cores and versions."""
    cpu = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")),
        platform.processor(),
    )  # fmt: skip
    return (
        f"{plural(torch.get_num_threads(), 'thread')} of {cpu}, {os.cpu_count()} cores, torch "
        f"{torch.__version__}, float32, random weights"
    )


def page(
    rounds: int,
    lines: Sequence[dict[str, object]],
    rates: Sequence[dict[str, object]],
    fits: Sequence[str],
) -> str:
    """The results as a page."""
    head = (
        "# Scoring beside the plain forward pass\n\n"
        f"`python benchmarks/scoring.py --rounds {rounds}`: {machine()}. Medians "
        "over rounds of survey / plain in the same round (lowest and highest round in brackets); "
        f"load average at the end {os.getloadavg()[0]:.1f}. Memory: peak above what was resident "
        "before, MB; that of a survey includes its plan, and of the last layer the attention "
        "alone.\n\n"
        "| shape | texts x tokens | layers | plain s | 20 patterns | 100 patterns | "
        "plan of 20 / 100, s | MB plain | MB 20 | MB 100 |\n|---|---|---|---|---|---|---|---|---|"
        "---|\n"
    )
    body = "".join(
        "| {shape} | {texts} x {length} | {layers} | {plain_s:.2f} | {ratio_20:.2f} ({low_20:.2f}-"
        "{high_20:.2f}) | {ratio_100:.2f} ({low_100:.2f}-{high_100:.2f}) | {plan_20_s:.2f} / "
        "{plan_100_s:.2f} | {mb_0} | {mb_20} | {mb_100} |\n".format(
            **{f"mb_{number}": "" for number in (0, *PATTERNS)} | line
        )
        for line in lines
    )
    rated = "".join(
        "| {length} | {heads} | {patterns} | {rate:.1f} | {rated:.1f} | {ratio:.2f} |\n".format(
            **line
        )
        for line in rates
    )
    if rated:
        rated = (
            "\nTexts a second, BERT shape of 4 layers (width 768 whatever the heads):\n\n"
            "| tokens | heads | patterns | plain | survey | ratio |\n|---|---|---|---|---|---|\n"
        ) + rated
    return head + body + rated + "".join(f"\n{line}\n" for line in fits)


def main() -> None:
    """Run, print and keep the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="one layer, no rates, no lines")
    parser.add_argument("--only", help="shape:length, for instance bert:512")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        *case, number = json.loads(options.peak)
        print(peak(Case(*case), number))
        return
    lines: list[dict[str, object]] = []
    rates: list[dict[str, object]] = []
    fits: list[str] = []

    def keep() -> None:
        if options.out:
            options.out.write_text(page(options.rounds, lines, rates, fits))

    cases = [
        case
        for case in (QUICK if options.quick else CASES)
        if options.only in (None, f"{case.shape}:{case.length}")
    ]
    whole = not (options.quick or options.only)
    # Times first, while the machine is quiet; what is known is on disk at any moment.
    for case in cases:
        lines.append(
            measure(case, options.rounds if case.length < 2048 else min(options.rounds, 3))
        )
        print(json.dumps(lines[-1]), flush=True)
        keep()
    for case, number in RATES if whole else ():
        line = measure(case, options.rounds, (number,))
        line |= {name: line[f"{key}_{number}"] for name, key in _RATED.items()}
        rates.append(line | {"patterns": number})
        keep()
    for case, line in zip(cases, lines, strict=True):
        for number in (0, *PATTERNS):
            line[f"mb_{number}"] = f"{peak_apart(case, number):.0f}"
        keep()
    if whole:
        fits += [fitted("bert", 12, number) for number in PATTERNS]
    print(page(options.rounds, lines, rates, fits))
    keep()


_RATED = {"rated": "rate", "ratio": "ratio"}


if __name__ == "__main__":
    main()
