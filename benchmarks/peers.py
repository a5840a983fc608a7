"""The same work as people did it by hand, and what TransformerLens can do of it, in one run.

    python -m benchmarks.peers [--texts 1000] [--looped 8] [--peer-python PYTHON] [--out FILE]

A model of BERT-base shape (12 layers of 12 heads) with random weights reads sentences of 24 tokens;
20 patterns of the catalogue that need no tags and cover nearly all rows, so that there are about
20 x 144 x 24 rows a sentence, are scored on all 144 heads. Seconds by the clock are joined by
processor seconds of all threads, which other load on the machine does not stretch as much.

- Headscribe: `survey`, from the strings to the finished tables: tokens, words, patterns, the model,
  all metrics, both views, baselines, gains, intervals. Median of the rounds.
- Row loops: the model with `output_attentions=True`, sentence by sentence; then for every pattern,
  head and covered row one Jensen-Shannon distance in NumPy, and nothing else of what a survey
  measures. The patterns' rows are given to it.
  Measured on a few sentences and reported a sentence. Its means must equal the survey's to 1e-5.
- TransformerLens: `transformer_lens_peer.py` in an environment of its own
  (`python -m venv peer; peer/bin/pip install torch==2.13.0 transformer-lens==4.3.0`), whose Python
  `--peer-python` names.

`--workers 0,1,2` also counts texts a second against annotating processes, with an empty cache.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import median

import numpy as np
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from headscribe.api.survey import Survey, survey
from headscribe.core.visibility import FULL
from headscribe.core.visible import plural
from headscribe.models.inputs import model_inputs
from headscribe.models.loading import load
from headscribe.models.model import Model
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import baselines, registry
from headscribe.text.corpora import from_strings
from headscribe.text.passages import Passage

PATTERNS, TOKENS = 20, 24
COVERED = 0.75
WORDS = """
the a an old young green dog cat bird hill girl boy river song story sees finds sings likes runs
over under with and but because she he they it in on at of to very slowly again one two
""".split()  # noqa: SIM905  # easier to read


def sentences(number: int, length: int = TOKENS, seed: int = 0) -> list[str]:
    """Sentences that come to `length` tokens with the two special ones; all different."""
    rng = np.random.default_rng(seed)
    return [" ".join([*rng.choice(WORDS, length - 3), "."]) for _ in range(number)]


def bert() -> Model:
    """A BERT-base shape with random weights whose tokens are words."""
    torch.manual_seed(0)
    vocabulary = {t: i for i, t in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", ".", *WORDS])}
    made = Tokenizer(WordLevel(vocabulary, "[UNK]"))
    made.pre_tokenizer = WhitespaceSplit()
    made.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]",
    )  # fmt: skip
    config = BertConfig(vocab_size=len(vocabulary), pad_token_id=0)
    return load((BertModel(config).eval(), tokenizer))


@cache
def patterns() -> tuple[Pattern, ...]:
    """The fixed baselines, and patterns that need no tags and cover nearly all rows."""
    fixed = list(baselines())
    texts = from_strings(sentences(20))
    passages = model_inputs(bert(), texts, annotator_name="plain").passages
    free = [p for p in registry() if not p.needs and p not in fixed]
    share = {p.name: np.mean([p.predict(x, FULL).covered.mean() for x in passages]) for p in free}
    full = [p for p in free if share[p.name] >= COVERED]
    return (*fixed, *full)[:PATTERNS]


def surveyed(model: Model, texts: list[str], annotator: str = "plain", workers: int = 0) -> Survey:
    """A survey in a folder of its own."""
    out = Path(tempfile.mkdtemp(prefix="peers-")) / "run"
    chosen = [pattern.name for pattern in patterns()]
    return survey(
        model, texts, patterns=chosen, annotator=annotator, out=out, workers=workers
    )  # fmt: skip


def distance(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon distance of two rows, base 2, as one writes it by hand."""
    m = (p + q) / 2
    left = np.sum(p[p > 0] * np.log2(p[p > 0] / m[p > 0]))
    right = np.sum(q[q > 0] * np.log2(q[q > 0] / m[q > 0]))
    return float(np.sqrt(max(0.0, (left + right) / 2)))


