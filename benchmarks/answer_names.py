"""Names of heads beside those that they should have, and whether they can be trusted.

    python -P benchmarks/answer_names.py PART... [--page FILE]

`bert`: 150 recorded sentences; `smollm2`: 200 stories cut at 160 tokens (three minutes of a
processor): what must hold, what was measured, whether it holds. `fresh`: names found on two thirds
of a corpus asked for on the last third, which neither chose nor confirmed; and with words of other
texts. `null`: recorded BERT with the words' classes and trees of other texts of nearly the same
length, so that no behaviour of classes or trees is there to be found: ten runs. `noise`: 144 heads
that look by distance and at random, on 20 to 1,000 texts: nothing should be named. `planted`: heads
that give a share of their attention to the keys of one behaviour where it applies, the rest as the
noise does: each should be named, exactly. `mixtures`: heads that give known shares to several
things, which their budgets should say. All on sentences of the shared treebank, in tokens of the
bundled story model. What a part measured replaces its section of the page.
"""

import argparse
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import headscribe as hs
from headscribe.behaviours import naming
from headscribe.behaviours.answer import Answer
from headscribe.behaviours.card import Card
from headscribe.behaviours.catalogue import Behaviour, applicable, behaviours
from headscribe.behaviours.measure import Collector, Sums, clusters_of
from headscribe.behaviours.texts import Asked
from headscribe.core.progress import silent
from headscribe.core.visibility import FULL, Visibility
from headscribe.models.calls import AttentionCall
from headscribe.models.inputs import open_inputs
from headscribe.models.recorded import Recording, attention_of
from headscribe.scoring.observer import LayerObserver
from headscribe.text.passages import Passage

DATA = Path(__file__).resolve().parents[2] / "shared/data"
PAGE = Path(__file__).parent / "results/answer_names.md"
SIZES = (20, 50, 150, 400, 1000)
STRENGTHS = (1.0, 0.5, 0.3, 0.2)
PLANTED = (
    "determiner → its noun", "case marker → its noun", "noun → its case marker",
    "adjective → its noun", "subject → its verb", "verb → its subject", "object → its verb",
    "verb → its object", "auxiliary → its verb", "the same token elsewhere",
    "what followed it before", "pieces of its word", "the next punctuation", "commas",
    "full stops", "reads names", "reads pronouns", "reads nouns",
)  # fmt: skip


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

MIXED = (
    (("sinks", 0.4), ("determiner → its noun", 0.5)),
    (("sinks", 0.2), ("previous token", 0.3), ("the same token elsewhere", 0.4)),
    (("previous token", 0.4), ("subject → its verb", 0.5)),
    (("sinks", 0.5), ("reads names", 0.3)),
    (("sinks", 0.3), ("what followed it before", 0.4), ("reads pronouns", 0.2)),
    (("the same token elsewhere", 0.3), ("determiner → its noun", 0.6)),
    (("sinks", 0.6), ("commas", 0.3)),
    (("previous token", 0.2), ("the next punctuation", 0.5)),
    (("sinks", 0.3), ("reads nouns", 0.5)),
    (("sinks", 0.2), ("next token", 0.4), ("full stops", 0.3)),
    (("noun → its case marker", 0.4), ("object → its verb", 0.5), ("sinks", 0.4)),
    (("pieces of its word", 0.5), ("sinks", 0.3)),
)
"""Heads by what they give to what, where there is any; the rest is noise."""

Line = tuple[str, str, bool]
Told = tuple[tuple[str, float], ...]
"""What a head gives to the keys of a behaviour, or to a part of budgets, where there are any."""


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
    yield "  named by one, first name", str(by_syntax), by_syntax >= 24
    families = [
        next(one.family for one in card.figures if one.behaviour == card.reads)
        for card in cards
        if card.reads is not None
    ]
    yield (
        "with places and sinks set aside: at least 71 named",
        str(len(families)),
        (len(families) >= 71),
    )
    aside = families.count("syntax")
    yield "  at least 24 by a dependency relation", str(aside), aside >= 24
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


NEXT = {"previous token": 1, "next token": -1}


