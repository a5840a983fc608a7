"""Syntactic patterns: links of the Universal Dependencies tree, parts of speech, phrases."""

from typing import TYPE_CHECKING

from headscribe.patterns.relational import relation_pattern

if TYPE_CHECKING:
    from headscribe.patterns.registry import Registry

CLARK = "Clark et al. 2019"
HTUT = "Htut et al. 2019"
HERE = "Headscribe"
UNIVERSAL = "Universal Dependencies 2; " + CLARK
SLIDES = "exploratory slides on BERT and TinyStories"

RELATIONS = {
    "acl": "clausal modifier of a noun",
    "advcl": "adverbial clause",
    "advmod": "adverbial modifier",
    "amod": "adjectival modifier",
    "appos": "apposition",
    "aux": "auxiliary",
    "case": "case marker",
    "cc": "coordinating conjunction",
    "ccomp": "clausal complement",
    "clf": "classifier",
    "compound": "compound part",
    "conj": "conjunct",
    "cop": "copula",
    "csubj": "clausal subject",
    "dep": "unspecified dependent",
    "det": "determiner",
    "discourse": "discourse element",
    "dislocated": "dislocated element",
    "expl": "expletive",
    "fixed": "part of a fixed expression",
    "flat": "part of a flat expression",
    "goeswith": "part of a broken word",
    "iobj": "indirect object",
    "list": "list element",
    "mark": "clause marker",
    "nmod": "nominal modifier",
    "nsubj": "nominal subject",
    "nummod": "numeric modifier",
    "obj": "object",
    "obl": "oblique nominal",
    "orphan": "orphan of an ellipsis",
    "parataxis": "parataxis",
    "punct": "punctuation mark",
    "reparandum": "overridden disfluency",
    "vocative": "vocative",
    "xcomp": "open clausal complement",
}
"""The universal relations other than the root, subtypes included in each."""

_VERB_ADPOSITION = (
    '{one}.upos == "VERB" and {two}.upos == "ADP" and '
    "({one}.word == {two}.head or {one}.word == {two}.grandparent)"
)

_ENTRIES: tuple[tuple[str, str | None, str, str, str], ...] = (
    ("siblings", None, "Every word attends to the other children of its head.",
     "key.head == query.head and key.word != query.word", HTUT),
    ("grandparent", "grandchildren", "Every word attends to the head of its head.",
     "key.word == query.grandparent", HERE),
    ("grandchildren", "grandparent", "Every word attends to the children of its children.",
     "key.grandparent == query.word", HERE),
    ("other_part_of_speech", None, "Every token attends to all tokens of another part of speech.",
     "key.upos != query.upos", SLIDES),
    ("same_phrase", None,
     "Every token attends to the other tokens of its phrase: a noun with its determiners, "
     "adjectives, compounds, possessives and case markers.",
     "key.phrase == query.phrase and distance != 0", HERE),
    ("root", None, "Every token attends to the roots of the sentences.", "key.depth == 0", HERE),
    ("verb_to_object", "object_to_verb", "A verb attends to its objects.",
     'query.upos == "VERB" and key.head == query.word and key.base_dep in {"iobj", "obj"}',
     SLIDES),
    ("object_to_verb", "verb_to_object", "An object attends to its verb.",
     'key.upos == "VERB" and key.word == query.head and query.base_dep in {"iobj", "obj"}',
     SLIDES),
    ("verb_to_adposition", "adposition_to_verb",
     "A verb attends to its particles and to the adpositions of its dependents.",
     _VERB_ADPOSITION.format(one="query", two="key"), SLIDES),
    ("adposition_to_verb", "verb_to_adposition",
     "An adposition attends to the verb that its phrase, or itself, depends on.",
     _VERB_ADPOSITION.format(one="key", two="query"), SLIDES),
    ("same_lemma", None,
     "Every token attends to the other tokens whose words have the same dictionary form.",
     "key.lemma == query.lemma and key.word != query.word", HERE),
    ("pronoun_to_noun", None,
     "A pronoun attends to the nearest noun or proper noun before it that does not differ in "
     "number.", 'last(query.upos == "PRON" and key.upos in {"NOUN", "PROPN"} and distance < 0 '
     "and not key.number != query.number)", f"{CLARK}: coreference, by rule"),
)  # fmt: skip


def register(registry: "Registry") -> None:
    """Register the syntactic patterns, the universal relations in both directions."""
    entries = list(_ENTRIES)
    for label, meaning in RELATIONS.items():
        up, down = f"to_head:{label}", f"to_children:{label}"
        a = "An" if meaning[0] in "aeiou" else "A"
        entries += [
            (up, down, f"{a} {meaning} ({label}) attends to its head.",
             f'key.word == query.head and query.base_dep == "{label}"', UNIVERSAL),
            (down, up, f"A head attends to its dependents of the kind {meaning} ({label}).",
             f'key.head == query.word and key.base_dep == "{label}"', UNIVERSAL),
        ]  # fmt: skip
    for name, mirror, sentence, relation, source in entries:
        registry.register(
            relation_pattern(name, sentence, relation, source, "syntactic", mirror=mirror)
        )
