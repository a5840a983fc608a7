"""Annotators: what finds the words of a text, their tags and trees."""

import os

from headscribe.core.extensions import extensions
from headscribe.text.annotators.conllu import Gold
from headscribe.text.annotators.contract import Annotator
from headscribe.text.annotators.plain import Plain
from headscribe.text.corpora import Corpus

__all__ = ["Annotator", "Gold", "Plain", "annotator", "default_for"]

ENTRY_POINTS = "headscribe.annotators"
"""The group of entry points by which installed packages add annotators."""

DEFAULT = "bundled:en"


def annotator(spec: str, corpus: Corpus | None = None) -> Annotator:
    """The annotator of a name.

    Args:
        spec: `plain` (words only), `conllu` (the gold words of the corpus), `bundled:en`, the name
            of one that an installed package adds, or the name or the folder of a spaCy pipeline,
            whose trees are left out unless its labels are those of Universal Dependencies.
        corpus: what will be annotated; `conllu` then provides only what all its texts have, and a
            pipeline notes if the texts seem to be in another language than its own.

    >>> sorted(annotator("plain").provides)
    []

    Raises:
        UsageError: no such annotator, a damaged pipeline, or `conllu` for a corpus without gold
            words.
    """
    if spec == "plain":
        return Plain()
    if spec == "conllu":
        return Gold() if corpus is None else Gold.of(corpus)
    for added in extensions(ENTRY_POINTS, Annotator).values():  # type: ignore[type-abstract]
        if added.name == spec:
            return added
    from headscribe.text.annotators.spacy import load

    spacy = load(os.path.expanduser(spec))
    return spacy if corpus is None else spacy.insisted([text.text for text in corpus])


def default_for(corpus: Corpus) -> Annotator:
    """Gold words where all texts of the corpus have them, else `bundled:en`.

    Where the texts seem not to be English, words only, with a note that says why.

    >>> from headscribe.text.corpora import from_strings
    >>> default_for(from_strings(["今日は天気がいいです。"])).name
    'plain'

    Raises:
        UsageError: the bundled pipeline is missing or damaged.
    """
    if all(text.words is not None for text in corpus):
        return annotator("conllu", corpus)
    from headscribe.text.annotators.spacy import load

    spacy = load(DEFAULT)
    doubt = spacy.language.doubt([text.text for text in corpus])
    if doubt is not None and doubt.refused:
        return Plain(
            notes=(
                f"the texts seem not to be {spacy.language.name}: {doubt.reason}. Words only, no "
                f"tags and trees; --annotator {DEFAULT} insists on them",
            )
        )
    return spacy if doubt is None else spacy.insisted([text.text for text in corpus])
