"""The behaviours that every head is asked for: on which rows, reading which keys, in words."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from headscribe.core.visibility import Visibility
from headscribe.patterns.contract import Pattern
from headscribe.patterns.relational import RelationPattern
from headscribe.relations.language import Relation, parse

FAMILIES = (
    "syntax", "repetition", "word pieces", "punctuation", "sinks", "word class", "your own",
)  # fmt: skip
"""Kinds of behaviour, narrowest first: where two explain the same, the earlier kind is named."""


@dataclass(frozen=True)
class Behaviour:
    """Rows where something applies, and the keys that a head would read there.

    A row applies if the relation relates it to at least one visible content key.

    Attributes:
        name: of at most five words; it stands in the grid of heads.
        when: the rows, as in "On a noun with a determiner".
        reads: the keys, as in "the determiner".
        relation: true for each (query, key) pair that counts.
        family: one of `FAMILIES`.
        broader: names of behaviours whose keys, on these rows, include these.
        classes: names of the classes of words that a link's keys belong to.
    """

    name: str
    when: str
    reads: str
    relation: Relation
    family: str
    broader: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()

    def applies_to(self, provides: frozenset[str], visibility: Visibility) -> bool:
        """Whether texts with these word fields can show it, in layers that see these keys."""
        relation = self.relation
        return relation.needs <= provides and not (visibility.causal and relation.needs_later_keys)


CLASSES = {
    "NOUN": ("nouns", "a noun"),
    "PROPN": ("names", "a name"),
    "VERB": ("verbs", "a verb"),
    "AUX": ("auxiliaries", "an auxiliary"),
    "ADJ": ("adjectives", "an adjective"),
    "ADV": ("adverbs", "an adverb"),
    "PRON": ("pronouns", "a pronoun"),
    "DET": ("determiners", "a determiner"),
    "ADP": ("adpositions", "an adposition"),
    "CCONJ": ("coordinators", "a coordinator"),
    "SCONJ": ("subordinators", "a subordinator"),
    "PART": ("particles", "a particle"),
    "NUM": ("numbers", "a number"),
    "INTJ": ("interjections", "an interjection"),
    "PUNCT": ("punctuation", "a punctuation mark"),
}
"""Universal parts of speech: their members in the plural, and one of them."""

LINKS = {
    "acl": ("a noun's clause", "the clause's noun"),
    "advcl": ("an adverbial clause", "the clause's verb"),
    "advmod": ("an adverb", "the word it modifies"),
    "amod": ("an adjective", "its noun"),
    "appos": ("an apposition", "its noun"),
    "aux": ("an auxiliary", "its verb"),
    "case": ("a case marker", "its noun"),
    "cc": ("a coordinator", "its conjunct"),
    "ccomp": ("a clausal complement", "its verb"),
    "compound": ("a compound part", "its noun"),
    "conj": ("a conjunct", "the first conjunct"),
    "cop": ("a copula", "its predicate"),
    "det": ("a determiner", "its noun"),
    "expl": ("an expletive", "its verb"),
    "fixed": ("a fixed expression's part", "its first word"),
    "flat": ("a name's part", "its first word"),
    "iobj": ("an indirect object", "its verb"),
    "mark": ("a clause marker", "its clause"),
    "nmod": ("a noun's modifier", "the noun"),
    "nsubj": ("a subject", "its verb"),
    "nummod": ("a numeral", "its noun"),
    "obj": ("an object", "its verb"),
    "obl": ("an oblique noun", "its verb"),
    "parataxis": ("a parataxis", "its verb"),
    "xcomp": ("an open complement", "its verb"),
}
"""Universal dependency relations: the dependent with an article, and what it depends on."""

TERMS = {
    "case marker": "a word such as “of” or “in” beside its noun (case)",
    "adposition": "a word such as “of” or “in”",
    "conjunct": "each of the words that “and” or “or” joins (conj)",
    "coordinator": "“and”, “or”, “but”",
    "subordinator": "“that”, “because”, “if” and the like",
    "oblique noun": "a noun that tells where, when or how, “park” in “played in the park” (obl)",
    "noun's modifier": "a noun that hangs on another, “dog” in “the tail of the dog” (nmod)",
    "modifying noun": "a noun that hangs on another, “dog” in “the tail of the dog” (nmod)",
    "noun's clause": "a clause that tells more of a noun, “lost” in “the toy that he lost” (acl)",
    "adverbial clause": "a clause that tells when or why, “fell” in “cried when he fell” (advcl)",
    "clausal complement": "a clause that is said or thought, “left” in “said he left” (ccomp)",
    "open complement": "“play” in “wants to play” (xcomp)",
    "clause marker": "“that”, “to”, “because” before a clause (mark)",
    "apposition": "a second name of the same, “Tom” in “my friend Tom” (appos)",
    "compound part": "“ice” in “ice cream” (compound)",
    "copula": "“is” in “is happy” (cop)",
    "expletive": "“there” in “there is” (expl)",
    "parataxis": "a clause set beside another without a link (parataxis)",
    "indirect object": "whom something is given to (iobj)",
    "determiner": "“the”, “a”, “his” and the like",
    "auxiliary": "“was”, “has”, “will” and the like",
    "particle": "“to”, “not” and the like",
    "siblings": "words that depend on the same word",
    "word it depends on": "the verb for its subject, the noun for its “the”",
    "root": "the main verb, or the word that stands for it",
}
"""What terms of grammar mean, for those who do not know them; with the dependency label."""

TAGS = {
    "amod": "ADJ", "advmod": "ADV", "aux": "AUX", "case": "ADP", "cc": "CCONJ", "cop": "AUX",
    "det": "DET", "mark": "SCONJ", "nummod": "NUM",
}  # fmt: skip
"""Parts of speech of dependents, where the relation has one."""

_BARE = {"a ": "", "an ": "", "the ": "", "its ": ""}


def _without_article(words: str) -> str:
    for article in _BARE:
        if words.startswith(article):
            return words[len(article) :]
    return words


def _syntax() -> Iterable[Behaviour]:
    for label, (dependent, head) in LINKS.items():
        bare = _without_article(dependent)
        yield Behaviour(
            f"{bare} → {head}", f"On {dependent}", head,
            parse(f'query.base_dep == "{label}" and key.word == query.head'), "syntax",
            classes=tuple(f"reads {word}s" for word in ("noun", "verb") if word in head),
        )  # fmt: skip
        owner = _without_article(head)
        kinds = (ROLES.get(label), CLASSES.get(TAGS.get(label, "")))
        yield Behaviour(
            f"{owner} → its {bare}", f"On a word with {dependent}", f"its {bare}",
            parse(f'key.base_dep == "{label}" and key.head == query.word'), "syntax",
            classes=tuple(f"reads {kind[0]}" for kind in kinds if kind),
        )  # fmt: skip
    yield Behaviour(
        "word → its head", "On a word", "the word it depends on",
        parse("key.word == query.head"), "syntax",
    )  # fmt: skip
    yield Behaviour(
        "word → its dependents", "On a word with dependents", "its dependents",
        parse("key.head == query.word"), "syntax",
    )  # fmt: skip
    yield Behaviour(
        "word → its siblings", "On a word with siblings", "words of the same head",
        parse("key.head == query.head and key.word != query.word"), "syntax",
    )  # fmt: skip
    yield Behaviour(
        "word → its phrase", "On a word of a phrase", "other words of its phrase",
        parse("key.phrase == query.phrase and key.word != query.word"), "syntax",
    )  # fmt: skip


_REPETITION = (
    ("the same token elsewhere", "On a token that occurs twice", "its other occurrences",
     "key.id == query.id and distance != 0"),
    ("the same word elsewhere", "On a word that occurs twice", "its other occurrences",
     "key.lower == query.lower and key.word != query.word"),
    ("another form of it", "On a word with another form near", "other forms of the word",
     "key.lemma == query.lemma and key.lower != query.lower and key.word != query.word"),
    ("what followed it before", "On a token that occurred before", "what followed it then",
     "key.prev.id == query.id and distance < 0"),
    ("what preceded it before", "On a token that occurred before", "what preceded it then",
     "key.next.id == query.id and distance < -1"),
)  # fmt: skip

_PIECES = (
    ("pieces of its word", "On a piece of a longer word", "the word's other pieces",
     "key.run == query.run and distance != 0"),
)  # fmt: skip

UNSEEN = {"rare tokens"}
"""Behaviours that nobody sees in a text: they name a head that nothing else is found of."""

_PUNCTUATION = (
    ("the next punctuation", "Before a punctuation mark", "the next punctuation mark",
     "first(key.is_punct and distance > 0)"),
    ("the last punctuation", "After a punctuation mark", "the last punctuation mark",
     "last(key.is_punct and distance < 0)"),
    ("commas", "Where there is a comma to read", "commas", 'key.text == "," and distance != 0'),
    ("full stops", "Where there is a full stop to read", "full stops, “!” and “?”",
     'key.text in {".", "!", "?"} and distance != 0'),
    ("line breaks", "Where there is a line break to read", "line breaks",
     "key.is_line_break and distance != 0"),
    ("quotation marks", "Where there is a quotation mark to read", "quotation marks",
     "key.text in {'\"', \"'\", \"“\", \"”\", \"``\", \"''\"} and distance != 0"),
    ("its opening mark", "On a closing bracket or quote", "the one that opened it",
     "key.index == query.opening"),
)  # fmt: skip

_WORD_CLASSES = (
    ("capitalised words", "Where there is a capitalised word to read", "words with a capital",
     "key.is_upper and key.is_word_start and distance != 0"),
    ("digits", "Where there is a digit to read", "digits", "key.is_digit and distance != 0"),
    ("words in -ing", "Where there is a word in -ing to read", "words in -ing",
     'key.suffix == "ing" and key.length > 4 and key.word != query.word'),
    ("words in -ion", "Where there is a word in -ion to read", "words in -ion",
     'key.suffix == "ion" and key.length > 4 and key.word != query.word'),
    ("long words", "Where there is a long word to read", "words of eight letters or more",
     "key.length >= 8 and key.word != query.word"),
    ("short words", "Where there is a short word to read", "words of at most three letters",
     "key.length <= 3 and not key.is_punct and key.word != query.word"),
    ("rare tokens", "Where there is a rare token to read", "tokens that are rare in most texts",
     "key.id > 8000 and key.word != query.word"),
    ("its clause", "On a word of a clause", "other words of the clause",
     "key.clause == query.clause and key.word != query.word and key.word >= 0"),
    ("negations", "Where there is a negation to read", "negations",
     'key.lower in {"not", "n\'t", "t", "no", "never", "nothing", "nor", "none", "without"} '
     "and distance != 0"),
    ("roots of sentences", "Where there is the root of a sentence to read", "roots of sentences",
     "key.depth == 0 and key.word != query.word"),
    ("continued word pieces", "Where there is a split word to read", "pieces that continue a word",
     "not key.is_word_start and not key.is_special and distance != 0 and key.word >= 0"),
)  # fmt: skip

LISTS = {
    "DET": "a an the this that these those every each some any no",
    "PRON": "i you he she it we they me him her us them who what which my your his its our",
    "AUX": "is are was were be been 's do does did has have had can could will would may",
    "ADP": "of in to for with on at from by about as into like through after over between against",
    "CCONJ": "and or but nor yet",
    "SCONJ": "that if because although while when since unless though whether",
}
"""Members of the closed classes, for texts whose words carry no part of speech."""

SECOND_SINK = "the"
"""The word that models of language make a second opening token of, whatever looks
(`docs/decisions/answer.md`)."""

SINGLE = {SECOND_SINK: "determiners", "a": "determiners", "and": "coordinators"}
"""Words that many heads look at alone, whatever else is in their class."""


def _single(word: str) -> str:
    return f"rests on “{word}”" if word == SECOND_SINK else f"reads the word “{word}”"


OF_CLASS = {_single(word): f"reads {plural}" for word, plural in SINGLE.items()}
"""Behaviours of a single word, and those of its class."""

ROLES = {
    "nsubj": ("subjects", "a subject"),
    "obj": ("objects", "an object"),
    "obl": ("oblique nouns", "an oblique noun"),
    "nmod": ("modifying nouns", "a modifying noun"),
    "amod": ("adjectives of nouns", "an adjective of a noun"),
    "advmod": ("modifying adverbs", "a modifying adverb"),
    "conj": ("conjuncts", "a conjunct"),
    "root": ("roots", "a root"),
    "compound": ("compound parts", "a compound part"),
}
"""What words do in their sentence, for texts that are parsed: in the plural, and one of them."""


def _kinds() -> dict[str, tuple[str, str]]:
    """A test of a token, as a template over its side, with its members and one of them."""
    return {f'{{side}}.upos == "{tag}"': words for tag, words in CLASSES.items()}


LONG_FUNCTION_WORDS = (
    "about after through between against could would which these those every because although "
    "while since unless though whether where there"
)
"""Function words of five letters or more; longer words that are none of them are content words."""


def _lexical_kinds() -> dict[str, tuple[str, str]]:
    """The same without parts of speech: closed classes by their members, roles by the parse."""
    found = {}
    for tag, members in LISTS.items():
        quoted = ", ".join(f'"{member}"' for member in members.split())
        found[f"{{side}}.lower in {{{{{quoted}}}}}"] = CLASSES[tag]
    for label, words in ROLES.items():
        found[f'{{side}}.base_dep == "{label}"'] = words
    found["{side}.is_punct"] = ("punctuation", "a punctuation mark")
    long = ", ".join(f'"{word}"' for word in LONG_FUNCTION_WORDS.split())
    found[
        "not {side}.is_punct and not {side}.is_special and {side}.length >= 5 and "
        f"not {{side}}.lower in {{{{{long}}}}}"
    ] = ("content words", "a content word")
    return found


_IN_FULL = {"content words": "content words of five letters or more"}


def _classes(kinds: dict[str, tuple[str, str]], family: str) -> Iterable[Behaviour]:
    """Every kind of key, on all rows and on the rows of every kind."""
    for test, (plural, one) in kinds.items():
        key = test.format(side="key")
        whole, keys = f"reads {plural}", _IN_FULL.get(plural, plural)
        broader = (whole, *(word for word, of in OF_CLASS.items() if of == whole))
        yield Behaviour(
            whole, f"Where there is {one} to read", keys,
            parse(f"{key} and key.word != query.word"), family,
        )  # fmt: skip
        for other, (rows, row) in kinds.items():
            yield Behaviour(
                f"{rows} → {plural}", f"On {row}", keys,
                parse(f"{other.format(side='query')} and {key} and key.word != query.word"),
                family, broader,
            )  # fmt: skip


@cache
def behaviours() -> tuple[Behaviour, ...]:
    """All behaviours, narrowest kind first."""
    found = list(_syntax())
    for family, entries in (
        ("repetition", _REPETITION),
        ("word pieces", _PIECES),
        ("punctuation", _PUNCTUATION),
        ("word class", _WORD_CLASSES),
    ):
        found += [
            Behaviour(name, when, reads, parse(relation), family)
            for name, when, reads, relation in entries
        ]
    found += [
        Behaviour(
            _single(word), f"Where there is “{word}” to read", "that word",
            parse(f'key.text == "{word}" and distance != 0'),
            "sinks" if word == SECOND_SINK else "word class",
        )
        for word in SINGLE
    ]  # fmt: skip
    found += _classes(_kinds(), "word class")
    found += _classes(_lexical_kinds(), "word class")
    return tuple(found)


def applicable(provides: frozenset[str], visibility: Visibility) -> tuple[Behaviour, ...]:
    """Those that texts with these word fields can show, in layers that see these keys.

    Where two have one name (a class by its tags, and by a list of its members), the first that can
    be shown.
    """
    by_name: dict[str, Behaviour] = {}
    for behaviour in behaviours():
        if behaviour.applies_to(provides, visibility):
            by_name.setdefault(behaviour.name, behaviour)
    return tuple(by_name.values())


LEGIBLE = 32
"""Characters of a relation that stand for its name."""


def own_behaviours(patterns: Iterable[Pattern]) -> tuple[Behaviour, ...]:
    """Behaviours of the conditions that a user wrote."""
    found = []
    for pattern in patterns:
        if (
            isinstance(pattern, RelationPattern)
            and pattern.group == "custom"
            and pattern.relation.is_boolean
        ):
            source = pattern.relation.source
            short = source if len(source) <= LEGIBLE else f"{source[: LEGIBLE - 1]}…"
            name = short if pattern.name.startswith("own:") else pattern.name
            found.append(
                Behaviour(
                    name, f"Where {source}", "the keys of that relation", pattern.relation,
                    "your own",
                )
            )  # fmt: skip
    return tuple({behaviour.name: behaviour for behaviour in found}.values())
