"""The whole catalogue on many sentences and on one long text, beside straightforward loops.

    python -m benchmarks.pattern_catalogue TREEBANK.conllu.gz [--sentences 1000]

Prints processor seconds and peak memory of all patterns on 1,000 sentences and on one text of 4,096
tokens with its gold trees; and of the eight classic patterns, the same as loops over (query, key)
pairs. Loops over the long text are measured on its first 512 tokens and scaled by the number of
pairs, memory of the sentences on the first 50.
"""

import argparse
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.patterns.contract import Pattern
from headscribe.patterns.registry import registry
from headscribe.text.alignment import align
from headscribe.text.annotators import Gold
from headscribe.text.corpora import Corpus, Text, read
from headscribe.text.passages import Passage, Words
from tests.oracles.patterns import classic
from tests.passages import encode

PIECE = 6
"""Characters a subword."""

LONG = 4096
LOOPED = 512
MIB = 2**20


def sentences(corpus: Corpus) -> list[Passage]:
    """Every text of the corpus as a passage with its gold trees."""
    texts = list(corpus)
    words = Gold.of(corpus).annotate(texts)
    return [
        align(text, encode(text.text, PIECE), one) for text, one in zip(texts, words, strict=True)
    ]


def joined(passages: Sequence[Passage], length: int) -> Passage:
    """One passage of `length` tokens from the texts of many, one after the other."""
    text, count, parts, offsets = "", 0, [], []
    for passage in passages:
        if len(encode(text, PIECE)) >= length:
            break
        parts.append(passage.words)
        offsets.append((len(text), count))
        text += passage.text + " "
        count += len(passage.words)
    spans = np.concatenate([one.spans + at for one, (at, _) in zip(parts, offsets, strict=True)])
    heads = [
        np.where(np.asarray(one.head) < 0, -1, np.asarray(one.head) + first)
        for one, (_, first) in zip(parts, offsets, strict=True)
    ]
    columns = {
        name: tuple(value for one in parts for value in getattr(one, name) or ())
        for name in ("form", "lemma", "upos", "xpos", "morph", "dep")
    }
    numbers = np.repeat(np.arange(len(parts)), [len(one) for one in parts])
    words = Words(spans=spans, head=np.concatenate(heads), sentence=numbers, **columns)
    encoding = encode(text, PIECE)
    cut = type(encoding)(
        encoding.tokens[:length],
        encoding.ids[:length],
        encoding.spans[:length],
        encoding.is_special[:length],
    )
    return align(Text("long", "long", text), cut, words)


def seconds(work: Callable[[], None]) -> float:
    """Processor seconds."""
    start = time.process_time()
    work()
    return time.process_time() - start


def mebibytes(work: Callable[[], None]) -> float:
    """Peak memory above what was held before."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / MIB


def predictions(
    patterns: Sequence[Pattern], passages: Sequence[Passage], visibility: Visibility
) -> Callable[[], None]:
    """All patterns on all passages, passage by passage as a survey asks."""

    def work() -> None:
        for passage in passages:
            for pattern in patterns:
                pattern.predict(passage, visibility)

    return work


def loops(patterns: Sequence[Pattern], passages: Sequence[Passage]) -> Callable[[], None]:
    """The classic patterns pair by pair."""

    def work() -> None:
        for passage in passages:
            for pattern in patterns:
                classic(pattern.name, passage, FULL)

    return work


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("treebank", type=Path)
    parser.add_argument("--sentences", type=int, default=1000)
    arguments = parser.parse_args()
    corpus = read([arguments.treebank], limit=arguments.sentences)
    few = sentences(corpus)
    long = joined(few, LONG)
    known = few[0].words.provides
    patterns = [one for one in registry() if one.needs <= known | {"sentence"}]
    short_patterns = [one for one in patterns if one.needs <= known]
    eight = list(registry().select(["classic"]))
    tokens = sum(len(passage) for passage in few)
    print(f"{len(few)} sentences, {tokens} tokens; one text of {len(long)} tokens\n")
    print("| what | patterns | seconds | peak MiB |\n|---|---|---|---|")

    def row(what: str, count: int, spent: float, peak: float | None) -> None:
        shown = "" if peak is None else f"{peak:.0f}"
        print(f"| {what} | {count} | {spent:.2f} | {shown} |", flush=True)

    for name, mask in (("full", FULL), ("causal", CAUSAL)):
        spent = seconds(predictions(short_patterns, few, mask))
        peak = mebibytes(predictions(short_patterns, few[:50], mask))
        row(f"catalogue, sentences, {name}", len(short_patterns), spent, peak)
        work = predictions(patterns, [long], mask)
        peak = mebibytes(work) if mask is FULL else None
        row(f"catalogue, long text, {name}", len(patterns), seconds(work), peak)
    row("classic, sentences", len(eight), seconds(predictions(eight, few, FULL)), None)
    row("classic as loops, sentences", len(eight), seconds(loops(eight, few)), None)
    work = predictions(eight, [long], FULL)
    row("classic, long text", len(eight), seconds(work), mebibytes(work))
    looped = seconds(loops(eight, [joined(few, LOOPED)])) * (len(long) / LOOPED) ** 2
    row("classic as loops, long text (scaled)", len(eight), looped, None)
    print("\nSlowest on the long text:\n\n| pattern | seconds | peak MiB |\n|---|---|---|")
    single = [(seconds(predictions([one], [long], FULL)), one) for one in patterns]
    for taken, one in sorted(single, key=lambda pair: -pair[0])[:6]:
        peak = mebibytes(predictions([one], [long], FULL))
        print(f"| `{one.name}` | {taken:.2f} | {peak:.0f} |", flush=True)


if __name__ == "__main__":
    main()
