"""What heads write, whether they matter, from whom they read: a page of figures, and their cost.

    headscribe explain bundled:smollm2 --text TEXTS --limit 40 --max-tokens 128 --out EXPLAINED
    python -m benchmarks.effects --text TEXTS --explained EXPLAINED --runs RUNS

writes `docs/how-to/smollm2-effects.md`. The runs are kept in RUNS and gone on with when called
again. To take out all heads is by far the longest part, which `--matters 0` leaves out; it is done
on more and shorter texts, which for the same number of tokens give surer changes. Of each part the
time of the processor is taken; that of writes beside plain forward passes of the same texts in the
same process, in turn.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

import headscribe as hs
from benchmarks.parts import parts_of
from headscribe.api.effects import Effects
from headscribe.api.explain import Explained
from headscribe.api.probe import Probed
from headscribe.influence.reads import reads_from
from headscribe.influence.ways import Ways, ways_of
from headscribe.influence.writes import writes
from headscribe.models.batching import batches
from headscribe.models.inputs import model_inputs
from headscribe.relations.language import parse
from headscribe.text.passages import Passage

OPENING = """\
# What heads of SmolLM2 write

Of {model}, on {texts} stories of {tokens} tokens, with the commands

```
headscribe effects {model} --text stories.jsonl --limit {texts} --max-tokens {tokens}
headscribe effects {model} --text stories.jsonl --limit {texts} --max-tokens {short} \\
    --matters {matters}
headscribe probe {model}
```