@dataclass
class Clock:
    """Seconds by the clock, and of the processor in all threads."""

    wall: float = 0.0
    cpu: float = 0.0

    def __enter__(self) -> "Clock":
        self.wall, self.cpu = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter()
        self.cpu += time.process_time()


def loops(model: Model, texts: list[str]) -> tuple[list[Clock], np.ndarray]:
    """Time of each sentence, and the mean distance by pattern and head, `(P, layers, heads)`."""
    chosen = patterns()
    passages = model_inputs(model, from_strings(texts), annotator_name="plain").passages
    predicted = [
        [pattern.predict(passage, model.visibility(0)) for pattern in chosen]
        for passage in passages
    ]
    rows = [[(r.to_dense(), np.flatnonzero(r.covered)) for r in line] for line in predicted]
    shape = (len(chosen), model.layers, model.heads)
    seconds, total, count = [], np.zeros(shape), np.zeros((len(chosen), 1, 1))
    model.hf.set_attn_implementation("eager")
    for passage, line in zip(passages, rows, strict=True):
        with Clock() as clock:
            _loop(model, passage, line, total)
        count += np.array([len(covered) > 0 for _, covered in line])[:, None, None]
        seconds.append(clock)
    model.hf.set_attn_implementation("sdpa")
    return seconds, total / np.maximum(count, 1)


def _loop(
    model: Model, passage: Passage, line: list[tuple[np.ndarray, np.ndarray]], total: np.ndarray
) -> None:
    with torch.inference_mode():
        found = model.hf(**model.inputs([passage]), output_attentions=True).attentions
    attention = np.stack([layer[0].numpy() for layer in found]).astype(np.float64)
    for p, (matrix, covered) in enumerate(line):
        for layer in range(model.layers):
            for head in range(model.heads):
                scores = [distance(attention[layer, head, i], matrix[i]) for i in covered]
                if scores:
                    total[p, layer, head] += np.mean(scores)


def difference(found: Survey, means: np.ndarray) -> float:
    """The largest difference between the survey's distances and the loops'."""
    table = found.run.table("scores").to_pylist()
    names = [pattern.name for pattern in patterns()]
    worst = 0.0
    for row in table:
        if (row["metric"], row["view"], row["split"]) == ("jsd", "raw", "all") and row["texts"]:
            expected = means[names.index(row["pattern"]), row["layer"], row["head"]]
            worst = max(worst, abs(row["score"] - float(expected)))
    return worst


def transformer_lens(python: str, texts: list[str]) -> dict[str, float]:
    """What the peer's own environment measures."""
    script = Path(__file__).with_name("transformer_lens_peer.py")
    command = [python, str(script), "--patterns", str(PATTERNS)]
    command += ["--threads", str(torch.get_num_threads())]
    # Its tokenizer puts `<s>` before the text.
    cut = [" ".join(text.split()[: TOKENS - 1]) for text in texts]
    done = subprocess.run(
        command, input=json.dumps(cut), capture_output=True, text=True, check=True
    )
    measured: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return measured


