"""Descriptions: what a head does in at most 40 words, with relations that say the same."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

from pydantic import Field, field_validator

from headscribe.behaviours.card import COMMON, UNNAMED, Card
from headscribe.discovery.clients import prompt_key
from headscribe.discovery.code import InvalidError
from headscribe.discovery.evidence import TOKENS, evidence
from headscribe.discovery.ledger import Ledger
from headscribe.discovery.material import Material
from headscribe.discovery.neutral import neutral
from headscribe.discovery.prompting import attributes, mark_of, render, title
from headscribe.discovery.proposals import ParseFailure, Part, ProposedClass, parse_reply
from headscribe.discovery.refit import usable
from headscribe.discovery.study import HeadTask
from headscribe.fitting.classes import LARGEST, WordClass
from headscribe.relations import Relation

DESCRIBE = "describe-1"
"""The prompt that asks for a description."""

TRIES = 2
"""Times that a language model may answer a prompt, should its answer not be readable."""

WORDS = 40

TEMPLATE = "template"
"""Who writes descriptions without a language model."""

SHOWN_BEHAVIOURS = 6

_PLACES = {
    "the previous token": ("Reads the previous token", "distance == -1"),
    "the next token": ("Reads the next token", "distance == 1"),
    "itself": ("Reads the token itself", "distance == 0"),
    "looks nearby": ("Reads the four tokens around", "abs(distance) <= 2 and distance != 0"),
    "spreads evenly": ("Spreads its attention evenly", ""),
    "rests on the opening token": ("Rests on the opening token", ""),
    "rests on closing tokens": ("Rests on the tokens that end a text", ""),
    "rests on special tokens": ("Rests on special tokens", ""),
}
"""Names of places, with what a template says of them and the relation that says the same."""

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Description:
    """What somebody says that a head does.

    Attributes:
        head: the head, `7.10`.
        writer: who says so: `template`, or the language model's name.
        text: at most 40 words; "" where there is none.
        relations: the same, ready to be evaluated.
        written: the relations as they were written, classes by name.
        classes: the word classes that they name.
        source: the prompt's version and the exchange's key; "card" of a template.
        problem: why there is none, or what was left out of it.
    """

    head: str
    writer: str
    text: str
    relations: tuple[Relation, ...] = ()
    written: tuple[str, ...] = ()
    classes: tuple[WordClass, ...] = ()
    source: str = "card"
    problem: str = ""


class Described(Part):
    """What a language model answers."""

    description: Annotated[str, Field(min_length=1, max_length=1000)]
    relations: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...],
        Field(min_length=1, max_length=8),
    ]
    classes: Annotated[tuple[ProposedClass, ...], Field(max_length=4)] = ()

    @field_validator("description")
    @classmethod
    def _short(cls, text: str) -> str:
        if len(text.split()) > WORDS:
            raise ValueError(f"expected at most {WORDS} words, got {len(text.split())}")
        return text


def answered(
    ledger: Ledger,
    version: str,
    prompt_of: Callable[[int, str], str],
    read: Callable[[str], Answer | ParseFailure],
) -> tuple[Answer | ParseFailure, str]:
    """Ask, and once more where the answer could not be read; the answer and where it came from.

    Args:
        prompt_of: the prompt, given its number from 1 and what is to be said of the last answer.

    Raises:
        BudgetReachedError: the next call could cost more than is left.
        RunError: no answer.
    """
    said = ""
    for number in range(1, TRIES + 1):
        prompt = prompt_of(number, said)
        parse_failure = read(ledger.ask(prompt).text)
        if not isinstance(parse_failure, ParseFailure):
            break
        said = f"\nYour last answer could not be read: {parse_failure}\n"
    return parse_failure, f"{version}:{prompt_key(prompt)}"


def by_language_model(
    study: HeadTask, card: Card, ledger: Ledger, writer: str, tokens: int = TOKENS
) -> Description:
    """A description by a language model, from the head's card and its evidence on `fit`."""
    shown = evidence(study, tokens, {"card": card_shown(card)})
    material, head = study.material, str(study.head)

    def prompt_of(number: int, said: str) -> str:
        causal = material.visibility.causal
        return render(
            DESCRIBE,
            {
                "title": title(material.model, f"head {head}", number, DESCRIBE),
                "attributes": attributes(causal=False),  # whoever describes sees the whole text
                "largest": str(LARGEST),
                "causal": "\nThis head sees itself and earlier tokens only.\n" if causal else "",
                "mark": mark_of(shown.text),
                "evidence": shown.text,
                "said": said,
            },
        )

    def read(reply: str) -> Description | ParseFailure:
        found = parse_reply(reply, Described)
        if isinstance(found, ParseFailure):
            return found
        try:
            classes = tuple(proposed.made for proposed in found.classes)
            relations, notes = _usable(material, found.relations, classes)
        except InvalidError as error:
            return ParseFailure("schema", f"relations: {error}")
        text = neutral(found.description, 1000)
        return Description(
            head, writer, text, relations, found.relations, classes, problem="; ".join(notes)
        )

    made, source = answered(ledger, DESCRIBE, prompt_of, read)
    if isinstance(made, ParseFailure):
        return Description(head, writer, "", source=source, problem=str(made))
    return replace(made, source=source)


