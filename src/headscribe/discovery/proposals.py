"""What a proposer answers: its schema, and how it is found in a reply."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_serializer,
    model_validator,
)

from headscribe.discovery.neutral import neutral
from headscribe.fitting.classes import LARGEST, NAME, WordClass

LONGEST_REPLY = 200_000
"""Characters of a reply that are looked at; more is a failure."""

_ATTEMPTS = 100
_FENCE = re.compile(r"```[A-Za-z]*[ \t]*\r?\n(.*?)```", re.DOTALL)

Sentence = Annotated[str, Field(min_length=1, max_length=2000)]
Cell = tuple[
    Annotated[int, Field(ge=0)],
    Annotated[int, Field(ge=0)],
    Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)],
]


class Part(BaseModel):
    """A part of an answer; what it has besides is not read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Hypothesis(Part):
    """What the head may do, and what speaks for it."""

    statement: Sentence
    evidence: Annotated[tuple[Sentence, ...], Field(min_length=1, max_length=20)]


class ExampleMatrix(Part):
    """What the code should predict for a text that was shown: `(query, key, weight)` cells."""

    text: Annotated[str, Field(max_length=200)]
    cells: Annotated[tuple[Cell, ...], Field(min_length=1, max_length=4096)]


class ProposedClass(Part):
    """A class of words that relations may name: `key.lower in judgement`."""

    name: Annotated[str, Field(pattern=rf"^{NAME}$")]
    rule: Annotated[str, Field(min_length=1, max_length=300)]
    words: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=60)], ...],
        Field(min_length=2, max_length=LARGEST),
    ]

    @property
    def made(self) -> WordClass:
        """The class, its words as `lower` has them, its rule harmless to read."""
        words = tuple(word.strip().lower() for word in self.words)
        return WordClass(self.name, neutral(self.rule, 300), words)


class Code(Part):
    """Relations that the head's formula lacks, or a whole program `def attention(p)`.

    Attributes:
        classes: word classes that the relations name.
    """

    kind: Literal["relations", "python"]
    classes: Annotated[tuple[ProposedClass, ...], Field(max_length=4)] = ()
    relations: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=2000)], ...], Field(max_length=8)
    ] = ()
    program: Annotated[str, Field(max_length=20_000)] = ""

    @model_serializer(mode="wrap")
    def _without_empty_classes(self, written: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        """As records before there were classes have it."""
        found = written(self)
        return found if found["classes"] else {k: v for k, v in found.items() if k != "classes"}

    @model_validator(mode="after")
    def _one_of_them(self) -> "Code":
        if self.kind == "relations" and not self.relations:
            raise ValueError("kind is relations, but there are none")
        names = [proposed.name for proposed in self.classes]
        if len(set(names)) < len(names):
            raise ValueError("two classes have one name")
        for proposed in self.classes:
            if len({word.strip().lower() for word in proposed.words}) < 2:
                raise ValueError(f"class {proposed.name} has fewer than two different words")
        if self.kind == "python" and not self.program.strip():
            raise ValueError("kind is python, but there is no program")
        return self


class Proposal(Part):
    """Three hypotheses, the chosen one, what its code should give, and the code.

    Attributes:
        hypotheses: exactly three.
        chosen: which of them, 0 to 2.
        validation: why this one fits the evidence best.
        example: what the code should predict for a text that was shown.
        code: relations or a program.
    """

    hypotheses: Annotated[tuple[Hypothesis, ...], Field(min_length=3, max_length=3)]
    chosen: Annotated[int, Field(ge=0, le=2)]
    validation: Sentence
    example: ExampleMatrix
    code: Code


ParseKind = Literal["too_long", "no_json", "bad_json", "schema"]
"""Why a reply holds no answer: no object at all, one that is no JSON, one of another shape."""


@dataclass(frozen=True)
class ParseFailure:
    """A reply that holds no answer; never a program."""

    kind: ParseKind
    message: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.message}"


def parse_proposal(reply: str) -> Proposal | ParseFailure:
    """Find the proposal in a reply, see `parse_reply`."""
    return parse_reply(reply, Proposal)


Shape = TypeVar("Shape", bound=BaseModel)


def parse_reply(reply: str, shape: type[Shape]) -> Shape | ParseFailure:
    """Find an answer in a reply: the reply itself, a fenced block, or an object in its prose.

    Of several objects the last that fits the schema counts, since replies think aloud first.
    """
    if len(reply) > LONGEST_REPLY:
        return ParseFailure(
            "too_long", f"expected at most {LONGEST_REPLY} characters, got {len(reply)}"
        )
    if "{" not in reply:
        return ParseFailure("no_json", "expected a JSON object, got none")
    found: Shape | None = None
    wrong: ParseFailure | None = None
    for document in _objects(reply):
        if isinstance(document, ParseFailure):
            wrong = wrong or document
            continue
        try:
            found = shape.model_validate(document)
        except ValidationError as error:
            # The parts of an object that is broken itself are not what is wrong.
            if wrong is None or shape.model_fields.keys() & document.keys():
                wrong = ParseFailure("schema", _first_of(error))
    return found or wrong or ParseFailure("no_json", "expected a JSON object, got none")


def _objects(reply: str) -> Iterator[dict[str, object] | ParseFailure]:
    """The JSON objects of a reply, in order; the reason why the first brace opens none."""
    parts = _FENCE.findall(reply)
    for part in [*parts, reply] if parts else [reply]:
        at, tries = part.find("{"), 0
        while at >= 0 and tries < _ATTEMPTS:
            tries += 1
            try:
                document, end = _DECODER.raw_decode(part, at)
            except json.JSONDecodeError as error:
                yield ParseFailure("bad_json", f"{error.msg} (character {error.pos})")
                at = part.find("{", at + 1)
                continue
            except (ValueError, RecursionError) as error:
                yield ParseFailure("bad_json", neutral(str(error), 200))
                at = part.find("{", at + 1)
                continue
            yield document
            at = part.find("{", end)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


# Line breaks inside strings are accepted: people and models paste programs as they are.
_DECODER = json.JSONDecoder(strict=False, parse_constant=_no_constant)


def _first_of(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the object"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return neutral(f"{where}: {first['msg']}{more}", 300)
