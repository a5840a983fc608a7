"""One self-contained HTML page for one or several runs: no network, no script, both themes."""

import os
from collections.abc import Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from headscribe.core.errors import HeadscribeError, RunError, UsageError
from headscribe.report import gallery, sections
from headscribe.report.markup import EMPTY, LINE, Html, join, tag, text
from headscribe.report.matrices import HATCH
from headscribe.report.reading import facts
from headscribe.report.theme import DARK, LIGHT, Theme
from headscribe.results.run import Run

SECTIONS: tuple[tuple[str, str, Callable[[Run], Html]], ...] = (
    ("heads", "Which heads are explained", sections.overview),
    ("layers", "How well each layer is explained", sections.layer_summary),
    ("patterns", "The best heads of each pattern", sections.best_heads),
    ("examples", "Examples", gallery.examples),
    ("best", "The best pattern of each head", sections.best_of_each_head),
    ("gate", "Gates: what heads do where their pattern does not apply", sections.gate),
    ("containment", "Which patterns contain which", sections.containment),
    ("left-out", "What was left out", sections.left_out),
)
"""Anchor, heading and content of every section of a run."""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def write_page(runs: Sequence[Run], path: str | Path) -> None:
    """Write runs as one HTML page that opens from disk.

    A section that a run lacks, or whose table is damaged, says so in its place.

    Raises:
        UsageError: no run, or one that is no survey.
        RunError: the page cannot be written.
    """
    if not runs:
        raise UsageError("expected at least one run to write a page of, got none")
    for run in runs:
        if run.manifest.get("kind") != "survey" or "model" not in run.manifest:
            kind = run.manifest.get("kind")
            raise UsageError(f"expected surveys to write a page of, got {run.folder} ({kind})")
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.partial")
    content = page(runs)
    try:
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(target)
    except OSError as error:
        raise RunError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def page(runs: Sequence[Run]) -> Html:
    """The page as markup."""
    names = [run.manifest["model"].get("name", "a model") for run in runs]
    title = f"What the attention heads of {' and '.join(map(str, names))} do"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{title} · Headscribe"),
        tag("style", _style()),
    )
    body = tag(
        "body",
        tag("a", "Skip to the results", href="#main", class_="skip"),
        HATCH,
        tag("header", tag("h1", title), _introduction(), _contents(runs)),
        tag("main", *(_run(run, number) for number, run in enumerate(runs, 1)), id="main"),
        tag(
            "footer",
            tag("p", f"Written by headscribe {version('headscribe')} from {len(runs)} "
                f"run{'s' * (len(runs) != 1)}; the page needs no network."),
        ),
    )  # fmt: skip
    return join([Html("<!doctype html>"), tag("html", head, body, lang="en")], LINE)


def _introduction() -> Html:
    return tag(
        "p",
        "An attention head decides, for every token of a text (the query), how much it reads from "
        "each other token (the keys). Every head was compared with patterns that predict this, "
        "such as “the previous token” or “the word’s head in the parse”. A head counts as "
        "explained only where a pattern comes closer than simple baselines do on the same rows.",
        class_="lede",
    )


def _contents(runs: Sequence[Run]) -> Html:
    """Links to the runs, where there are several."""
    if len(runs) == 1:
        return EMPTY
    links = [
        tag("li", tag("a", _name(run), href=f"#run-{number}")) for number, run in enumerate(runs, 1)
    ]
    return tag("nav", tag("ul", *links), aria_label="Runs")


def _run(run: Run, number: int) -> Html:
    anchor = f"run-{number}"
    links = [tag("li", tag("a", title, href=f"#{anchor}-{name}")) for name, title, _ in SECTIONS]
    parts = [
        tag(
            "section",
            tag("h3", title, id=f"{anchor}-{name}"),
            _content(run, build),
            aria_labelledby=f"{anchor}-{name}",
        )
        for name, title, build in SECTIONS
    ]
    unfinished = EMPTY
    if not run.complete:
        unfinished = tag("p", "This run is unfinished: parts are missing.", class_="note")
    return tag(
        "article",
        tag("h2", _name(run), id=anchor),
        sections.facts_list(run),
        unfinished,
        tag("nav", tag("ul", *links), class_="run", aria_label=f"Sections of {_name(run)}"),
        *parts,
        aria_labelledby=anchor,
    )


def _content(run: Run, build: Callable[[Run], Html]) -> Html:
    """A section, or why it is missing."""
    try:
        return build(run)
    except HeadscribeError as error:
        return tag("p", f"Not available: {error}", class_="note")


def _name(run: Run) -> Html:
    shown = facts(run)
    model, texts = (shown[name].split(" · ")[0] for name in ("Model", "Texts"))
    return text(model if model == texts else f"{model} on {texts}")


def _style() -> Html:
    """The style sheet, with the colours of both themes."""
    sheet = files("headscribe.report").joinpath("page.css").read_text(encoding="utf-8")
    dark = f"@media (prefers-color-scheme: dark) {{ {_variables(DARK)} }}"
    return Html(f"{_variables(LIGHT)}\n{dark}\n{sheet}")


def _variables(theme: Theme) -> str:
    colors = {
        "surface": theme.surface, "ink": theme.ink, "muted": theme.muted, "line": theme.line,
        "empty": theme.empty, "accent": theme.accent, "good": theme.families["syntactic"],
        "attention": f"linear-gradient(to right, {', '.join(theme.attention)})",
        "difference": f"linear-gradient(to right, {', '.join(theme.difference)})",
    }  # fmt: skip
    listed = " ".join(f"--{name}: {value};" for name, value in colors.items())
    return f":root {{ color-scheme: light dark; {listed} }}"
