"""The names of the heads of recorded BERT and of SmolLM2 beside those that they should have.

    python -P benchmarks/answer_names.py bert|smollm2 [--out RUN]

BERT: 150 recorded sentences; SmolLM2: 200 stories cut at 160 tokens (three minutes of a processor).
A line says what must hold, what was measured, and whether it holds.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import headscribe as hs

DATA = Path(__file__).resolve().parents[2] / "shared/data"
PLACES = {"position", "sinks", ""}
SAME = ("the same token elsewhere", "the same word elsewhere")
NOUN = ("case marker → its noun", "determiner → its noun")
ASKED = {
    "2.6": SAME, "3.0": SAME, "1.11": SAME, "3.11": ("object → its verb",), "5.0": NOUN,
    "7.10": NOUN, "4.7": ("pieces of its word",),
}  # fmt: skip
"""Names that heads should have, one of each list."""

BESIDE = {"6.9": ("noun → its case marker", "object → its verb")}
"""Behaviours that a head should have, all of them, whatever its name."""

SMOLLM2 = {
    **dict.fromkeys(("16.0", "11.1", "2.1", "1.2"), ("the previous token",)),
    **dict.fromkeys(("14.3", "8.0"), SAME),
    "18.8": ("rests on the opening token",),
}
INDUCTION = ("18.6", "17.3", "17.4", "18.7", "23.2", "23.7")

Line = tuple[str, str, bool]


def of_smollm2(answer: hs.Explained) -> Iterator[Line]:
    """What must hold, what was measured, whether it holds."""
    named = answer.run.manifest["named"]
    yield "at least 230 of 270 named", str(named), named >= 230
    for head, names in SMOLLM2.items():
        name = answer.card(head).name
        yield f"{head} {' or '.join(names)}", name, name in names
    right = [head for head in INDUCTION if answer.card(head).name == "what followed it before"]
    for head in INDUCTION:
        yield f"  {head} what followed it before", answer.card(head).name, head in right
    yield "at least five of these six", str(len(right)), len(right) >= 5


def of_bert(answer: hs.Explained) -> Iterator[Line]:
    """What must hold, what was measured, whether it holds."""
    cards = list(answer.cards.values())
    beyond = [card for card in cards if card.family not in PLACES]
    syntax = [
        card for card in cards if any(one.listed and one.family == "syntax" for one in card.figures)
    ]
    named = [card for card in cards if card.family]
    yield "at least 71 heads beyond position and sinks", str(len(beyond)), len(beyond) >= 71
    yield "at least 24 with a dependency relation", str(len(syntax)), len(syntax) >= 24
    by_syntax = sum(card.family == "syntax" for card in cards)
    yield "  named by one", str(by_syntax), by_syntax >= 24
    yield "at least 128 of 144 named", str(len(named)), len(named) >= 128
    figures = [one for card in cards for one in card.figures if one.listed]
    held = sum(one.confirmed["excess"] >= 0.05 for one in figures)
    yield "all confirmed", f"{held} of {len(figures)}", held == len(figures)
    for head, names in ASKED.items():
        card = answer.card(head)
        yield f"{head} {' or '.join(names)}", card.name, card.name in names
    for head, names in BESIDE.items():
        has = [one.behaviour for one in answer.card(head).figures if one.listed]
        yield f"{head} has {' and '.join(names)}", ", ".join(has), set(names) <= set(has)
    one = next(
        (one for one in answer.card("7.10").figures if one.behaviour == "determiner → its noun"),
        None,
    )
    if one is not None:
        half = one.confirmed
        said = (
            f"{half['share']:.0%}, {100 * half['excess']:+.0f} ({100 * half['low']:+.0f} to "
            f"{100 * half['high']:+.0f}), sinks {one.sinks_here:.0%} there, "
            f"{answer.card('7.10').sink_share:.0%} over all"
        )
        near = abs(half["share"] - 0.66) <= 0.1 and abs(half["excess"] - 0.41) <= 0.06
        yield "7.10 on determiners 66 %, +41 (+-6), sinks 6 %, 43 %", said, near


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", choices=("bert", "smollm2"))
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        out = given.out or Path(folder) / "run"
        if given.which == "bert":
            answer = hs.explain(recorded=DATA / "bert_sst2_attention", out=out)
        else:
            stories = DATA / "tinystories/train.jsonl.gz"
            answer = hs.explain("bundled:smollm2", stories, limit=200, max_tokens=160, out=out)
        print(answer.summary)
        for asked, measured, holds in (of_bert if given.which == "bert" else of_smollm2)(answer):
            print(f"{'ok ' if holds else 'NOT'} {asked:<58} {measured}")


if __name__ == "__main__":
    main()
