"""The names of recorded BERT's heads beside what issue N asks for, as a table.

    python -P benchmarks/answer_bert.py [--recorded ../shared/data/bert_sst2_attention]

A line says what must hold, what was measured, and whether it holds.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import headscribe as hs

RECORDED = Path(__file__).resolve().parents[2] / "shared/data/bert_sst2_attention"
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


def checked(answer: hs.Explained) -> Iterator[tuple[str, str, bool]]:
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
    parser.add_argument("--recorded", default=str(RECORDED))
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        answer = hs.explain(recorded=given.recorded, out=Path(folder) / "run")
        print(answer.summary)
        for asked, measured, holds in checked(answer):
            print(f"{'ok ' if holds else 'NOT'} {asked:<58} {measured}")


if __name__ == "__main__":
    main()
