"""The demonstration: two bundled models surveyed on bundled texts, with figures and a page."""

import time
from dataclasses import dataclass
from pathlib import Path

from headscribe.api.inputs import Reporter, silent
from headscribe.api.survey import Survey, survey
from headscribe.core.assets import asset
from headscribe.core.errors import UsageError
from headscribe.text.corpora import Corpus, read

MODELS = ("bundled:stories", "bundled:minilm")


@dataclass(frozen=True)
class Demo:
    """What the demonstration left behind.

    Attributes:
        folder: everything; `runs`: one directory a model; `figures`: what was drawn.
        report: the page with tables and figures.
        seconds: how long it took.
    """

    folder: Path
    runs: tuple[Path, ...]
    figures: tuple[Path, ...]
    report: Path
    seconds: float


def sample_texts() -> Corpus:
    """The short stories that come with Headscribe.

    Raises:
        RunError: they are missing or damaged.
    """
    return read(asset("samples") / "stories.jsonl")


def demo(folder: str | Path = "headscribe-demo", report: Reporter = silent) -> Demo:
    """Survey the bundled models on the sample texts; write figures and a page.

    Raises:
        UsageError: the folder is not empty, or the package of bundled:minilm is not installed.
    """
    from headscribe.report.page import write_page

    started = time.monotonic()
    target = Path(folder)
    if target.exists() and any(target.iterdir()):
        raise UsageError(f"{target} is not empty: give another --out, or remove it")
    texts = sample_texts()
    surveys = []
    for name in MODELS:
        short = name.removeprefix("bundled:")

        def said(task: str, done: int, total: int, short: str = short) -> None:
            report(f"{short}: {task}", done, total)

        surveys.append(survey(name, texts, out=target / short, report=said))
    page = target / "report.html"
    write_page([found.run for found in surveys], page)
    figures = _figures(surveys, target / "figures", report)
    return Demo(
        target,
        tuple(found.run.folder for found in surveys),
        figures,
        page,
        round(time.monotonic() - started, 1),
    )


def _figures(surveys: list[Survey], folder: Path, report: Reporter) -> tuple[Path, ...]:
    from headscribe.api.figures import optimal_figures, survey_figures
    from headscribe.report.figures import save_figure

    written: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in optimal_figures().items():
        path = folder / f"{name}.png"
        save_figure(figure, path)
        written.append(path)
    for number, found in enumerate(surveys):
        report("figures", number, len(surveys))
        for name, figure in survey_figures(found).items():
            path = folder / f"{found.run.folder.name}-{name}.png"
            save_figure(figure, path)
            written.append(path)
    report("figures", len(surveys), len(surveys))
    return tuple(written)