@dataclass(frozen=True)
class Made:
    """A layer of heads that do what they are told, with the rest of their attention as noise."""

    told: Sequence[Told]
    layers: int = 1

    @property
    def heads(self) -> int:
        """How many."""
        return len(self.told)

    def visibility(self, layer: int) -> Visibility:
        """All keys."""
        return FULL

    def read(self, passage: Passage) -> np.ndarray:
        """The same attention whenever a text is read."""
        return self.parts(passage).sum(1).astype(np.float32)[None]

    def parts(self, passage: Passage) -> np.ndarray:
        """Of each head its noise, then what it gives to each thing it is told, `(H, n, T, T)`."""
        chance = np.random.default_rng(list(passage.text_id.encode()))
        # Of two of one name the one that is asked where words have their parts of speech.
        relation = {one.name: one.relation for one in reversed(behaviours())}
        length = len(passage)
        offset = np.subtract.outer(np.arange(length), np.arange(length))
        found = np.zeros((self.heads, 1 + max(map(len, self.told)), length, length))
        for head, told in zip(found, self.told, strict=True):
            noise = chance.gamma(2.0, size=(length, length)) / (1 + np.abs(offset))
            left = np.ones((length, 1))
            for part, (name, strength) in zip(head[1:], told, strict=False):
                if name == "sinks":
                    keys = np.tile(passage.is_special, (length, 1))
                elif name in NEXT:
                    keys = (offset == NEXT[name]) & ~passage.is_special
                else:
                    keys = np.asarray(relation[name].dense(passage, FULL), bool)
                    keys = keys & ~passage.is_special
                count = keys.sum(1, keepdims=True)
                share = np.where(count > 0, strength, 0.0)
                part[:] = share * keys / np.maximum(count, 1)
                left -= share
            head[0] = left * noise / noise.sum(1, keepdims=True)
        return found

    def run(self, batch: Sequence[Passage], observer: LayerObserver) -> None:
        """Show a text at a time."""
        for passage in batch:
            _show(observer, passage, self.read(passage))


def _show(observer: LayerObserver, passage: Passage, attention: np.ndarray) -> None:
    size = torch.tensor([len(passage)])
    for layer, heads in enumerate(attention):
        weights = torch.from_numpy(heads[None])
        observer.observe(AttentionCall(layer, size, (passage,), lambda w=weights: w, None))


def answered(
    source: Made | Recording, passages: Sequence[Passage], provides: frozenset[str],
    own: Sequence[Passage] | None = None,
) -> list[Card]:  # fmt: skip
    """The cards of a source that reads `own` texts while behaviours are asked of `passages`."""
    answer = Answer(source, passages, provides)
    for _ in ("names", "accounts"):
        for passage, mine in zip(passages, own or passages, strict=True):
            reading = answer.reading([passage])
            _show(reading, passage, source.read(mine))
            reading.commit()
        answer.turn()
    return list(answer.cards())


def _other_words(passages: Sequence[Passage], run: int) -> list[Passage]:
    """Every text with the classes and trees of the `run`-th next longer one."""
    order = sorted(range(len(passages)), key=lambda i: (len(passages[i].words), i))
    found = list(passages)
    for place, i in enumerate(order):
        words, other = passages[i].words, passages[order[(place + run) % len(order)]].words
        assert words is not None
        assert other is not None
        at = np.arange(len(words)) % len(other)
        head = np.asarray(other.head)[at]
        new = {field: getattr(other, field) for field in ("dep", "upos")}
        new = {field: known and tuple(known[k] for k in at) for field, known in new.items()}
        found[i] = replace(
            passages[i],
            words=replace(words, head=np.where(head < len(words), head, -1), **new),
        )
    return found


def of_null() -> Iterator[str]:
    """Names by classes and trees of other texts."""
    recording = Recording(DATA / "bert_sst2_attention")
    inputs = open_inputs(recording, None, None, None, None, silent)
    yield "## Classes and trees of other texts: recorded BERT, 144 heads, 150 texts\n"
    yield "| run | heads with a link of syntax | heads with a class of words |\n|---|---|---|"
    links = 0
    for run in range(1, 11):
        passages = _other_words(inputs.passages, run)
        made = answered(recording, passages, inputs.provides, inputs.passages)
        needs = {one.name for one in applicable(inputs.provides, FULL) if one.relation.needs}
        which = [
            {one.family for one in card.figures if one.listed and one.behaviour in needs}
            for card in made
        ]
        link, word = (sum(family in one for one in which) for family in ("syntax", "word class"))
        links += link
        yield f"| {run} | {link} | {word} |"
    yield f"\nAsked: at most 1 head in 10 runs. Links of syntax: {links}."