def by_template(study: HeadTask, card: Card) -> Description:
    """A description made of a head's card: its place, then its behaviours, the largest first."""
    parts: list[tuple[str, str]] = []
    if card.name in _PLACES:
        parts.append(_PLACES[card.name])
    elif card.name == COMMON:
        words = re.findall("“([^”]+)”", card.sentence)
        most = f", most often {', '.join(f'“{word}”' for word in words)}" if words else ""
        parts.append((f"Reads the same tokens from everywhere{most}", _any_of(words)))
    for figure in card.figures:
        if figure.listed:
            parts.append((f"{figure.when}, it reads {figure.reads}", figure.relation))
    if card.name == UNNAMED:
        parts.append(("Nothing that was asked for explains what it reads", ""))
    said: list[str] = []
    relations: list[str] = []
    for sentence, relation in parts:
        if len(" ".join([*said, sentence]).split()) > WORDS:
            break
        said.append(sentence)
        relations += [relation] if relation else []
    text = neutral(". ".join(said) + ".", 1000)
    try:
        ready, notes = _usable(study.material, relations, ()) if relations else ((), [])
    except InvalidError as error:
        ready, notes = (), [str(error)]
    return Description(
        str(study.head), TEMPLATE, text, ready, tuple(relations), problem="; ".join(notes)
    )


def card_shown(card: Card) -> dict[str, object]:
    """A card as a prompt shows it."""
    return {
        "name": None if card.name == UNNAMED else neutral(card.name),
        "sentence": neutral(card.sentence, 1000),
        "behaviours": [
            [figure.when, figure.reads,
             *(round(figure.confirmed[n], 2) for n in ("share", "excess")), figure.relation]
            for figure in card.figures
            if figure.listed
        ][:SHOWN_BEHAVIOURS],
        "budget": {part: round(share, 2) for part, share in card.budget if share >= 0.01},
    }  # fmt: skip


def _usable(
    material: Material, written: tuple[str, ...] | list[str], classes: tuple[WordClass, ...]
) -> tuple[tuple[Relation, ...], list[str]]:
    """The relations of a description; they may read tags of the whole text, as whoever judges."""
    relations, notes = usable(replace(material, look_ahead=True), written, classes)
    return tuple(relations), notes


def _any_of(words: list[str]) -> str:
    """The relation of keys that are one of some words; "" without any."""
    if len(words) < 2:
        return "".join(f"key.lower == {_quoted(word)}" for word in words)
    return f"key.lower in {{{', '.join(map(_quoted, words))}}}"


def _quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
