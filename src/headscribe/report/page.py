"""One self-contained HTML page for one or several runs: no network, both themes.

The page is a shell, a style sheet, the document of `document.document` as JSON, and one script; its
policy admits exactly this style and script, by their hashes, and no other source of anything.
"""

import hashlib
from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

from headscribe.core.errors import UsageError
from headscribe.core.files import write_whole
from headscribe.core.visible import visible
from headscribe.report.document import document
from headscribe.report.opening import open_to_show
from headscribe.report.packing import script_safe
from headscribe.report.theme import DARK, LIGHT, Theme, contrast
from headscribe.results.run import Run


def write_page(runs: Sequence[Run], path: str | Path) -> None:
    """Write runs as one HTML page that opens from disk.

    What a run lacks, or what is damaged, is named in its place.

    Raises:
        UsageError: no run.
        RunError: the page cannot be written.
    """
    if not runs:
        raise UsageError("expected at least one run to write a page of, got none")
    write_whole(path, page(runs))


def report(runs: Iterable[Any] | Any, path: str | Path) -> Path:  # noqa: ANN401
    """Write runs as one HTML page that needs no network.

    Args:
        runs: results, runs or folders of runs; or a single one.
        path: where to write the page.

    Raises:
        UsageError: no run, or a folder without one.
        RunError: the page cannot be written.
    """
    given: Any = runs
    several = [given] if isinstance(given, str | Path) or hasattr(given, "run") else list(given)
    opened = [
        open_to_show(one) if isinstance(one, str | Path) else getattr(one, "run", one)
        for one in several
    ]
    write_page(opened, path)
    return Path(path)


def page(runs: Sequence[Run]) -> str:
    """The page as markup."""
    content = document(runs)
    names = " and ".join(dict.fromkeys(subject["name"] for subject in content["subjects"]))
    style, script = f"{colors()}\n{asset('report.css')}", asset("report.js")
    title = f"What the attention heads of {names} do · Headscribe"
    return shell(title, content, style, script, policy(style, script))


def shell(title: str, content: dict[str, Any], style: str, script: str, allowed: str) -> str:
    """A page of one style sheet, one document and one script, under the policy `allowed`."""
    return _SHELL.format(
        policy=escape(allowed),
        title=escape(visible(title)),
        style=style,
        document=script_safe(content),
        script=script,
    )


def policy(style: str, script: str) -> str:
    """The content security policy: this style, this script, drawings of its own, nothing else."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    )


def asset(name: str) -> str:
    """A file that `make assets` built from `web/`."""
    return files("headscribe.report").joinpath("assets", name).read_text(encoding="utf-8")


def colors() -> str:
    """The colours of both themes as a style sheet; the reader's choice goes before the system's."""
    dark = _variables(DARK)
    return (
        f":root {{ color-scheme: light; {_variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {dark} }} }}\n"
        f":root[data-theme=light] {{ color-scheme: light; {_variables(LIGHT)} }}\n"
        f":root[data-theme=dark] {{ color-scheme: dark; {dark} }}"
    )


def _variables(theme: Theme) -> str:
    colors = {
        "surface": theme.surface, "ink": theme.ink, "muted": theme.muted, "line": theme.line,
        "empty": theme.empty, "accent": theme.accent, "second": theme.second,
        "good": theme.families["syntactic"], "control": _control(theme),
        "hatch": theme.shade(theme.muted, 0.5),
        "attention": f"linear-gradient(to right, {', '.join(theme.attention)})",
        "difference": f"linear-gradient(to right, {', '.join(theme.difference)})",
    } | {f"f-{name}": color for name, color in theme.families.items()}  # fmt: skip
    return " ".join(f"--{name}: {value};" for name, value in colors.items())


def _control(theme: Theme) -> str:
    """The faintest outline that still tells a control from the surface (WCAG 2.2: 3 to 1)."""
    shades = (theme.shade(theme.muted, step / 50) for step in range(51))
    return next(color for color in shades if contrast(color, theme.surface) >= 3.05)


def _hash(content: str) -> str:
    return f"sha256-{b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


_SHELL = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<div id="app"><p class="opening">Opening the page …</p>
<noscript><p>This page is drawn by the script that it carries: allow scripts for \
this file to read it. The tables lie in the run directories, as Parquet.</p></noscript></div>
<script type="application/json" id="data">{document}</script>
<script>{script}</script>
</body>
</html>
"""
