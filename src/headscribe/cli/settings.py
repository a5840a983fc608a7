"""The reference page of settings: every option of every command, and environment variables."""

import inspect

from headscribe.api.requests import REQUESTS
from headscribe.results.requests import Field, options_of

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
    lines = [
        "# Settings",
        "",
        "Generated from the code by `make docs`. Every option of a command is an argument of the",
        "Python function of the same name, and stands in `config` of the run's `run.json`; there",
        "is no configuration file. A run resumes only where what its numbers depend on is the",
        "same: `equal` options have the same value, and `fingerprint` ones name the same thing",
        "(the same weights, texts, words), wherever it lies. `free` ones may change.",
        *(line for request in REQUESTS.values() for line in ["", *request_section(request)]),
        "",
        "## Environment",
        "",
        "| variable | what for |",
        "|---|---|",
        *(f"| `{name}` | {sentence} |" for name, sentence in ENVIRONMENT.items()),
    ]
    return "\n".join([*lines, ""])


def request_section(request: type) -> list[str]:
    """The table of a command's options."""
    name = request.__name__.removesuffix("Request").lower()
    return [
        f"## `{name}`",
        "",
        request.__doc__ or "",
        "",
        "| in Python | on the command line | default | on resuming | what for |",
        "|---|---|---|---|---|",
        *map(_row, options_of(request)),
    ]


def _row(field: Field) -> str:
    option = field.option
    flag = "" if option.python_only else f"`{option.metavar if option.argument else field.flag}`"
    needed = field.default is inspect.Parameter.empty
    default = "needed" if needed else "" if field.default is None else f"`{field.default!r}`"
    sentence = option.sentence.replace("|", "\\|")
    return f"| `{field.name}` | {flag} | {default} | {option.resume} | {sentence} |"