def _sentences(number: int) -> tuple[list[Passage], frozenset[str]]:
    treebank = hs.corpus(DATA / "ud_english_ewt/dev.conllu.gz", number)
    inputs = open_inputs("bundled:stories", treebank, None, None, 60, silent)
    # A sentence is a text of its own: nothing in these heads is alike within a document.
    return [replace(one, group=one.text_id) for one in inputs.passages], inputs.provides


def of_noise() -> Iterator[str]:
    """Names of heads without behaviour, by the number of texts."""
    yield "## Heads of noise\n"
    yield "| texts | behaviours tested | heads with a name for one, of 144 |\n|---|---|---|"
    for size in SIZES:
        passages, provides = _sentences(size)
        asked = sum(one.applies_to(provides, FULL) for one in behaviours())
        made = answered(Made([()] * 144), passages, provides)
        named = sum(any(one.listed for one in card.figures) for card in made)
        yield f"| {size} | {144 * asked} | {named} ({named / 144:.1%}) |"
    yield "\nAsked: below 5 % at all sizes."


def of_planted() -> Iterator[str]:
    """Names of heads that do one thing."""
    passages, provides = _sentences(400)
    told = [(name, strength) for strength in STRENGTHS for name in PLANTED]
    made = answered(Made([(one,) for one in told]), passages, provides)
    yield f"## Planted heads: {len(told)}, 400 texts\n"
    yield "| strength | named exactly | others |\n|---|---|---|"
    for strength in STRENGTHS:
        mine = [
            (name, card) for (name, own), card in zip(told, made, strict=True) if own == strength
        ]
        others = [f"{name} is called {card.name}" for name, card in mine if card.name != name]
        exact = len(mine) - len(others)
        yield f"| {strength} | {exact} of {len(mine)} | {'; '.join(others)} |"
    off = max(abs(sum(share for _, share in card.budget) - 1) for card in made)
    yield f"\nAsked: all of a strength of 0.2 or more. Budgets add up to 1 within {off:.0e}."


def of_mixtures() -> Iterator[str]:
    """What heads give to several things at once, beside what their cards say."""
    passages, provides = _sentences(400)
    source = Made(MIXED)
    made = answered(source, passages, provides)
    yield f"## Planted mixtures: {len(MIXED)}, 400 texts\n"
    yield (
        "| what it does: share in truth, as its card says | largest difference | planted, of all "
        "attention: beyond position |\n|---|---|---|"
    )
    sums = np.zeros((3, len(MIXED), max(map(len, MIXED))))
    for passage in passages:
        content = ~passage.is_special
        parts = source.parts(passage)[:, :, content]
        there = parts[:, 1:] > 0
        rows = np.where(there.any(3), 1.0, 0.0)
        whole = parts.sum(1)[:, None]
        sums[0] += (whole * there).sum((2, 3))
        sums[1] += (whole[..., content].sum(3) * rows).sum(2)
        sums[2] += parts[:, 1:].sum((2, 3))
    number = sum(int((~passage.is_special).sum()) for passage in passages)
    worst = 0.0
    for told, on_keys, read, planted, card in zip(MIXED, *sums, made, strict=True):
        said, given, off = dict(card.budget), [], 0.0
        share = {one.behaviour: one.confirmed["share"] for one in card.figures if one.listed}
        beyond = []
        for i, (name, _) in enumerate(told):
            place = name == "sinks" or name in NEXT
            truth = on_keys[i] / (number if place else read[i])
            found = (said if place else share).get(name, 0.0)
            off = max(off, abs(truth - found))
            given.append(f"{name} {truth:.1%}, {found:.1%}")
            if not place:
                beyond.append(f"{planted[i] / number:.1%}: {said.get(name, 0.0):.1%}")
        worst = max(worst, off)
        yield f"| {'; '.join(given)} | {off:.3f} | {'; '.join(beyond)} |"
    yield f"\nAsked: shares within 0.05. Largest difference: {worst:.3f}."


FRESH = (
    ("bundled:minilm", "tinystories/test.jsonl.gz"),
    ("bundled:minilm", "ud_english_ewt/dev.conllu.gz"),
    ("bundled:smollm2", "ud_english_ewt/dev.conllu.gz"),
)
"""Models and texts that no rule was chosen with."""


