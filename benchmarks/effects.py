"""What heads write, whether they matter, from whom they read: figures and cost of one model.

    python -m benchmarks.effects --text PATH --out benchmarks/results/effects.md

Of each part the time of the processor is taken, beside that of plain forward passes of the same
texts in the same process, in turn. Random tokens given twice show which heads copy what they
find, and which hold it down.
"""

import argparse
import time
from pathlib import Path

import numpy as np

import headscribe as hs
from headscribe.influence.matters import matters
from headscribe.influence.probes import chosen, probe
from headscribe.influence.reads import reads_from, seen_behaviours
from headscribe.influence.ways import ways_of
from headscribe.influence.writes import writes
from headscribe.models.batching import batches
from headscribe.models.inputs import model_inputs


def seconds(work) -> tuple[object, float]:  # noqa: ANN001
    began = time.process_time()
    found = work()
    return found, time.process_time() - began


def rows_of(names, *columns) -> list[str]:  # noqa: ANN001, ANN002
    return ["| " + " | ".join(names) + " |", "|---" * len(names) + "|"] + [
        "| " + " | ".join(map(str, row)) + " |" for row in zip(*columns, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled:smollm2")
    parser.add_argument("--text", required=True)
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--matters", type=int, default=8)
    parser.add_argument("--reads", type=int, default=10)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    model = hs.load(asked.model)
    inputs = model_inputs(model, hs.corpus(asked.text, asked.texts), "plain", asked.tokens)
    texts, ways = inputs.passages, ways_of(model)

    def plain() -> None:
        for batch in batches(texts, 1024):
            model.logits([texts[index] for index in batch])

    plain()
    pairs = []
    for _ in range(asked.rounds):
        _, bare = seconds(plain)
        written, full = seconds(lambda: writes(ways, texts))
        pairs.append((bare, full))
    bare, full = np.median(pairs, axis=0)
    lines = [
        "# What heads write, whether they matter, from whom they read", "",
        f"Written by `python -m benchmarks.effects` on {asked.model}, {len(texts)} texts, "
        f"{sum(map(len, texts))} tokens. Seconds are of the processor.", "",
        f"Writes: {full:.1f} s, plain passes {bare:.1f} s: {full / bare:.2f} times "
        f"({', '.join(f'{b / a:.2f}' for a, b in pairs)} in {asked.rounds} rounds).", "",
    ]  # fmt: skip
    named = [k for k in range(len(written.heads)) if written.named(k)]
    named.sort(key=lambda k: -written.beyond.mean[0, k])
    lines += rows_of(
        ("head", "named", "effect on what it reads", "95 %", "on the true next", "rows"),
        [written.heads[k] for k in named],
        [", ".join(written.named(k)) for k in named],
        [f"{written.beyond.mean[0, k]:+.2f}" for k in named],
        [f"{written.beyond.low[0, k]:+.2f} to {written.beyond.high[0, k]:+.2f}" for k in named],
        [f"{written.beyond.mean[1, k]:+.2f}" for k in named],
        [int(written.rows[0, k]) for k in named],
    )
    found, spent = seconds(lambda: probe(model))
    lines += ["", f"Probes: {spent:.0f} s. The first five heads of each, and how many are flagged.",
              ""]  # fmt: skip
    best = [np.argsort(-mean)[:5] for mean in found.difference.mean]
    lines += rows_of(
        ("probe", "heads: value (control)", "flagged"),
        [one.name for one in found.probes],
        [
            ", ".join(
                f"{k // model.heads}.{k % model.heads} {found.value[p, k]:.2f} "
                f"({found.control[p, k]:.2f})"
                for k in best[p]
            )
            for p in range(len(best))
        ],
        [int(flags.sum()) for flags in found.flagged],
    )
    copying = probe(model, chosen(["copying"]))
    least = np.argsort(copying.difference.mean[0])[:6]
    lines += ["", "Random tokens given twice: these hold the token that follows down most: " + ", "
              .join(f"{k // model.heads}.{k % model.heads} {copying.difference.mean[0, k]:+.2f} "
                    f"({copying.difference.low[0, k]:+.2f} to {copying.difference.high[0, k]:+.2f})"
                    for k in least) + "."]  # fmt: skip
    if asked.matters:
        took, wall = time.time(), None
        mattered, spent = seconds(lambda: matters(ways, texts, asked.matters))
        wall = time.time() - took
        order = np.argsort(-mattered.change.mean[0])[:20]
        lines += ["", f"Matters: all {len(mattered.heads)} heads on {asked.matters} texts, "
                  f"{mattered.tokens} tokens, loss {mattered.loss:.3f}: {spent:.0f} s of the "
                  f"processor, {wall:.0f} s of the clock; {int(mattered.flagged.any(0).sum())} "
                  "heads flagged.", ""]  # fmt: skip
        lines += rows_of(
            ("head", "loss without it", "95 %", "by its profile"),
            [mattered.heads[k] for k in order],
            [f"{mattered.change.mean[0, k]:+.4f}" for k in order],
            [
                f"{mattered.change.low[0, k]:+.4f} to {mattered.change.high[0, k]:+.4f}"
                for k in order
            ],
            [f"{mattered.change.mean[1, k]:+.4f}" for k in order],
        )
    if asked.reads:
        some = texts[: asked.reads]
        behaviours = seen_behaviours(ways, some)
        fed, spent = seconds(lambda: reads_from(ways, some, behaviours))
        fed = sorted((one for one in fed if one.flagged), key=lambda one: -abs(one.change))[:25]
        lines += [
            "",
            f"Reads from: {len(behaviours)} heads on {len(some)} texts, {spent:.0f} s.",
            "",
        ]
        lines += rows_of(
            ("head", "behaviour", "without", "in its", "attention", "change", "95 %"),
            [one.head for one in fed], [one.behaviour for one in fed], [one.source for one in fed],
            [one.input for one in fed], [f"{one.own:.2f}" for one in fed],
            [f"{one.change:+.2f}" for one in fed],
            [f"{one.low:+.2f} to {one.high:+.2f}" for one in fed],
        )  # fmt: skip
    page = "\n".join([*lines, ""])
    print(page)
    if asked.out is not None:
        asked.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
