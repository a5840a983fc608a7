"""Prompts: versioned template files, rendered strictly."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources

from headscribe.core.errors import RunError
from headscribe.discovery.evidence import Evidence
from headscribe.fitting.classes import LARGEST
from headscribe.relations import ATTRIBUTES
from headscribe.sandbox.inside.given import MODULES

VERSION = "propose-2"
"""The prompt in use. A changed prompt gets a new file and a new number."""

LONGEST = 12_000
"""Characters of a prompt with evidence of the default size, at most."""

ATTEMPTS_ROOM = 1_600
"""Characters of what was tried, the latest first."""

_TITLE = re.compile(r"^# (\S+) (\| .* \| (?:head|description) \S+ \| round \d+)$", re.MULTILINE)

_SLOT = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class Attempt:
    """An earlier answer in the same conversation, and what came of it.

    Attributes:
        answer: the reply, or the code that it proposed.
        feedback: the error, or scores with the best and worst texts.
    """

    answer: str
    feedback: str


@cache
def template(name: str) -> str:
    """A template of the package.

    Raises:
        RunError: there is none of that name.
    """
    file = resources.files("headscribe.discovery") / "prompts" / f"{name}.md"
    if not file.is_file():
        raise RunError(f"expected the prompt {name}.md in the package, found none")
    return file.read_text(encoding="utf-8")


def render(name: str, values: Mapping[str, str]) -> str:
    """Fill the `{{slots}}` of a template, in one pass: what is filled in is never read again.

    Raises:
        RunError: a slot without a value, or a value without a slot.
    """
    text = template(name)
    slots = set(_SLOT.findall(text))
    if slots != set(values):
        odd = ", ".join(sorted(slots ^ set(values)))
        raise RunError(f"prompt {name}: slots and values differ in {odd}")
    return _SLOT.sub(lambda match: values[match[1]], text)


def title(model: str, about: str, number: int, version: str = VERSION) -> str:
    """The line of a prompt that says which question it asks; replays go by it."""
    return f"# {version} | {model} | {about} | round {number}"


def mark_of(data: str) -> str:
    """What stands beside the ends of a block of data, so that nothing in it can end it."""
    return blake2b(data.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()


def question_of(prompt: str) -> tuple[str, str]:
    """The prompt's version and the question it asks: model, head or description, round.

    A prompt without such a line is asked by its first one.
    """
    match = _TITLE.search(prompt)
    return ("", prompt.partition("\n")[0]) if match is None else (match[1], match[2])


def proposal_prompt(
    shown: Evidence, attempts: Sequence[Attempt], *, python: bool, rounds_left: int
) -> str:
    """The whole prompt of one round: what to write, evidence, what was tried.

    What is the same for all heads stands first, then what is the same in all rounds of a head, so
    that a server which keeps prefixes reads both once.

    Args:
        rounds_left: answers that may still follow this one.
    """
    document = shown.document
    head = f"head {document['layer']}.{document['head']}"
    causal = document["sees"] != "all tokens"
    return render(
        VERSION,
        {
            "title": title(str(document["model"]), head, len(attempts) + 1),
            "attributes": attributes(causal),
            "largest": str(LARGEST),
            "python": _python() if python else "\n" + template("no-python-1"),
            "causal": template("causal-1") if causal else "",
            "mark": mark_of(shown.text),
            "evidence": shown.text,
            "attempts": _tried(attempts) or "\nThis is the first answer.\n",
            "rounds_left": str(rounds_left),
        },
    )


def _tried(attempts: Sequence[Attempt]) -> str:
    """Earlier answers with what came of them, as many of the latest as there is room for."""
    shown: list[str] = []
    room = ATTEMPTS_ROOM
    for number, attempt in reversed(list(enumerate(attempts, 1))):
        each = (room - 60) // 2
        if each < ATTEMPTS_ROOM // 8:
            break
        answer, feedback = _cut(attempt.answer, each), _cut(attempt.feedback, each)
        shown.append(f"\n### Answer {number}\n\n{answer}\n\n### What came of it\n\n{feedback}\n")
        room -= len(shown[-1])
    return "".join(reversed(shown))


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 6] + " (cut)"


def _python() -> str:
    return render("python-2", {"modules": ", ".join(MODULES)})


def attributes(causal: bool) -> str:
    """The attributes that relations read; for causal code without those that look ahead."""
    names = [
        name for name, attribute in ATTRIBUTES.items() if not (causal and attribute.looks_ahead)
    ]
    return "; ".join(f"`{name}` {ATTRIBUTES[name].sentence}" for name in names)
