"""Prompts: versioned template files, rendered strictly."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources

from headscribe.core.errors import RunError
from headscribe.discovery.evidence import Evidence
from headscribe.relations import ATTRIBUTES
from headscribe.sandbox.inside.given import MODULES

VERSION = "propose-1"
"""The prompt in use. A changed prompt gets a new file and a new number."""

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


def title(model: str, head: str, number: int) -> str:
    """The first line of a prompt: which question it asks; replays go by it."""
    return f"# {VERSION} | {model} | head {head} | round {number}"


def proposal_prompt(
    shown: Evidence, attempts: Sequence[Attempt], *, python: bool, rounds_left: int
) -> str:
    """The whole prompt of one round: evidence, what was tried, what to answer.

    Args:
        shown: the evidence.
        attempts: earlier answers with their feedback.
        python: whether Python programs can be run.
        rounds_left: answers that may still follow this one.
    """
    document = shown.document
    head = f"{document['layer']}.{document['head']}"
    tried = "".join(
        f"\n### Answer {number}\n\n{attempt.answer}\n\n### What came of it\n\n{attempt.feedback}\n"
        for number, attempt in enumerate(attempts, 1)
    )
    mark = blake2b(shown.text.encode("utf-8", "surrogatepass"), digest_size=6).hexdigest()
    causal = document["sees"] != "all tokens"
    return render(
        VERSION,
        {
            "title": title(str(document["model"]), head, len(attempts) + 1),
            "attributes": _attributes(causal),
            "python": _python() if python else template("no-python-1"),
            "causal": template("causal-1") if causal else "",
            "mark": mark,
            "evidence": shown.text,
            "attempts": tried or "\nThis is the first answer.\n",
            "rounds_left": str(rounds_left),
        },
    )


def _python() -> str:
    return render("python-1", {"modules": ", ".join(MODULES)})


def _attributes(causal: bool) -> str:
    names = [name for name, one in ATTRIBUTES.items() if not (causal and one.looks_ahead)]
    return "\n".join(f"- `{name}`: {ATTRIBUTES[name].sentence}" for name in names)
