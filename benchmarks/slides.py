"""The exploratory slides on one page: their patterns, their filter and their three notes, measured.

    python -m benchmarks.slides docs/slides.md SHARED_DATA [RUNS]

`SHARED_DATA` holds recorded BERT (`bert_sst2_attention`) and `tinystories`; `RUNS` is a folder for
both surveys, which are read from there the next time. The slides looked at
`bert-base-uncased` on TinyStories; the recording is that model, fine-tuned, on film reviews.
"""

import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

import headscribe as hs
from headscribe.api.survey import Survey
from headscribe.results.examples import read_examples

SLIDES = {
    "next_token": ("2.0*", "2.9", "0.10"),
    "previous_token": (),
    "same_token": (),
    "punctuation": ("11.0", "10.3", "11.7*"),
    "repetition": ("2.6*", "11.8", "1.11"),
    "dependency": ("2.0", "3.9*", "2.9"),
    "part_of_speech": ("2.6*", "11.8", "0.6"),
}
"""The heads of `bert-base-uncased` that the slides list, best first; the starred one was shown."""

MIRRORED = {"next_token": "previous_token", "punctuation": "previous_punctuation"}
"""What stands in their place in a causal model, which sees no later token."""

LINKS = (("obj", "to_head"), ("obj", "to_dependent"), ("case", "to_head"), ("case", "to_dependent"))
WORDS = {
    ("obj", "to_head"): "object to its verb",
    ("obj", "to_dependent"): "verb to its object",
    ("case", "to_head"): "adposition to its noun",
    ("case", "to_dependent"): "noun to its adposition",
}
BERT = 144
"""Heads of the slides' model."""

LEAST_INSTANCES = 50
SWITCH = 0.3


def patterns_table(survey: Survey) -> list[str]:
    """Every pattern of the slides, its three nearest heads, the place of the starred one."""
    lines = [
        "| pattern | on the slides | nearest here (JSD) | the starred head is |",
        "|---|---|---|---|",
    ]
    for pattern, theirs in SLIDES.items():
        scored = pattern if pattern in survey.patterns else MIRRORED.get(pattern, pattern)
        said = ", ".join(theirs) or "none listed"
        if scored not in survey.patterns:
            lines.append(f"| {pattern} | {said} | not scored: the texts lack what it reads | |")
            continue
        ranked = [str(head) for head, _ in survey.top(scored, k=10_000)]
        best = ", ".join(f"{head} ({score:.2f})" for head, score in survey.top(scored))
        star = next((head.rstrip("*") for head in theirs if head.endswith("*")), None)
        place = (
            f"{1 + ranked.index(star)} of {len(ranked)}"
            if star in ranked and len(ranked) == BERT
            else ""
        )
        name = pattern if scored == pattern else f"{pattern}, mirrored: {scored}"
        lines.append(f"| {name} | {said} | {best} | {place} |")
    return lines


SHOWN = 11
"""Words of a sentence that a table has room for."""


def sentence_tables(survey: Survey) -> list[str]:
    """Every pattern on a sentence, beside the head that the slides showed and the nearest one."""
    examples = read_examples(survey.run)
    example = examples[min(examples, key=lambda name: (len(examples[name].labels), name))]
    special = example.facts["special"]
    rows = [i for i in range(1, len(example.labels)) if not special[i]][:SHOWN]
    labels = [label.replace("|", "\\|").strip() or "␣" for label in example.labels]
    lines = [
        f"> {' '.join(example.facts['text'].split())}", "",
        "What each word reads most, opening and special tokens aside: what the pattern says, then "
        "heads, **bold** where they agree; in brackets the share of all their attention, over the "
        "words shown, that is on the pattern's keys.", "",
        f"| | {' | '.join(labels[row] for row in rows)} |", f"|---|{'---|' * len(rows)}",
    ]  # fmt: skip
    hidden = np.array(special) | (np.arange(len(special)) == 0)
    told = set[str]()
    for pattern, theirs in SLIDES.items():
        scored = pattern if pattern in survey.patterns else MIRRORED.get(pattern, pattern)
        if scored not in survey.patterns or scored in told:
            continue
        told.add(scored)
        said = example.patterns[scored].matrix()[rows]
        lines.append(f"| *{scored}* | {' | '.join(strongest(said, labels))} |")
        star = next((head.rstrip("*") for head in theirs if head.endswith("*")), None)
        shown = {str(survey.top(scored, k=1)[0][0]): "nearest"}
        if star in example.heads and len(example.heads) == BERT:
            shown = {star: "starred"} | {head: how for head, how in shown.items() if head != star}
        for head, how in shown.items():
            real = example.heads[head].matrix()[rows]
            share = (real * (said > 0))[said.any(1)].sum(1).mean()
            content = np.where(hidden, 0, real)
            cells = [
                f"**{label}**" if row[key] > 0 else label
                for label, key, row in zip(
                    strongest(content, labels), content.argmax(1), said, strict=True
                )
            ]
            lines.append(f"| {head}, {how} ({share:.0%}) | {' | '.join(cells)} |")
    return lines


def strongest(rows: Float[np.ndarray, "R T"], labels: Sequence[str]) -> list[str]:
    """The key that each row reads most; a dash where it reads nothing."""
    return [labels[row.argmax()] if row.any() else "–" for row in rows]


