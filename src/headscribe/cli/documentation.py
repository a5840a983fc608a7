"""Pages that are generated from the code: command-line help, patterns, settings.

`python -m headscribe.cli.documentation docs` writes them, `--check` says which are out of date.
"""

import sys
from pathlib import Path
from typing import Any

import typer

from headscribe.cli.main import app

WIDTH = 100


def help_page() -> str:
    """The help of every command, as Markdown."""
    root = typer.main.get_command(app)
    parts = ["# Command line", "", "Generated from the code by `make docs`.", ""]
    for path, command in _commands("headscribe", root):
        context = typer.Context(
            command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH
        )
        text = "\n".join(line.rstrip() for line in command.get_help(context).split("\n"))
        parts += [f"## {path}", "", "```", text, "```", ""]
    return "\n".join(parts)


def _commands(path: str, command: Any) -> list[tuple[str, Any]]:  # noqa: ANN401
    found = [(path, command)]
    for name, child in getattr(command, "commands", {}).items():
        found += _commands(f"{path} {name}", child)
    return found


def pages() -> dict[str, str]:
    """Every generated page by its path within the docs folder."""
    from headscribe.cli.settings import settings_page
    from headscribe.patterns.documentation import patterns_page

    return {
        "help.md": help_page(),
        "reference/patterns.md": patterns_page(),
        "reference/settings.md": settings_page(),
    }


def main(arguments: list[str]) -> int:
    """Write the pages into a folder, or check them."""
    check = "--check" in arguments
    folders = [argument for argument in arguments if argument != "--check"]
    if len(folders) != 1:
        print("usage: python -m headscribe.cli.documentation [--check] FOLDER", file=sys.stderr)
        return 2
    stale = []
    for name, text in pages().items():
        path = Path(folders[0]) / name
        if check:
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                stale.append(str(path))
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if stale:
        print(f"out of date: {', '.join(stale)}; run make docs", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