Written by `python -m benchmarks.effects`. What each figure is stands in [effects](effects.md).
"""

STAGES = {
    "reading what heads write": "what all heads write",
    "taking heads out": "whether they matter",
    "ranking whom heads read from": "from whom they read, all pairs by gradient",
    "verifying whom heads read from": "from whom they read, the best verified",
    "probing": "probes",
}


class Clock:
    """Seconds of the processor by stage, kept beside the runs, since these may be interrupted."""

    def __init__(self, path: Path) -> None:
        self._path, self._last = path, time.process_time()
        self.spent = defaultdict(float, json.loads(path.read_text()) if path.exists() else {})

    def __call__(self, stage: str, done: int, total: int) -> None:
        now = time.process_time()
        self.spent[stage] += now - self._last
        self._last = now
        self._path.write_text(json.dumps(self.spent))


def table(titles: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in rows]
    return "\n".join(["", f"| {' | '.join(titles)} |", "|---" * len(titles) + "|", *lines, ""])


def head(row: dict, part: str = "") -> str:
    return f"{row[f'{part}layer']}.{row[f'{part}head']}"


def spread(row: dict, places: int, factor: float = 1) -> str:
    return " to ".join(f"{factor * row[end]:+.{places}f}" for end in ("low", "high"))


def written(found: Effects) -> Iterator[str]:
    rows = found.run.table("effects").to_pylist()
    other = {(head(row), row["token"]): row for row in rows}
    promoted = defaultdict(list)
    for row in found.run.table("promoted").to_pylist():
        promoted[head(row)].append(row)
    names = defaultdict(list)
    for row in rows:
        if row["named"]:
            names[head(row)].append(row["named"])
    named = [other[one, "reads"] for one in names]
    yield "\n## Who copies, who suppresses\n\n"
    yield "Logits on the token read and on the true next one, beyond other tokens of the text.\n"
    yield table(
        ("head", "it", "token read", "95 %", "true next", "rows", "promotes where it reads words"),
        (
            (
                head(row), ", ".join(names[head(row)]), f"{row['effect']:+.2f}", spread(row, 2),
                f"{other[head(row), 'next']['effect']:+.2f}", row["rows"],
                ", ".join(
                    f"`{token.strip()}`"
                    for one in promoted[head(row)] if one["reads"] == "a word"
                    for token in one["promotes"][:4]
                ),
            )
            for row in sorted(named, key=lambda row: -row["effect"])
        ),
    )  # fmt: skip


def mattered(found: Effects) -> Iterator[str]:
    rows = [row for row in found.run.table("matters").to_pylist() if row["by"] == "mean"]
    profile = {
        head(row): row["change"]
        for row in found.run.table("matters").to_pylist()
        if row["by"] == "profile"
    }
    worst: dict[str, dict] = {}
    for row in found.run.table("suffers").to_pylist():
        if row["by"] == "mean":
            worst[head(row)] = max(row, worst.get(head(row), row), key=lambda one: one["change"])
    largest = sorted(rows, key=lambda row: -row["change"])
    sure = [row for row in largest if row["flagged"]]
    yield "\n## Which matter\n\n"
    none = "" if sure else " The largest changes, none of them sure:"
    yield (
        f"With its mean output in a head's place, {len(sure)} of {len(rows)} heads surely raise "
        f"the loss of {rows[0]['loss']:.2f} nats a token ({rows[0]['tokens']} tokens), false "
        f"discovery among all heads controlled.{none}\n"
    )
    yield table(
        ("head", "loss without it", "95 %", "its mean attention instead", "suffers most"),
        (
            (
                head(row), f"{row['change']:+.3f}", spread(row, 3), f"{profile[head(row)]:+.3f}",
                "{token} {change:+.3f}".format(**worst[head(row)]),
            )
            for row in (sure[:20] or largest[:10])
        ),
    )  # fmt: skip


def fed(ways: Ways, texts: list[Passage], explained: Explained, clock: Clock) -> Iterator[str]:
    chosen = {
        card.head: (card.figures[0].behaviour, parse(card.figures[0].relation))
        for card in explained.cards.values()
        if card.family == "repetition"
    }
    found = reads_from(ways, texts, chosen, on_progress=clock)
    sure = sorted((one for one in found if one.flagged), key=lambda one: -abs(one.change))
    some = len({one.head for one in sure})
    yield "\n## Who feeds whom\n\n"
    yield (
        f"Of {len(chosen)} heads that find what stood before, on {len(texts)} texts, {some} look "
        "elsewhere when an earlier head is taken out of their queries or keys alone. Attention on "
        "the keys of their behaviour:\n"
    )
    yield table(
        ("head", "behaviour", "without", "in its", "attention", "points", "95 %"),
        (
            (one.head, one.behaviour, one.source, one.input, f"{100 * one.own:.0f} %",
             f"{100 * one.change:+.0f}", f"{100 * one.low:+.0f} to {100 * one.high:+.0f}")
            for one in sure[:20]
        ),
    )  # fmt: skip


def probed(found: Probed) -> Iterator[str]:
    rows = found.run.table("probes").to_pylist()
    yield "\n## Probes\n\n"
    yield f"{found.summary} The first three of each:\n"
    names = dict.fromkeys(row["probe"] for row in rows)
    yield table(
        ("probe", "flagged", "heads: on it (on its control)"),
        (
            (name, sum(row["flagged"] for row in rows if row["probe"] == name),
             ", ".join(f"{head(row)} {row['value']:.2f} ({row['control']:.2f})"
                       for row in found.top(name, 3) if row["flagged"]))
            for name in names
        ),
    )  # fmt: skip
    if "copying" in names:
        least = sorted(
            (row for row in rows if row["probe"] == "copying"), key=lambda row: row["difference"]
        )
        held = ", ".join(
            f"{head(row)} ({spread(row, 2)})" for row in least[:3] if row["high"] < -0.1
        )
        yield f"\nOn random tokens given twice the token that follows is held down by {held}.\n"


def cost(ways: Ways, texts: list[Passage], rounds: int, clock: Clock) -> Iterator[str]:
    def plain() -> None:
        for batch in batches(texts, 1024):
            ways.model.logits([texts[index] for index in batch])

    def seconds(work: Callable[[], object]) -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    plain()
    pairs = [(seconds(plain), seconds(lambda: writes(ways, texts))) for _ in range(rounds)]
    bare, full = np.median(pairs, axis=0)
    ratio = ", ".join(f"{both / one:.2f}" for one, both in pairs)
    worst = 0.0
    for text in texts[:4]:
        ids = torch.from_numpy(np.asarray(text.ids))
        whole = ways.model.logits([text])[0]
        worst = max(worst, float((parts_of(ways, ids).logits - whole).abs().max()))
    yield "\n## What it costs, and how exact it is\n\n"
    yield (
        f"What heads write takes {full:.1f} s of the processor, plain forward passes of the same "
        f"texts {bare:.1f} s: {full / bare:.2f} times ({ratio} in {rounds} rounds). All heads, the "
        f"rest of all layers and the embeddings add up to the logits to {worst:.0e}.\n"
    )
    yield table(
        ("part", "seconds of the processor"),
        ((said, f"{clock.spent[name]:.0f}") for name, said in STAGES.items() if clock.spent[name]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bundled:smollm2")
    parser.add_argument("--text", required=True)
    parser.add_argument("--explained", required=True, help="a run of explain of the model")
    parser.add_argument("--texts", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--matters", type=int, default=24)
    parser.add_argument("--short", type=int, default=40, help="tokens of texts without a head")
    parser.add_argument("--reads", type=int, default=8)
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/how-to/smollm2-effects.md"))
    asked = parser.parse_args()
    asked.runs.mkdir(parents=True, exist_ok=True)
    model, texts = hs.load(asked.model), hs.corpus(asked.text, asked.texts)
    clock = Clock(asked.runs / "seconds.json")
    kept = {"resume": True, "on_progress": clock}
    found = hs.effects(model, texts, max_tokens=asked.tokens, out=asked.runs / "effects", **kept)
    without = asked.matters and hs.effects(
        model, texts, max_tokens=asked.short, matters=asked.matters,
        out=asked.runs / "matters", **kept,
    )  # fmt: skip
    asks = hs.probe(model, out=asked.runs / "probe", **kept)
    passages = list(model_inputs(model, texts, "plain", asked.tokens).passages)
    ways, explained = ways_of(model), Explained.open(asked.explained)
    page = [
        OPENING.format(**vars(asked)), f"\n> {found.summary}\n", *written(found),
        *(mattered(without) if without else ()),
        *fed(ways, passages[: asked.reads], explained, clock), *probed(asks),
        *cost(ways, passages, asked.rounds, clock),
    ]  # fmt: skip
    asked.out.write_text("".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