def filter_table(survey: Survey) -> list[str]:
    """The slides' filter, verb with object and adposition with noun: how often a head agrees."""
    found = survey.frame("relations")
    lines = [
        "| link | head, chosen on the other half | agrees | the best fixed offset | links |",
        "|---|---|---|---|---|",
    ]
    for relation, direction in LINKS:
        mine = found[(found.relation == relation) & (found.direction == direction)]
        for half in mine[mine.instances >= LEAST_INSTANCES].itertuples():
            lines.append(
                f"| {WORDS[relation, direction]} | {half.layer}.{half.head} "
                f"| {half.accuracy:.0%} ({half.accuracy_low:.0%} to {half.accuracy_high:.0%}) "
                f"| {half.offset_accuracy:.0%}, offset {half.offset:+d} | {half.instances} |"
            )
    return lines


def thirds(cards: pd.DataFrame, layers: int) -> list[str]:
    """What the heads of the first, the middle and the last layers do."""
    families = ["position", "repetition", "word class", "syntax", "common keys", "sinks", ""]
    bounds = [round(third * layers / 3) for third in range(4)]
    names = [f"layers {a} to {b - 1}" for a, b in pairwise(bounds)]
    lines = [f"| heads | {' | '.join(names)} |", "|---|---|---|---|"]
    by: dict[str, list[int]] = {}
    for family in families:
        of = cards[cards.family.fillna("") == family]
        by[family] = [int(((of.layer >= a) & (of.layer < b)).sum()) for a, b in pairwise(bounds)]
    said = (
        f"Of the {sum(by['position'])} heads that are named for a place {by['position'][0]} are in "
        f"the first third of the layers; of the {sum(by['syntax'])} that follow a link of syntax "
        f"{by['syntax'][1]} are in the middle third, {by['syntax'][2]} in the last."
    )
    for family, counts in by.items():
        lines.append(f"| {family or 'no name yet'} | {' | '.join(map(str, counts))} |")
    return [fill(said, 100), "", *lines]


def binary(survey: Survey) -> str:
    """How many heads work on some rows and rest on the others."""
    cards = survey.frame("cards")
    first = survey.frame("behaviours").merge(cards, on=["layer", "head"])
    first = first[first.behaviour == first.name]
    content = first.confirmed_share * (1 - first.sinks_here)
    rests = (first.sink_share - first.applies * first.sinks_here) / (1 - first.applies).clip(1e-9)
    switch = ((rests - first.sinks_here) >= SWITCH) & (first.applies < 0.9)
    return (
        f"{switch.sum()} of the {len(first)} heads that are named for what they read spend at "
        f"least {100 * SWITCH:.0f} points more on opening and special tokens where their behaviour "
        "does not apply than where it does; where it applies, "
        f"{content.median():.0%} of all attention goes to what the name says (median head)."
    )


def part(title: str, survey: Survey, tagged: Survey, layers: int) -> list[str]:
    """One model; `tagged` is the survey whose words carry parts of speech."""
    cards = survey.frame("cards")
    return [
        f"## {title}", "", fill(survey.summary, 100), "",
        "### Patterns", "", *patterns_table(tagged), "",
        "### On a sentence", "", *sentence_tables(tagged), "",
        "### The filter: verb and object, adposition and noun", "", *filter_table(survey), "",
        "### Notes 1 and 2: building blocks, middle layers", "", *thirds(cards, layers), "",
        "### Note 3, binary heads", "", fill(binary(survey), 100), "",
    ]  # fmt: skip


def surveyed(folder: Path, **asked: Any) -> Survey:  # noqa: ANN401
    """A survey of the slides' patterns, made anew where the folder has none."""
    return (
        Survey.open(folder)
        if folder.exists()
        else hs.survey(patterns="classic", out=folder, **asked)
    )


def main(page: str, data: str, runs: str | None = None) -> None:
    """Measure both models and write the page."""
    with TemporaryDirectory() as temporary:
        folder, recorded = Path(runs or temporary), Path(data) / "bert_sst2_attention"
        bert = surveyed(folder / "bert", recorded=recorded)
        # Its words carry no parts of speech, which one of the patterns reads.
        tagged = surveyed(
            folder / "bert-tagged", recorded=recorded, annotator="bundled:en", cards=False
        )
        smol = surveyed(
            folder / "smol", model="bundled:smollm2", limit=100, max_tokens=64,
            texts=Path(data) / "tinystories" / "test.jsonl.gz",
        )  # fmt: skip
        lines = [
            "# The slides, measured", "",
            fill(
                "The project began with slides that looked at heads of `bert-base-uncased` on "
                "children's stories, one heatmap at a time: a pattern, the nearest heads, one "
                "of them shown. They ended with three notes: heads of the first layers are "
                "*building blocks* (position, the token itself), syntax lives in the *middle "
                "layers*, and many heads are *binary*, either at work or at rest. Here is the same "
                "for a BERT that was fine-tuned on film reviews (the same 144 heads, other texts, "
                "so figures differ) and for SmolLM2 on stories. Distances are Jensen-Shannon: 0 "
                "equal, 1 disjoint. Written by `benchmarks/slides.py`.",
                100,
            ), "",
            *part("BERT-base, fine-tuned on SST-2: 150 recorded film reviews", bert, tagged, 12),
            *part("SmolLM2-135M-Instruct: 100 stories, 64 tokens each", smol, smol, 30),
        ]  # fmt: skip
    Path(page).write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
