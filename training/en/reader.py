"""The corpus reader that `config.cfg` names: treebank documents as training examples.

An example keeps the treebank's own words *and* spaces (spaCy's readers give up one of them), and is
a run of one to `longest` sentences of one source document: several, so that sentence starts can be
learnt; sometimes one, as in short inputs. Each of `passes` over the treebank draws anew where runs
begin and how they are altered: lower case, typographic quotes, line breaks.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import cycle, pairwise
from pathlib import Path

from spacy.language import Language
from spacy.tokens import Doc
from spacy.training import Example
from spacy.util import registry
from spacy.vocab import Vocab
from stories import generate_document
from treebank import Sentence, Word, read_documents


@dataclass(frozen=True)
class Alterations:
    """How often a run is altered."""

    lower: float
    """Share of runs in lower case."""
    curly: float
    """Share of runs with typographic quotes."""
    wrapped: float
    """Share of runs with line breaks and double blanks strewn in."""
    paragraphs: bool
    """Whether a line break stands before each sentence that begins a paragraph."""


def runs(document: list[Sentence], longest: int, rng: random.Random) -> Iterator[list[Sentence]]:
    """Cut a document into consecutive runs of 1 to `longest` sentences."""
    start = 0
    while start < len(document):
        size = rng.randint(1, longest)
        yield document[start : start + size]
        start += size


def with_blank(sentence: Sentence, index: int, blank: str) -> Sentence:
    """The sentence with a token of blanks behind word `index`, attached to it as spaCy does."""
    words = [replace(word, head=word.head + (word.head > index)) for word in sentence.words]
    words[index] = replace(words[index], space_after=blank == " ")
    words.insert(index + 1, Word(blank, blank, "SPACE", "", index, "dep", space_after=False))
    return replace(sentence, words=words)


def with_paragraphs(sentences: list[Sentence], rng: random.Random) -> list[Sentence]:
    """The sentences, with a line break before each that begins a paragraph."""
    return [
        with_blank(sentence, len(sentence.words) - 1, rng.choice(["\n\n", "\n\n", "\n"]))
        if following.breaks_paragraph
        else sentence
        for sentence, following in pairwise(sentences)
    ] + sentences[-1:]


def with_stray_blanks(sentences: list[Sentence], rng: random.Random) -> list[Sentence]:
    """The sentences, most of them with a line break or a second blank between two words."""
    altered = []
    for sentence in sentences:
        places = [index for index, word in enumerate(sentence.words) if word.space_after]
        if places and rng.random() < 0.8:
            sentence = with_blank(sentence, rng.choice(places), rng.choice(["\n", "\n", " "]))
        altered.append(sentence)
    return altered


def with_forms(sentences: list[Sentence], change: Callable[[str], str]) -> list[Sentence]:
    """The sentences with every form changed."""
    return [
        replace(sentence, words=[replace(word, form=change(word.form)) for word in sentence.words])
        for sentence in sentences
    ]


def with_curly_quotes(sentences: list[Sentence]) -> list[Sentence]:
    """The sentences with typographic apostrophes and quotation marks."""
    marks = cycle("“”")
    return with_forms(
        sentences, lambda form: next(marks) if form == '"' else form.replace("'", "’")
    )


def altered(sentences: list[Sentence], how: Alterations, rng: random.Random) -> list[Sentence]:
    """A run after the alterations that chance chose for it."""
    if how.paragraphs:
        sentences = with_paragraphs(sentences, rng)
    if rng.random() < how.wrapped:
        sentences = with_stray_blanks(sentences, rng)
    if rng.random() < how.curly:
        sentences = with_curly_quotes(sentences)
    if rng.random() < how.lower:
        sentences = with_forms(sentences, str.lower)
    return sentences


def to_example(vocab: Vocab, sentences: list[Sentence]) -> Example:
    """The bare words and spaces beside the same with gold tags, lemmas, arcs and starts."""
    words = [word for sentence in sentences for word in sentence.words]
    forms = [word.form for word in words]
    spaces = [word.space_after for word in words]
    heads: list[int] = []
    starts: list[bool] = []
    for sentence in sentences:
        offset = len(heads)
        heads.extend(offset + word.head for word in sentence.words)
        starts.extend(index == 0 for index in range(len(sentence.words)))
    gold = Doc(
        vocab,
        words=forms,
        spaces=spaces,
        pos=[word.upos for word in words],
        morphs=[word.feats for word in words],
        lemmas=[word.lemma for word in words],
        heads=heads,
        deps=[word.deprel for word in words],
        sent_starts=starts,
    )
    return Example(Doc(vocab, words=forms, spaces=spaces), gold)


@registry.readers("headscribe.Treebank.v1")
def treebank_reader(
    path: str,
    longest: int,
    passes: int,
    seed: int,
    generated: int = 0,
    lower: float = 0.0,
    curly: float = 0.0,
    wrapped: float = 0.0,
    paragraphs: bool = False,
) -> Callable[[Language], Iterator[Example]]:
    """A reader of one CoNLL-U file and of `generated` sentences in each pass over it.

    The same seed gives the same examples on every call.
    """
    how = Alterations(lower, curly, wrapped, paragraphs)

    def read(nlp: Language) -> Iterator[Example]:
        rng = random.Random(seed)
        documents = list(read_documents(Path(path)))
        for _ in range(passes):
            stories = [generate_document(longest, rng) for _ in range(generated // longest)]
            for document in documents + stories:
                for run in runs(document, longest, rng):
                    yield to_example(nlp.vocab, altered(run, how, rng))

    return read
