"""The demonstration: what the heads of a language model do; a small model put to the proof."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from headscribe.api.explain import explain
from headscribe.api.fit import fit
from headscribe.api.replace import opened_model, replace
from headscribe.api.survey import Survey, survey
from headscribe.core.assets import asset
from headscribe.core.errors import UsageError
from headscribe.core.progress import OnProgress, silent
from headscribe.results.run import Run
from headscribe.text.corpora import Corpus, read

if TYPE_CHECKING:
    from headscribe.models.model import Model

ANSWERED = ("bundled:smollm2", "bundled:stories")
"""Whose heads are named, in this order."""

PROVED = "bundled:stories"
"""Whose heads are surveyed, fitted and replaced: the sample texts are of its world."""

READ = 32
"""Tokens of a text that heads are named on: enough for names, few enough for a minute."""

SHARES = (0.45, 0.65, 0.85)
"""Formulas are fitted on the texts up to the first share, heads ordered by those up to the second,
losses measured on those up to the third."""

SURVEYED = 80
"""Tokens of a text that the surveys read: the report of everything stays below 5 MB."""

TERMS, TOKENS = 5, 48
"""Small, so that the demonstration takes a minute."""

COMPILING = "surveying (on a machine's first run its loops are compiled, some 10 s)"

FRACTIONS = (0.1, 0.25, 0.5, 1.0)
"""Shares of the heads that are replaced."""


@dataclass(frozen=True)
class Demo:
    """What the demonstration left behind.

    Attributes:
        folder: everything; `runs`: the directories of all runs; `figures`: what was drawn.
        answers: a paragraph on each model's heads.
        report: the page with tables and figures.
        seconds: how long it took.
    """

    folder: Path
    runs: tuple[Path, ...]
    figures: tuple[Path, ...]
    answers: tuple[str, ...]
    report: Path
    seconds: float


def sample_texts() -> Corpus:
    """The short stories that come with Headscribe.

    Raises:
        RunError: they are missing or damaged.
    """
    return read(asset("samples") / "stories.jsonl")


def demo(
    folder: str | Path = "headscribe-demo",
    report: OnProgress = silent,
    *,
    answered: Sequence[str] = ANSWERED,
    texts: Corpus | None = None,
) -> Demo:
    """Name the heads of the bundled models; survey, fit and replace those of one; write a page.

    Formulas are fitted on the first part of the texts, heads ordered by the agreement on the
    second, and the altered model is measured on the third.

    Args:
        folder: where everything goes.
        report: hears of the progress.
        answered: the models whose heads are named.
        texts: at least 20 texts; the sample texts by default.

    Raises:
        UsageError: the folder is not empty, too few texts, or the package of bundled:smollm2 is
            not installed.
    """
    from headscribe.report.page import write_page

    started = time.monotonic()
    target = Path(folder)
    if target.exists() and any(target.iterdir()):
        raise UsageError(f"{target} is not empty: give another --out, or remove it")
    texts = sample_texts() if texts is None else texts
    if len(texts) < 20:
        raise UsageError(f"expected at least 20 texts for a demonstration, got {len(texts)}")
    answers: list[str] = []
    runs: list[Path] = []
    for name in answered:
        short = name.removeprefix("bundled:")
        report(f"{short}: loading", 0, 1)
        loaded = opened_model(name)
        report(f"{short}: loading", 1, 1)
        runs.append(target / f"{short}-answer")
        answer = explain(
            loaded, texts, max_tokens=READ, out=runs[-1], on_progress=_of(short, report)
        )
        answers.append(answer.summary)
    short = PROVED.removeprefix("bundled:")
    loaded, said = opened_model(PROVED), _of(short, report)
    said(COMPILING, 0, 1)
    surveyed = survey(loaded, texts, max_tokens=SURVEYED, out=target / short, on_progress=said)
    said(COMPILING, 1, 1)
    runs += [target / short, *_proved(loaded, texts, target, short, said)]
    report("writing the report", 0, 1)
    page = target / "report.html"
    write_page([Run.open(run) for run in runs], page)
    report("writing the report", 1, 1)
    figures = _figures([surveyed], target / "figures", report)
    seconds = round(time.monotonic() - started, 1)
    return Demo(target, tuple(runs), figures, tuple(answers), page, seconds)


def _of(short: str, report: OnProgress) -> OnProgress:
    """Progress with the model's name before the stage."""
    return lambda stage, done, total: report(f"{short}: {stage}", done, total)


def _proved(
    model: "Model", texts: Corpus, target: Path, short: str, report: OnProgress
) -> tuple[Path, Path]:
    """Fit a model's heads and replace them; the directories of both runs."""
    ends = [round(share * len(texts)) for share in (0.0, *SHARES)]
    fit_on, select, measured = (
        dataclasses.replace(texts, texts=texts.texts[begin:end]) for begin, end in pairwise(ends)
    )
    programs, replaced = target / f"{short}-fit", target / f"{short}-replaced"
    report("fitting formulas", 0, 1)
    fit(
        model, fit_on, terms=TERMS, test=select, max_tokens=TOKENS, out=programs,
        on_progress=report,
    )  # fmt: skip
    report("fitting formulas", 1, 1)
    replace(
        model, programs, measured, fit_on, fractions=FRACTIONS, random_orders=1,
        alone=("formula",), max_tokens=TOKENS, out=replaced, on_progress=report,
    )  # fmt: skip
    return programs, replaced


def _figures(surveys: list[Survey], folder: Path, report: OnProgress) -> tuple[Path, ...]:
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
