"""Write the treebank as spaCy's binary documents, a few sentences to a document.

The documents hold words without their spaces, so that spaCy trains and evaluates on the
treebank's own tokenisation. Each is a run of 1 to `--sentences` sentences of one source document:
several, so that sentence starts can be learnt; sometimes one, as in short inputs. Training
documents hold a blank-line token where the source begins a paragraph, and `--curly` of them are
repeated with typographic quotes, which the treebank hardly has.
"""

import argparse
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle, zip_longest
from pathlib import Path

from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab
from treebank import Sentence, Word, read_documents


def runs(document: list[Sentence], longest: int, rng: random.Random) -> Iterator[list[Sentence]]:
    """Cut a document into consecutive runs of 1 to `longest` sentences."""
    start = 0
    while start < len(document):
        size = rng.randint(1, longest)
        yield document[start : start + size]
        start += size


def with_blank_line(sentence: Sentence) -> Sentence:
    """The sentence with a blank-line token behind it, attached to its last word as spaCy does."""
    last = len(sentence.words) - 1
    blank = Word("\n\n", "\n\n", "SPACE", "", last, "dep", space_after=False)
    return replace(sentence, words=[*sentence.words, blank])


def with_paragraphs(sentences: list[Sentence]) -> list[Sentence]:
    """The sentences, with a blank line before each that begins a paragraph."""
    return [
        with_blank_line(sentence) if following and following.breaks_paragraph else sentence
        for sentence, following in zip_longest(sentences, sentences[1:])
    ]


def with_curly_quotes(sentences: list[Sentence]) -> list[Sentence]:
    """The sentences with typographic apostrophes and quotation marks."""
    marks = cycle("“”")
    return [
        replace(
            sentence,
            words=[
                replace(
                    word,
                    form=next(marks) if word.form == '"' else word.form.replace("'", "’"),
                )
                for word in sentence.words
            ],
        )
        for sentence in sentences
    ]


def to_doc(vocab: Vocab, sentences: list[Sentence]) -> Doc:
    """A document with gold tags, lemmas, arcs and sentence starts, and no known spaces."""
    words = [word for sentence in sentences for word in sentence.words]
    heads: list[int] = []
    starts: list[bool] = []
    for sentence in sentences:
        offset = len(heads)
        heads.extend(offset + word.head for word in sentence.words)
        starts.extend(index == 0 for index in range(len(sentence.words)))
    return Doc(
        vocab,
        words=[word.form for word in words],
        pos=[word.upos for word in words],
        morphs=[word.feats for word in words],
        lemmas=[word.lemma for word in words],
        heads=heads,
        deps=[word.deprel for word in words],
        sent_starts=starts,
    )


def main() -> None:
    """Convert train and dev."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ud_english_ewt"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sentences", type=int, default=8)
    parser.add_argument("--curly", type=float, default=0.15)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(args.seed)
    vocab = Vocab()
    for split in ("train", "dev"):
        bundle = DocBin()
        for document in read_documents(args.data / f"{split}.conllu.gz"):
            for run in runs(document, args.sentences, rng):
                if split == "dev":
                    bundle.add(to_doc(vocab, run))
                    continue
                run = with_paragraphs(run)
                bundle.add(to_doc(vocab, run))
                if rng.random() < args.curly:
                    bundle.add(to_doc(vocab, with_curly_quotes(run)))
        bundle.to_disk(args.out / f"{split}.spacy")
        print(f"{split}: {len(bundle)} documents")


if __name__ == "__main__":
    main()
