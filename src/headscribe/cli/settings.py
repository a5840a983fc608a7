"""The reference page of settings: environment variables, and settings of the Python interface."""

import re
from dataclasses import fields
from inspect import cleandoc
from typing import Any

ENVIRONMENT = {
    "HEADSCRIBE_CACHE": "The folder of cached annotations; by default the user's cache folder.",
    "ANTHROPIC_API_KEY": "The key for `--llm anthropic:MODEL`; never written anywhere.",
    "OPENAI_API_KEY": "The key for `--llm openai:MODEL`; never written anywhere.",
    "GOOGLE_API_KEY": "The key for `--llm google:MODEL`; never written anywhere.",
    "HEADSCRIBE_API_KEY": "The key for `--llm compatible:URL#MODEL`, where the server wants one.",
}
"""Every environment variable that Headscribe itself reads (the hub's own are not listed)."""


def settings_page() -> str:
    """The page in Markdown."""
    from headscribe.discovery.beginning import Settings
    from headscribe.discovery.ledger import Spending
    from headscribe.fitting.selection import Budget
    from headscribe.replacement.tuning import Schedule
    from headscribe.sandbox.runner import Limits

    lines = [
        "# Settings",
        "",
        "Generated from the code by `make docs`. Options of the command line stand in",
        "[its own page](../help.md); there is no configuration file.",
        "",
        "## Environment",
        "",
        "| variable | what for |",
        "|---|---|",
        *(f"| `{name}` | {sentence} |" for name, sentence in ENVIRONMENT.items()),
        "",
        "## Of the Python interface",
    ]
    for one in (Budget, Schedule, Settings, Spending, Limits):
        lines += ["", *_section(one)]
    return "\n".join([*lines, ""])


def _section(settings: Any) -> list[str]:  # noqa: ANN401
    said = cleandoc(settings.__doc__ or "")
    summary = said.split("\n", 1)[0]
    sentences = attributes(said)
    rows = [
        f"| `{one.name}` | `{one.default!r}` | {sentences[one.name]} |" for one in fields(settings)
    ]
    name = f"{settings.__module__}.{settings.__qualname__}"
    return [f"### `{name}`", "", summary, "", "| name | default | what |", "|---|---|---|", *rows]


def attributes(docstring: str) -> dict[str, str]:
    """What the section `Attributes:` of a docstring says of each name."""
    found: dict[str, str] = {}
    name = None
    for line in docstring.partition("Attributes:\n")[2].splitlines():
        start = re.match(r"    (\w+): (.*)", line)
        if start:
            name, found[start[1]] = start[1], start[2]
        elif name is not None and line.startswith("     "):
            found[name] += f" {line.strip()}"
        else:
            break
    return found
