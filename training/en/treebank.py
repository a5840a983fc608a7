"""Read CoNLL-U documents: words with their tags and arcs, grouped by `# newdoc`."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Word:
    """A syntactic word: its columns, and whether a blank follows it."""

    form: str
    lemma: str
    upos: str
    feats: str
    head: int
    """0-based index within the sentence; the word's own index for the root."""
    deprel: str
    space_after: bool


@dataclass
class Sentence:
    """A sentence and the text it was cut from."""

    text: str = ""
    words: list[Word] = field(default_factory=list)
    breaks_paragraph: bool = False


def columns(line: str) -> list[str]:
    """The ten columns of a CoNLL-U line; an error names the line."""
    cells = line.split("\t")
    if len(cells) != 10:
        raise ValueError(f"expected 10 tab-separated columns, got {len(cells)}: {line!r}")
    return cells


def parse_words(lines: list[str]) -> list[Word]:
    """The words of one sentence.

    Words of a multiword token ("don't" = "do" + "n't") are joined without a blank; the token's
    own `SpaceAfter` stands behind its last word. Empty nodes (`8.1`) are skipped.
    """
    words: list[Word] = []
    last_of_range, range_space = 0, True
    for cells in map(columns, lines):
        number, form, lemma, upos, _, feats, head, deprel, _, misc = cells
        space = "SpaceAfter=No" not in misc.split("|")
        if "-" in number:
            last_of_range, range_space = int(number.split("-")[1]), space
            continue
        if "." in number:
            continue
        index = int(number)
        if index < last_of_range:
            space = False
        elif index == last_of_range:
            space = range_space
        words.append(
            Word(
                form=form,
                lemma="" if lemma == "_" != form else lemma,
                upos=upos,
                feats="" if feats == "_" else feats,
                head=int(head) - 1 if head != "0" else index - 1,
                deprel="ROOT" if deprel == "root" else deprel,
                space_after=space,
            )
        )
    return words


def read_documents(path: Path) -> Iterator[list[Sentence]]:
    """The documents of a CoNLL-U file (gzip or plain), each a list of sentences."""
    opener = gzip.open if path.suffix == ".gz" else open
    document: list[Sentence] = []
    sentence, lines = Sentence(), []
    with opener(path, "rt", encoding="utf-8") as stream:
        for raw in stream:
            line = raw.rstrip("\n")
            if line.startswith("# newdoc") and document:
                yield document
                document = []
            if line.startswith("# newpar"):
                sentence.breaks_paragraph = True
            elif line.startswith("# text = "):
                sentence.text = line.removeprefix("# text = ")
            elif line and not line.startswith("#"):
                lines.append(line)
            elif not line and lines:
                sentence.words = parse_words(lines)
                document.append(sentence)
                sentence, lines = Sentence(), []
    if document:
        yield document
