"""Report a pipeline's figures on a treebank, by four ways of giving it the text.

- `gold sentences`: the treebank's words, one sentence at a time, sentence starts given;
- `gold words`: the treebank's words, a whole document at a time, sentence starts predicted;
- `lower case`: the same in lower case, as uncased models give it;
- `raw text`: the document's characters; words are aligned by their character spans and scored by
  F1, as in the CoNLL 2018 shared task: an arc counts when both of its words are aligned, and the
  words of a multiword token ("don't") are words like all others, cut at the same characters.

Labels are compared in full (`nsubj:pass` is not `nsubj`) and punctuation counts; LAS without
punctuation (`punct` arcs and `PUNCT` words left out) and LAS on universal labels stand beside.
Words a second are of the process's own time, which is one core's with `OMP_NUM_THREADS=1`.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import spacy
from spacy.language import Language
from spacy.tokens import Doc
from treebank import Sentence, Word, read_documents

WAYS = ("gold sentences", "gold words", "lower case", "raw text")


@dataclass(frozen=True)
class Unit:
    """A word as both sides give it, placed by the document's non-blank characters."""

    start: int
    end: int
    upos: str
    lemma: str
    deprel: str
    head: tuple[int, int]
    """Span of the head; the word's own span for a root."""
    is_start: bool

    @property
    def span(self) -> tuple[int, int]:
        """Start and end."""
        return self.start, self.end


@dataclass
class Counts:
    """What agrees, among `gold` and `system` words and sentences."""

    gold: int = 0
    system: int = 0
    words: int = 0
    upos: int = 0
    lemma: int = 0
    uas: int = 0
    las: int = 0
    las_universal: int = 0
    plain_gold: int = 0
    plain_system: int = 0
    plain_las: int = 0
    gold_sentences: int = 0
    system_sentences: int = 0
    sentences: int = 0

    def add(self, gold: list[Unit], system: list[Unit]) -> None:
        """Count one document."""
        self.gold += len(gold)
        self.system += len(system)
        self.plain_gold += sum(not is_punctuation(unit) for unit in gold)
        self.plain_system += sum(not is_punctuation(unit) for unit in system)
        found = {unit.span: unit for unit in system}
        for unit in gold:
            if unit.span in found:
                self.add_pair(unit, found[unit.span])
        gold_spans, system_spans = sentence_spans(gold), sentence_spans(system)
        self.gold_sentences += len(gold_spans)
        self.system_sentences += len(system_spans)
        self.sentences += len(gold_spans & system_spans)

    def add_pair(self, gold: Unit, system: Unit) -> None:
        """Count an aligned word."""
        head = gold.head == system.head
        label = gold.deprel == system.deprel
        self.words += 1
        self.upos += gold.upos == system.upos
        self.lemma += gold.lemma in ("", system.lemma)
        self.uas += head
        self.las += head and label
        self.las_universal += head and universal(gold.deprel) == universal(system.deprel)
        self.plain_las += head and label and not is_punctuation(gold)

    def figures(self) -> dict[str, float]:
        """F1 of everything; equal to accuracy where the words are given."""
        return {
            "words": f1(self.words, self.gold, self.system),
            "upos": f1(self.upos, self.gold, self.system),
            "lemma": f1(self.lemma, self.gold, self.system),
            "uas": f1(self.uas, self.gold, self.system),
            "las": f1(self.las, self.gold, self.system),
            "las_universal": f1(self.las_universal, self.gold, self.system),
            "las_no_punct": f1(self.plain_las, self.plain_gold, self.plain_system),
            "sentences": f1(self.sentences, self.gold_sentences, self.system_sentences),
        }


def f1(agreed: int, gold: int, system: int) -> float:
    """Twice the agreement over both sizes."""
    return round(2 * agreed / (gold + system), 4)


def universal(label: str) -> str:
    """The label without its subtype."""
    return label.partition(":")[0].lower()


def is_punctuation(unit: Unit) -> bool:
    """Whether a unit is punctuation by its relation or its tag."""
    return unit.deprel == "punct" or unit.upos == "PUNCT"


def sentence_spans(units: list[Unit]) -> set[tuple[int, int]]:
    """First and last character of every sentence."""
    starts = [index for index, unit in enumerate(units) if unit.is_start]
    ends = [*(start - 1 for start in starts[1:]), len(units) - 1]
    return {(units[start].start, units[end].end) for start, end in zip(starts, ends, strict=True)}