def annotating(model: Model, workers: int, texts: int) -> float:
    """Texts a second of a survey that has to annotate them all."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["HEADSCRIBE_CACHE"] = folder
        started = time.perf_counter()
        surveyed(model, sentences(texts, 64, seed=1), "bundled:en", workers)
        return texts / (time.perf_counter() - started)


def machine() -> str:
    """The processor, and what else runs on it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return (
        f"{plural(torch.get_num_threads(), 'thread')} of {(names or [platform.processor()])[0]}, "
        f"{os.cpu_count()} cores, torch {torch.__version__}, transformers "
        f"{version('transformers')}, load average at the end {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    """Measure, print and keep the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--looped", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-python")
    parser.add_argument("--workers", default="")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    model, some = bert(), sentences(options.looped)
    surveyed(model, some)
    ours, looped, peer = [], [], []
    for _ in range(options.rounds):
        with Clock() as clock:
            surveyed(model, sentences(options.texts))
        ours.append(Clock(clock.wall / options.texts, clock.cpu / options.texts))
        seconds, means = loops(model, some)
        wall, cpu = (median(getattr(each, of) for each in seconds) for of in ("wall", "cpu"))
        looped.append(Clock(wall, cpu))
        if options.peer_python:
            peer.append(transformer_lens(options.peer_python, some))
        print(ours[-1], looped[-1], peer[-1:], file=sys.stderr, flush=True)
    apart = difference(surveyed(model, some), means)
    if apart > 1e-5:
        raise SystemExit(f"expected the loops' means to 1e-5, got a difference of {apart:.1e}")
    workers = [(int(n), annotating(model, int(n), 400)) for n in options.workers.split(",") if n]
    text = page(options, ours, looped, peer, apart, workers)
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


def page(
    options: argparse.Namespace,
    ours: list[Clock],
    looped: list[Clock],
    peer: list[dict[str, float]],
    apart: float,
    workers: list[tuple[int, float]],
) -> str:
    """The results as a page."""
    text = (
        "# The same work by peers\n\n"
        f"`python -m benchmarks.peers --texts {options.texts} --looped {options.looped}`: "
        f"sentences of {TOKENS} tokens, {PATTERNS} patterns, 144 heads, BERT-base shape with "
        f"random weights, model time included. {machine()}. Medians of {options.rounds} rounds, "
        "in each of which all were measured one after the other; ratios are of the same round, "
        "lowest and highest in brackets.\n\n"
        "| | ms a sentence | x survey | processor ms | x survey |\n|---|---|---|---|---|\n"
        + _line(f"`survey` of {options.texts} sentences", ours, ours)
        + _line(
            f"`output_attentions=True`, NumPy loops over rows, {options.looped} sentences",
            looped,
            ours,
        )
    )
    if peer:
        whole = [Clock(each["sentence_s"], each["sentence_cpu_s"]) for each in peer]
        name = f"TransformerLens {peer[0]['transformer_lens']}, {options.looped} sentences"
        text += _line(name, whole, ours)
        text += (
            f"\nTransformerLens (torch {peer[0]['torch']}, transformers {peer[0]['transformers']}, "
            "GPT-2 shape of the same size): `run_with_cache` "
            f"{median(each['run_with_cache_s'] for each in peer) * 1e3:.0f} ms a sentence, "
            f"`detect_head` {median(each['detect_head_s'] for each in peer) * 1e3:.1f} ms a "
            "pattern; lower triangular patterns only, one number a text and head.\n"
        )
    text += (
        f"\nThe loops' mean distances and the survey's differ by at most {apart:.1e} "
        f"({options.looped} sentences, all patterns and heads).\n"
    )
    if workers:
        text += (
            "\nTexts a second of a survey that annotates 400 texts of 64 words with `bundled:en` "
            "(empty cache), by annotating processes:\n\n| processes | texts a second |\n|---|---|\n"
        )
        text += "".join(f"| {n} | {rate:.1f} |\n" for n, rate in workers)
    return text


def _line(name: str, theirs: list[Clock], ours: list[Clock]) -> str:
    cells = [name]
    for of in ("wall", "cpu"):
        ratios = [getattr(a, of) / getattr(b, of) for a, b in zip(theirs, ours, strict=True)]
        cells.append(f"{median(getattr(each, of) for each in theirs) * 1e3:.1f}")
        cells.append(f"{median(ratios):.1f} ({min(ratios):.1f}-{max(ratios):.1f})")
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
