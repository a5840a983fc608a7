"""What a sandboxed program costs: a clean program on passages of 32 tokens, from a warm parent.

    python benchmarks/sandbox.py [--passages 100] [--repeats 20]

Prints milliseconds of wall time per call, all in: encoding, fork, walls, program, reply, checks;
beside them the same program run in this process without walls, and the start of the sandbox.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from headscribe.sandbox import Outcome, Sandbox, Trusted
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
TARGET_MS = 250.0


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--passages", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args()
    passages = [passage(seed, 32) for seed in range(options.passages)]
    start = time.perf_counter()
    with Sandbox() as sandbox:
        print(f"start, with all walls tried  {1000 * (time.perf_counter() - start):7.1f} ms")
        runs = {
            "sandbox": lambda: sandbox.run(PROGRAM, passages),
            "sandbox, one passage": lambda: sandbox.run(PROGRAM, passages[:1]),
            "in process, no walls": lambda: Trusted().run(PROGRAM, passages),
        }
        for name, call in runs.items():
            times = milliseconds(call, options.repeats)
            print(
                f"{name:28} {statistics.median(times):7.1f} ms median, {min(times):.1f} least, "
                f"{max(times):.1f} most"
            )
    print(f"target for 100 passages of 32 tokens: less than {TARGET_MS:.0f} ms")


if __name__ == "__main__":
    main()
