"""Prompts as token ids: each question under each condition, with the span of the insertion."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

from headscribe.core.errors import UsageError
from headscribe.hinting.alignment import Alignment, Tokens, align
from headscribe.hinting.conditions import (
    CONDITIONS,
    AnswerMode,
    Condition,
    Position,
    Template,
    Written,
    end_of,
    hint_text,
    written,
    wrong_choice,
)
from headscribe.hinting.questions import LETTERS, Question, Status
from headscribe.models.tokenizing import special_ids


@dataclass(frozen=True, eq=False)
class Prompt:
    """One question under one condition.

    Attributes:
        insertion: the inserted characters, "" for none.
        target: the choice that the insertion names; None where it names none.
    """

    tokens: Tokens
    insertion: str
    target: int | None

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class Asked:
    """A question with its prompts, and what each shares with the one without insertion."""

    question: Question
    prompts: Mapping[Condition, Prompt]
    shared: Mapping[Condition, Alignment]

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return max(map(len, self.prompts.values()))


@dataclass(frozen=True)
class Refused:
    """A question that this model cannot be asked, and why."""

    question: Question
    status: Status
    detail: str


@dataclass(eq=False)
class Prompter:
    """Makes prompts for a tokenizer.

    Attributes:
        tokenizer: the model's; its chat template is used where it has one.
        answer: how the model will answer.
        room: the longest prompt in tokens; None: no limit.
    """

    tokenizer: PreTrainedTokenizerFast
    template: Template
    position: Position
    answer: AnswerMode
    seed: int
    room: int | None
    _notes: dict[int, str] = field(default_factory=dict)

    @property
    def chat(self) -> bool:
        """Whether the tokenizer has a chat template."""
        return bool(self.tokenizer.chat_template)

    def ask(self, question: Question) -> Asked | Refused:
        """The question's prompts, or why it has none.

        The note has as many tokens as the wrong hint, as they stand in the prompt.

        It has none if it is too long, if no cut of the note has that many tokens, if the chat
        template refuses or alters it, if it has control tokens (they would end the user's turn),
        or if the tokenizer merges the insertion with the prompt's end.
        """
        try:
            return self._ask(question)
        except UsageError as error:
            return Refused(question, "no_prompt", str(error))

    def _ask(self, question: Question) -> Asked | Refused:
        wrong = wrong_choice(question, self.seed)
        targets: dict[Condition, int | None] = {
            "none": None, "wrong": wrong, "right": question.right, "note": None,
        }  # fmt: skip
        prompts: dict[Condition, Prompt] = {}
        for condition in CONDITIONS:
            target = targets[condition]
            if condition == "note":
                size = _size(prompts["wrong"].tokens)
                note = self._note(question, size)
                if note is None:
                    return Refused(
                        question, "no_note", f"no cut of the template's note has {size} tokens"
                    )
                prompts[condition] = note
            else:
                inserted = None if target is None else hint_text(self.template, question, target)
                prompts[condition] = self._prompt(question, inserted, target)
        longest = max(map(len, prompts.values()))
        if self.room is not None and longest > self.room:
            return Refused(
                question, "too_long", f"expected at most {self.room} tokens, got {longest}"
            )
        plain = prompts["none"].tokens
        shared: dict[Condition, Alignment] = {
            c: align(plain, p.tokens) for c, p in prompts.items() if c != "none"
        }
        return Asked(question, prompts, shared)

    def letter_ids(self, choices: int) -> list[tuple[int, ...]]:
        """The ids with which each letter goes on behind the prompt.

        Raises:
            UsageError: the tokenizer merges a letter with the end of the prompt, or cannot tell
                letters apart.
        """
        end = self.template.likelihood
        plain = self._ids(end)
        found = []
        for letter in LETTERS[:choices]:
            whole = self._ids(f"{end} {letter}")
            if whole[: len(plain)] != plain or len(whole) == len(plain):
                raise UsageError(
                    f"expected a letter to go on behind {end!r}, but the tokenizer merges them: "
                    "give a template with another `likelihood`"
                )
            found.append(tuple(whole[len(plain) :]))
        if len({*found}) < len(found):
            raise UsageError(
                f"the tokenizer writes several of the letters {LETTERS[:choices]} alike; questions "
                "of fewer choices may work"
            )
        return found

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _prompt(self, question: Question, inserted: str | None, target: int | None) -> Prompt:
        end = end_of(self.template, self.answer, self.chat)
        text = written(self.template, question, inserted, self.position, end)
        insertion = text.insertion
        for token in self._control:
            if token in text.text:
                raise UsageError(f"expected words, got the control token {token} among them")
        return Prompt(self._tokens(self._rendered(text) if self.chat else text), insertion, target)

    @cached_property
    def _control(self) -> list[str]:
        tokens = map(self.tokenizer.convert_ids_to_tokens, sorted(special_ids(self.tokenizer)))
        return [str(token) for token in tokens]

    def _rendered(self, text: Written) -> Written:
        """The prompt as the user's message of a conversation."""
        message = text.text.strip()
        try:
            rendered: str = self.tokenizer.apply_chat_template(
                [{"role": "user", "content": message}], tokenize=False, add_generation_prompt=True
            )
        except TemplateError as error:
            raise UsageError(f"the chat template refuses a user's message: {error}") from error
        if rendered.count(message) != 1:
            raise UsageError(
                "expected a chat template that shows the message once and unaltered, got one that "
                "does not"
            )
        begin = rendered.index(message) - (len(text.text) - len(text.text.lstrip()))
        opened = self.template.likelihood if self.answer == "likelihood" else ""
        stop = rendered.index(message) + len(message)
        return Written(
            rendered + opened, min(begin + text.start, stop), min(begin + text.end, stop)
        )

    def _tokens(self, text: Written) -> Tokens:
        columns = self.tokenizer(
            text.text, add_special_tokens=not self.chat, return_offsets_mapping=True,
            return_special_tokens_mask=True, verbose=False,
        )  # fmt: skip
        ids = np.array(columns["input_ids"], np.int64)
        spans = np.array(columns["offset_mapping"], np.int64).reshape(-1, 2)
        added = np.array(columns["special_tokens_mask"], bool) & (spans[:, 1] == spans[:, 0])
        spans[added] = 0
        kept = len(ids)
        while kept and added[kept - 1]:  # what closes a text would close the prompt
            kept -= 1
        return Tokens(ids[:kept], spans[:kept], text.start, text.end)

    def _note(self, question: Question, size: int) -> Prompt | None:
        """The prompt with a note of exactly `size` tokens."""
        known = self._notes.get(size)
        if known is not None:
            prompt = self._prompt(question, known, None)
            if _size(prompt.tokens) == size:
                return prompt
        for text in self._cuts(question, size):
            prompt = self._prompt(question, text, None)
            if _size(prompt.tokens) == size:
                self._notes[size] = text
                return prompt
        return None

    def _cuts(self, question: Question, size: int) -> Iterator[str]:
        """Beginnings of the note, repeated as often as needed: whole words first, then any."""
        words = self.template.note.split()
        long = " ".join(words * (1 + size))
        ends = [at for at, one in enumerate(long) if one == " "] + [len(long)]
        low, high = 0, len(ends) - 1
        while low < high:  # the first end with at least so many tokens
            middle = (low + high) // 2
            enough = _size(self._prompt(question, long[: ends[middle]], None).tokens) >= size
            low, high = (low, middle) if enough else (middle + 1, high)
        near = range(max(low - 2, 0), min(low + 2, len(ends)))
        for at in near:
            yield from (long[: ends[at]].rstrip(".,") + ".", long[: ends[at]])
        first = ends[near[0] - 1] if near[0] else 1
        yield from (long[:at] for at in range(max(first, 1), ends[near[-1]]))


def _size(tokens: Tokens) -> int:
    first, last = tokens.inserted
    return last - first
