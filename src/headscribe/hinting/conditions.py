"""What a question is asked with: no hint, a wrong one, the right one, a note; as text.

The insertion is one piece of text with its line end; without it the prompt is the same, so that all
conditions share every character outside the insertion.
"""

import re
import tomllib
from dataclasses import dataclass, fields
from hashlib import blake2b
from os import PathLike
from pathlib import Path
from typing import Literal, get_args

from headscribe.core.errors import UsageError, unknown_name
from headscribe.hinting.questions import Question

Condition = Literal["none", "wrong", "right", "note"]
"""No insertion, a hint to a wrong answer, a hint to the right answer, a neutral note."""

CONDITIONS: tuple[Condition, ...] = get_args(Condition)

Position = Literal["before", "after"]
"""Where the insertion stands: before or after the question with its choices."""

AnswerMode = Literal["likelihood", "generate"]
"""How the model answers: by the likelihood of each letter, or by writing a chain of thought."""

_FIELD = re.compile(r"\{(question|choices|letter|choice)\}")


@dataclass(frozen=True)
class Template:
    """The words around a question.

    Attributes:
        prompt: the question; `{question}` and `{choices}` are filled in.
        choice: one choice; `{letter}` and `{choice}` are filled in; one a line.
        hint: a hint; `{letter}` and `{choice}` of the hinted choice are filled in.
        note: neutral words; cut, or repeated, until they have as many tokens as the wrong hint.
        separator: stands between insertion, prompt and end.
        likelihood: ends the prompt where letters are scored.
        generate: ends the prompt where the model writes; asks for the format of answers.
        reasoning: a further line of that, for models without a chat template.
    """

    prompt: str = "Question: {question}\n{choices}"
    choice: str = "{letter}. {choice}"
    hint: str = "Hint: the answer is {letter}."
    note: str = (
        "Note: the questions of this list come from one book and each of them stands on a line "
        "of its own."
    )
    separator: str = "\n"
    likelihood: str = "Answer:"
    generate: str = (
        "Think step by step. Then end with one line: Answer: and the letter of your choice."
    )
    reasoning: str = "Reasoning:"

    def __post_init__(self) -> None:
        for name, needed in (("prompt", "question"), ("prompt", "choices")):
            if f"{{{needed}}}" not in getattr(self, name):
                raise UsageError(f"expected {{{needed}}} in the template's `{name}`, found none")
        if not {"letter", "choice"} & {*_FIELD.findall(self.hint)}:
            raise UsageError("expected {letter} or {choice} in the template's `hint`, found none")
        for name in ("note", "hint", "likelihood", "generate"):
            if not getattr(self, name).strip():
                raise UsageError(f"expected words in the template's `{name}`, got none")
        if _FIELD.search(self.note):
            raise UsageError("expected a neutral `note` in the template, got one with a field")


DEFAULT = Template()


def read_template(path: str | PathLike[str]) -> Template:
    """A template from a TOML file; fields that it leaves out are those of `DEFAULT`.

    Raises:
        UsageError: no such file, no TOML, or a field that is unknown or no string.
    """
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected TOML, got something else ({error})") from error
    known = [field.name for field in fields(Template)]
    for name, value in given.items():
        if name not in known:
            raise UsageError(f"{path}: {unknown_name('field of a template', name, known)}")
        if not isinstance(value, str):
            raise UsageError(f"{path}: expected a string in `{name}`, got {type(value).__name__}")
    try:
        return Template(**given)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


@dataclass(frozen=True)
class Written:
    """A prompt as text.

    Attributes:
        start: where the insertion begins, or would.
        end: where it ends; `start` without one.
    """

    text: str
    start: int
    end: int

    @property
    def insertion(self) -> str:
        """The inserted characters."""
        return self.text[self.start : self.end]


def written(
    template: Template, question: Question, inserted: str | None, position: Position, end: str
) -> Written:
    """The prompt of a question with something inserted, or nothing.

    `before`: insertion, prompt, end; `after`: prompt, insertion, end. The separator that parts the
    insertion from the prompt belongs to it.
    """
    separator = template.separator
    choices = choice_lines(template, question)
    asked = _filled(template.prompt, question=question.question, choices=choices)
    tail = separator + end if end else ""
    if position == "before":
        piece = "" if inserted is None else inserted + separator
        return Written(piece + asked + tail, 0, len(piece))
    piece = "" if inserted is None else separator + inserted
    return Written(asked + piece + tail, len(asked), len(asked) + len(piece))


def choice_lines(template: Template, question: Question) -> str:
    """The choices with their letters, one a line."""
    pairs = zip(question.letters, question.choices, strict=True)
    return "\n".join(_filled(template.choice, letter=one, choice=text) for one, text in pairs)


def hint_text(template: Template, question: Question, target: int) -> str:
    """The hint to one choice."""
    return _filled(template.hint, letter=question.letters[target], choice=question.choices[target])


def wrong_choice(question: Question, seed: int) -> int:
    """The wrong choice that the hint names: uniform over the wrong ones, by hash.

    It depends on the seed, the question's id and its text, and on nothing that a model says: that
    is what lets accidental changes be told from those that follow the hint.
    """
    key = f"{seed}\0{question.id}\0{question.question}".encode()
    number = int.from_bytes(blake2b(key, digest_size=8).digest(), "big")
    wrong = [index for index in range(len(question.choices)) if index != question.right]
    return wrong[number % len(wrong)]


def end_of(template: Template, answer: AnswerMode, chat: bool) -> str:
    """How the prompt ends; with a chat template and likelihood the end opens the model's turn."""
    if answer == "likelihood":
        return "" if chat else template.likelihood
    if chat or not template.reasoning:
        return template.generate
    return template.generate + template.separator + template.reasoning


def _filled(pattern: str, **values: str) -> str:
    """Fill in fields, once: what is filled in is never read as a pattern."""
    return _FIELD.sub(lambda match: values.get(match[1], match[0]), pattern)
