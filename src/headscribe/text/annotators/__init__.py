"""Annotators: what finds the words of a text, their tags and trees."""

import os

from headscribe.text.annotators.conllu import Gold
from headscribe.text.annotators.contract import Annotator
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Corpus

__all__ = ["Annotator", "Gold", "Plain", "annotator", "default_for"]


def annotator(spec: str, corpus: Corpus | None = None) -> Annotator:
    """The annotator of a name.

    Args:
        spec: `plain` (words only), `conllu` (the gold words of the corpus), `bundled:en`, or the
            name or the folder of a spaCy pipeline with Universal Dependencies labels.
        corpus: what will be annotated; `conllu` then provides only what all its texts have.

    Raises:
        UsageError: no such annotator, a damaged pipeline, labels other than Universal
            Dependencies, or `conllu` for a corpus without gold words.
    """
    if spec == "plain":
        return Plain()
    if spec == "conllu":
        return Gold() if corpus is None else Gold.of(corpus)
    from headscribe.text.annotators.spacy import load

    return load(os.path.expanduser(spec))


def default_for(corpus: Corpus) -> Annotator:
    """Gold words where all texts of the corpus have them, else `bundled:en`.

    Raises:
        UsageError: the bundled pipeline is missing or damaged.
    """
    gold = all(text.words is not None for text in corpus)
    return annotator("conllu" if gold else "bundled:en", corpus)