def spans_of(forms: list[str]) -> list[tuple[int, int]]:
    """Spans in the text without its blanks."""
    spans, place = [], 0
    for form in forms:
        length = len("".join(form.split()))
        spans.append((place, place + length))
        place += length
    return spans


def gold_units(sentences: list[Sentence]) -> list[Unit]:
    """Units of the treebank."""
    spans = iter(spans_of([word.form for sentence in sentences for word in sentence.words]))
    units = []
    for sentence in sentences:
        places = [next(spans) for _ in sentence.words]
        for index, (word, place) in enumerate(zip(sentence.words, places, strict=True)):
            units.append(
                Unit(*place, word.upos, word.lemma, word.deprel, places[word.head], index == 0)
            )
    return units


def system_units(doc: Doc) -> list[Unit]:
    """Units of a parsed document; tokens of blanks alone are left out."""
    places = spans_of([token.text for token in doc])
    units = []
    pending_start = False
    for token, place in zip(doc, places, strict=True):
        pending_start |= bool(token.is_sent_start)
        if token.is_space:
            continue
        head = places[token.head.i]
        units.append(Unit(*place, token.pos_, token.lemma_, token.dep_, head, pending_start))
        pending_start = False
    return units


def words_doc(nlp: Language, sentences: list[Sentence], way: str) -> Doc:
    """A document with the treebank's words and spaces, and its sentence starts where given."""
    words: list[Word] = [word for sentence in sentences for word in sentence.words]
    spaces = [word.space_after for word in words]
    forms = [word.form.lower() if way == "lower case" else word.form for word in words]
    starts: list[bool | int] | None = None
    if way == "gold sentences":
        starts = [index == 0 for sentence in sentences for index in range(len(sentence.words))]
    return Doc(nlp.vocab, words=forms, spaces=spaces, sent_starts=starts)


def raw_text(sentences: list[Sentence]) -> str:
    """The document's text; a blank line before a new paragraph."""
    text = ""
    for sentence in sentences:
        gap = "\n\n" if sentence.breaks_paragraph else " "
        text += (gap if text else "") + sentence.text
    return text


def inputs(
    nlp: Language, documents: list[list[Sentence]], way: str
) -> Iterator[tuple[list[Sentence], Doc | str]]:
    """Gold sentences and the input to parse, one pair at a time."""
    for document in documents:
        if way == "raw text":
            yield document, raw_text(document)
        elif way == "gold sentences":
            yield from (([one], words_doc(nlp, [one], way)) for one in document)
        else:
            yield document, words_doc(nlp, document, way)


def evaluate(nlp: Language, documents: list[list[Sentence]], way: str) -> dict[str, float]:
    """Figures for one way of giving the text, with the speed in treebank words a second."""
    pairs = list(inputs(nlp, documents, way))
    began = time.process_time()
    parsed = list(nlp.pipe([given for _, given in pairs]))
    seconds = time.process_time() - began
    counts = Counts()
    for (gold, _), doc in zip(pairs, parsed, strict=True):
        counts.add(gold_units(gold), system_units(doc))
    return counts.figures() | {"words_per_second": round(counts.gold / seconds)}


def main() -> None:
    """Print one document of JSON, and fail below `--upos` and `--las`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pipeline", type=Path, default=Path("src/headscribe/assets/en"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ud_english_ewt"))
    parser.add_argument("--split", default="test", choices=["train", "dev", "test"])
    parser.add_argument("--upos", type=float, default=0.93, help="least UPOS, gold words")
    parser.add_argument("--las", type=float, default=0.77, help="least LAS, gold words")
    args = parser.parse_args()
    nlp = spacy.load(args.pipeline)
    documents = list(read_documents(args.data / f"{args.split}.conllu.gz"))
    list(nlp.pipe(["Warm up."] * 8))
    report = {way: evaluate(nlp, documents, way) for way in WAYS}
    print(json.dumps(report, indent=2))
    held = report["gold words"]
    if held["upos"] < args.upos or held["las"] < args.las:
        raise SystemExit(f"below UPOS {args.upos} or LAS {args.las} on {args.split}, gold words")


if __name__ == "__main__":
    main()