def of_fresh() -> Iterator[str]:
    """What is confirmed, on texts that took no part, and with the words of other texts."""
    yield "## Texts and models that no rule was chosen with\n"
    columns = (
        "model", "texts", "behaviours confirmed", "hold on further texts", "links of syntax",
        "hold", "heads with one", "heads with one by words of other texts",
    )  # fmt: skip
    yield f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}"
    for model, texts in FRESH:
        inputs = open_inputs(model, hs.corpus(DATA / texts, 300), None, None, 48, silent)
        read_texts = [replace(one, group=one.text_id) for one in inputs.passages]
        mine = [one for i, one in enumerate(read_texts) if i % 3 < 2]
        further = read_texts[2::3]
        seen = {text.text_id: made for text, made in attention_of(inputs.source, inputs.passages)}
        view = inputs.source.visibility(0)
        asked = applicable(inputs.provides, view)
        families = np.array([one.family for one in asked])
        read = {"heads": seen, "view": view, "asked": asked}
        confirmed = naming.name(_sums(mine, **read), [*families]).confirmed
        sums = _sums(further, **read)
        beyond = (sums.on_keys - sums.expected).sum(1) / np.maximum(sums.content.sum(1), 1e-9)
        held = confirmed & (beyond >= naming.SMALLEST)
        link = families == "syntax"
        null = naming.name(_sums(_other_words(mine, 1), **read), [*families]).confirmed[link]
        yield (
            f"| {model} | {len(mine)} of {Path(texts).parent} | {confirmed.sum()} | "
            f"{held.sum() / max(confirmed.sum(), 1):.1%} | {confirmed[link].sum()} | "
            f"{held[link].sum() / max(confirmed[link].sum(), 1):.1%} | "
            f"{confirmed[link].any(0).sum()} | {null.any(0).sum()} |"
        )


def _sums(
    passages: Sequence[Passage], heads: Mapping[str, np.ndarray], view: Visibility,
    asked: Sequence[Behaviour],
) -> Sums:  # fmt: skip
    clusters = clusters_of(sorted({passage.group for passage in passages}), 0)
    layers, width = heads[passages[0].text_id].shape[:2]
    collector = Collector(Asked(asked), clusters, view, layers * width)
    for passage in passages:
        reading = collector.reading([passage])
        for layer, made in enumerate(heads[passage.text_id]):
            reading.read(np.asarray(made, np.float32)[None], layer * width)
        reading.commit()
    return collector.sums()


def of_names(which: str) -> Iterator[str]:
    """What heads of BERT or of SmolLM2 should be, and are."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        if which == "bert":
            answer = hs.explain(recorded=DATA / "bert_sst2_attention", out=out)
        else:
            stories = DATA / "tinystories/train.jsonl.gz"
            answer = hs.explain("bundled:smollm2", stories, limit=200, max_tokens=160, out=out)
        yield f"## {'Recorded BERT' if which == 'bert' else 'SmolLM2'}: names\n"
        yield answer.summary
        yield "\n| asked | measured | holds |\n|---|---|---|"
        lines = (of_bert if which == "bert" else of_smollm2)(answer)
        for asked, measured, holds in (*lines, *of_budgets(answer)):
            yield f"| {asked} | {measured} | {'yes' if holds else '**no**'} |"


def of_budgets(answer: hs.Explained) -> Iterator[Line]:
    """What must hold of where attention goes."""
    cards = list(answer.cards.values())
    off = max(abs(sum(share for _, share in card.budget) - 1) for card in cards)
    yield "budgets add up to 100 %", f"within {100 * off:.0e} %", off < 1e-4
    alike = sum(card.differs <= 0.03 for card in cards) / len(cards)
    asked = "halves differ by at most 3 points in 95 % of heads"
    yield asked, f"{alike:.0%} of heads", alike >= 0.95


PARTS = {
    "bert": lambda: of_names("bert"), "smollm2": lambda: of_names("smollm2"),
    "fresh": of_fresh, "null": of_null, "noise": of_noise, "planted": of_planted,
    "mixtures": of_mixtures,
}  # fmt: skip


def main() -> None:
    """Print and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="+", choices=[*PARTS])
    parser.add_argument("--page", type=Path, default=PAGE)
    given = parser.parse_args()
    for part in given.parts:
        section = ""
        for line in PARTS[part]():
            print(line, flush=True)
            section += f"{line}\n"
        put(given.page, section)


def put(page: Path, section: str) -> None:
    """Put a section into a page, in the place of the one that it is the newer of."""
    title = section.split(":")[0].split("\n")[0]
    text = page.read_text(encoding="utf-8") if page.exists() else "# Are names to be trusted?\n"
    kept = [part for part in re.split(r"(?m)^(?=## )", text) if not part.startswith(title)]
    page.write_text("\n\n".join(part.strip() for part in [*kept, section]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
