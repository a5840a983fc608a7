"""Universal Dependencies labels, and the older names that mean the same."""

from collections.abc import Iterable, Sequence

from headscribe.core.errors import UsageError

_RELATIONS = """
acl advcl advmod amod appos aux case cc ccomp clf compound conj cop csubj dep det discourse
dislocated expl fixed flat goeswith iobj list mark nmod nsubj nummod obj obl orphan parataxis
punct reparandum root vocative xcomp
"""

RELATIONS = frozenset(_RELATIONS.split())
"""The 37 relations of Universal Dependencies 2; a label may add a subtype, `nsubj:pass`."""

RENAMED = {
    "ROOT": "root",
    "dobj": "obj",
    "nsubjpass": "nsubj:pass",
    "csubjpass": "csubj:pass",
    "auxpass": "aux:pass",
    "neg": "advmod",
    "name": "flat",
    "mwe": "fixed",
    "foreign": "flat:foreign",
    "relcl": "acl:relcl",
    "poss": "nmod:poss",
    "prt": "compound:prt",
    "predet": "det:predet",
    "preconj": "cc:preconj",
    "npadvmod": "obl:unmarked",
    "intj": "discourse",
}
"""Names of Universal Dependencies 1 and of spaCy for the same arc between the same words."""

RESHAPED = frozenset(["prep", "pobj", "pcomp", "attr", "acomp", "agent", "dative", "oprd"])
"""Labels of spaCy's English trees whose arcs run between other words than in Universal
Dependencies (prepositions over their nouns, copulas over their predicates): no renaming helps."""


def universal(label: str) -> str:
    """The Universal Dependencies name of a label.

    Raises:
        UsageError: there is none that would be true of the same arc.
    """
    renamed = RENAMED.get(label, label)
    if renamed.partition(":")[0] not in RELATIONS:
        raise UsageError(refusal([label]))
    return renamed


def strange_labels(labels: Iterable[str]) -> list[str]:
    """Those of a parser's labels that have no Universal Dependencies name, in order."""
    parts = {part for label in labels for part in label.split("||")}
    return sorted(p for p in parts if RENAMED.get(p, p).partition(":")[0] not in RELATIONS)


def refusal(labels: Sequence[str]) -> str:
    """Why trees with these labels cannot be used, and what can."""
    shown = ", ".join(labels[:8]) + (", ..." if len(labels) > 8 else "")
    why = "; its trees have another shape, which renaming cannot mend" * bool(
        RESHAPED.intersection(labels)
    )
    return (
        f"expected Universal Dependencies labels, got {shown}{why}; what works: bundled:en, a "
        "spaCy pipeline trained on a Universal Dependencies treebank, or .conllu files"
    )
