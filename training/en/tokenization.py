"""spaCy's English tokenizer, brought closer to the treebank's words.

The rules were read off the training split. They are stored with the pipeline, so loading it needs
nothing from here.
"""

from spacy.language import Language
from spacy.symbols import ORTH
from spacy.util import compile_infix_regex, compile_prefix_regex, compile_suffix_regex

BOUND = (
    "anti|co|cross|e|ex|inter|intra|macro|mega|meta|micro|mid|mini|mis|multi|non|over|post|pre|pro"
    "|pseudo|quasi|re|semi|sub|super|trans|ultra|un"
)
"""What a hyphen does not cut off: "e-mail" is a word, "well-known" is three."""

RUNS = [r"[!?]{2,}", r"<{2,}", r">{2,}", r"\*{2,}", r"={2,}", r"_{2,}", r"-{2,}", r"~{2,}"]
"""Repeated marks that stay together."""

RANGE = r"(?:(?<=\b[0-9])|(?<=\b[0-9]{2}))-(?=[0-9]{1,2}\b(?!-))"
"""The hyphen of "5-10", not of a telephone number."""

ABBREVIATIONS = ["Lt.", "Col.", "Ft.", "Sr.", "lb.", "oz.", "yrs.", "Blvd."]

UNWANTED = ["wed", "Wed", "id", "Id", "and/or"]
"""spaCy reads the first as "we'd" and "I'd" without the apostrophe, and the last as one word."""


def hyphen_rules(infixes: list[str]) -> list[str]:
    """The infix rules, with hyphens kept between digits and after bound prefixes."""
    bound = "".join(rf"(?<!\b(?i:{prefix}))" for prefix in BOUND.split("|"))
    kept = []
    for rule in infixes:
        if rule.startswith(r"(?<=[0-9])[+\-\*^]"):
            kept.append(r"(?<=[0-9])[+\*^](?=[0-9-])")
        elif "--" in rule and rule.startswith("(?<=["):
            kept.append(bound + rule)
        else:
            kept.append(rule)
    return kept


def adapt_tokenizer(nlp: Language) -> None:
    """Give the pipeline's tokenizer the rules above."""
    defaults = nlp.Defaults
    tokenizer = nlp.tokenizer
    infixes = [RANGE, r"(?<=\band)/(?=or\b)", *hyphen_rules(list(defaults.infixes))]
    tokenizer.prefix_search = compile_prefix_regex([*RUNS, *defaults.prefixes]).search
    tokenizer.suffix_search = compile_suffix_regex([*RUNS, *defaults.suffixes]).search
    tokenizer.infix_finditer = compile_infix_regex(infixes).finditer
    tokenizer.rules = {
        text: parts for text, parts in tokenizer.rules.items() if text not in UNWANTED
    }
    for abbreviation in ABBREVIATIONS:
        tokenizer.add_special_case(abbreviation, [{ORTH: abbreviation}])
