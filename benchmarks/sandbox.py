"""What a sandboxed program costs: a clean program on passages of 32 tokens, from a warm parent.

    python benchmarks/sandbox.py [--passages 100] [--repeats 20] [--out FILE]

Milliseconds of wall time per call, all in: encoding, fork, walls, program, reply, checks; beside
them the same program run in this process without walls, and the start of the sandbox.
"""

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from headscribe.sandbox import Outcome, Sandbox, Trusted, status
from headscribe.text.alignment import align
from headscribe.text.annotators import Plain
from headscribe.text.corpora import Text
from headscribe.text.passages import Encoding, Passage

PROGRAM = '''
def attention(p: Passage) -> np.ndarray:
    """Attends to the previous token, and to earlier tokens of the same characters."""
    T = len(p)
    A = np.zeros((T, T))
    for i in range(T):
        A[i, max(i - 1, 0)] = 1.0
        for j in range(i):
            if p.tokens[i] == p.tokens[j]:
                A[i, j] += 1.0
    return A
'''


def passage(seed: int, length: int) -> Passage:
    """A text of `length` tokens, one a word."""
    draw = np.random.default_rng(seed)
    text = " ".join(draw.choice(["the", "cat", "sat", "on", "a", "mat"], length))
    source = Text(str(seed), str(seed), text)
    (words,) = Plain().annotate([source])
    tokens = Encoding(words.form, np.arange(length), words.spans, np.zeros(length, bool))
    return align(source, tokens, words)


def milliseconds(call: Callable[[], Outcome], repeats: int) -> list[float]:
    """Wall time of each of `repeats` calls, none of which may fail."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        outcome = call()
        times.append(1000 * (time.perf_counter() - start))
        if outcome.failures:
            raise SystemExit(f"the program failed: {outcome.first_failure}")
    return times


def measured(passages: list[Passage], repeats: int) -> list[str]:
    """The table, a line each."""
    lines = ["| what | median | least | most |", "|---|---|---|---|"]
    begun = time.perf_counter()
    with Sandbox() as sandbox:
        start = 1000 * (time.perf_counter() - begun)
        lines.append(f"| start, with all walls tried | {start:.0f} ms | | |")
        runs = {
            f"sandbox, {len(passages)} passages": lambda: sandbox.run(PROGRAM, passages),
            "sandbox, one passage": lambda: sandbox.run(PROGRAM, passages[:1]),
            f"in process, no walls, {len(passages)} passages": lambda: Trusted().run(
                PROGRAM, passages
            ),
        }
        for name, call in runs.items():
            times = milliseconds(call, repeats)
            lines.append(
                f"| {name} | {statistics.median(times):.1f} ms | {min(times):.1f} ms "
                f"| {max(times):.1f} ms |"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out", help="a file for the page")
    options = parser.parse_args()
    passages = [passage(seed, 32) for seed in range(options.passages)]
    found = status()
    load = os.getloadavg()[0]
    text = "\n".join(
        [
            "# What a sandboxed program costs",
            "",
            "Written by `benchmarks/sandbox.py`. A program that loops over all pairs of tokens, on "
            f"{options.passages} passages of 32 tokens, {options.repeats} calls each; wall time, "
            "all in (encoding, fork, walls, program, reply, checks).",
            "",
            f"Sandbox: {'in force' if found.in_force else 'not in force'} ({found.reason}).  ",
            f"{os.cpu_count()} cores, load before the start {load:.1f}, {platform.system()} "
            f"{platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}.",
            "",
            *measured(passages, options.repeats),
            "",
            "Every passage has a process of its own, so that programs remember nothing; the target "
            "of 250 ms for 100 passages dates from one process for all of them and is not met.",
            "",
        ]
    )
    print(text)
    if options.out:
        Path(options.out).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
