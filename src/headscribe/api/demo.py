"""The demonstration: what the heads of a language model do; a small model put to the proof.

Two parts have nothing to do with each other: what heads do, and what formulas in their place do.
Where there are two cores each part is a process, `python -m headscribe.api.demo PART ...`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any

from headscribe.core.errors import RunError, UsageError
from headscribe.core.processes import Command, answering, cores
from headscribe.core.progress import OnProgress, silent

if TYPE_CHECKING:
    from headscribe.models.model import Model

SAMPLES = "bundled:samples"

ANSWERED = ("bundled:smollm2", "bundled:stories")
"""Whose heads are named, in this order."""

PROVED = "bundled:stories"
"""Whose heads are surveyed, fitted and replaced."""

READ = 32
"""Tokens of a text that heads are named on: enough for names, few enough for a minute."""

WRITTEN, BEGINNING, TEMPERATURE = (30, 10, 24), "Once upon a time", 0.8
"""Formulas are fitted on so many stories, heads ordered by so many others, losses measured on the
rest. The model writes them itself: a handful of other texts says little of what it loses, and those
that it finds strange say nothing."""

SURVEYED = 80
"""Tokens of a text that the surveys read: the report of everything stays below 5 MB."""

TERMS, TOKENS = 5, 48
"""Small, so that the demonstration takes a minute."""

COMPILING = "surveying (on a machine's first run its loops are compiled, some 10 s)"

PROOF = f"Formulas in the place of heads of {PROVED}, on stories that it wrote itself:"

FRACTIONS = (0.25, 0.5, 1.0)
"""Shares of the heads that are replaced."""


@dataclass(frozen=True)
class Demo:
    """What the demonstration left behind.

    Attributes:
        folder: everything; `runs`: the directories of all runs; `figures`: what was drawn.
        answers: a paragraph on each model's heads, and one on what formulas in their place do.
        report: the page with tables and figures.
        seconds: how long it took.
    """

    folder: Path
    runs: tuple[Path, ...]
    figures: tuple[Path, ...]
    answers: tuple[str, ...]
    report: Path
    seconds: float


def demo(
    folder: str | Path = "headscribe-demo",
    report: OnProgress = silent,
    *,
    answered: Sequence[str] = ANSWERED,
    texts: str | Path = SAMPLES,
) -> Demo:
    """Name the heads of the bundled models; survey, fit and replace those of one; write a page.

    Heads are named and surveyed on the texts; formulas are fitted, and the altered model measured,
    on stories that the model itself writes.

    Args:
        folder: where everything goes.
        report: hears of the progress.
        answered: the models whose heads are named.
        texts: a file of at least 20 texts; the sample texts by default.

    Raises:
        UsageError: the folder is not empty, too few texts, or the package of bundled:smollm2 is
            not installed.
        RunError: a process vanished, or the disk is full.
    """
    from headscribe.report.page import write_page
    from headscribe.results.run import Run
    from headscribe.text.corpora import read

    started = time.monotonic()
    target = Path(folder)
    if target.exists() and any(target.iterdir()):
        raise UsageError(f"{target} is not empty: give another --out, or remove it")
    if (given := len(read(texts))) < 20:
        raise UsageError(f"expected at least 20 texts for a demonstration, got {given}")
    arguments = str(target), str(texts), *answered
    if cores() > 1:
        _side_by_side(arguments, report)
    else:
        for part in PARTS.values():
            part(*arguments, report=report)
    runs = [*(target / f"{_short(name)}-answer" for name in answered), *_proofs(target)]
    report("writing the report", 0, 1)
    opened = [Run.open(run) for run in runs]
    page = target / "report.html"
    write_page(opened, page)
    report("writing the report", 1, 1)
    return Demo(
        folder=target,
        runs=tuple(runs),
        figures=tuple(sorted((target / "figures").iterdir())),
        answers=(
            *(str(run.manifest["summary"]) for run in opened[: len(answered)]),
            " ".join([PROOF, *opened[-1].manifest["findings"]["lines"]]),
        ),
        report=page,
        seconds=round(time.monotonic() - started, 1),
    )


def _short(model: str) -> str:
    return Path(model).name.removeprefix("bundled:")


def _proofs(target: Path) -> tuple[Path, Path, Path]:
    """The folders of the survey, the fit and the replacement."""
    short = _short(PROVED)
    return target / short, target / f"{short}-fit", target / f"{short}-replaced"


def _name(folder: str, texts: str, *models: str, report: OnProgress) -> None:
    """Name the heads of models, survey those of one, draw what was found."""
    from headscribe.api.explain import explain
    from headscribe.api.replace import opened_model
    from headscribe.api.survey import survey

    target = Path(folder)
    for name in models:
        said = _of(_short(name), report)
        said("loading", 0, 1)
        loaded = opened_model(name)
        said("loading", 1, 1)
        explain(
            loaded, texts, max_tokens=READ, out=target / f"{_short(name)}-answer", on_progress=said
        )
    said = _of(_short(PROVED), report)
    said(COMPILING, 0, 1)
    surveyed = survey(PROVED, texts, max_tokens=SURVEYED, out=_proofs(target)[0], on_progress=said)
    said(COMPILING, 1, 1)
    _draw(surveyed, target / "figures", report)


def _prove(folder: str, texts: str, *models: str, report: OnProgress) -> None:
    """Fit the heads of `PROVED`, whatever models are named, and replace them."""
    from itertools import accumulate, pairwise

    from headscribe.api.fit import fit
    from headscribe.api.replace import opened_model, replace
    from headscribe.text.corpora import from_strings

    said = _of(f"proof on {_short(PROVED)}", report)
    said("letting it write stories", 0, 1)
    model = opened_model(PROVED)
    stories, name = _stories(model, sum(WRITTEN)), f"stories by {_short(PROVED)}"
    fit_on, select, measured = (
        from_strings(stories[begin:end], name=name)
        for begin, end in pairwise(accumulate(WRITTEN, initial=0))
    )
    said("letting it write stories", 1, 1)
    programs, replaced = _proofs(Path(folder))[1:]
    said("fitting formulas", 0, 1)
    fit(model, fit_on, terms=TERMS, test=select, max_tokens=TOKENS, out=programs, on_progress=said)
    said("fitting formulas", 1, 1)
    replace(
        model, programs, measured, fit_on, fractions=FRACTIONS, random_orders=1,
        alone=("formula",), max_tokens=TOKENS, out=replaced, on_progress=said,
    )  # fmt: skip


def _stories(model: "Model", number: int) -> list[str]:
    """What the model writes at random, always the same."""
    import torch

    from headscribe.models.stated import padding_id

    (given,) = model.encode([BEGINNING])
    ids = torch.from_numpy(given.ids).to(model.hf.device).repeat(number, 1)
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        ids = model.hf.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=True, temperature=TEMPERATURE,
            top_k=0, max_new_tokens=TOKENS - len(given), pad_token_id=padding_id(model.hf),
        )  # fmt: skip
    found: list[str] = model.tokenizer.batch_decode(ids, skip_special_tokens=True)
    return found


PARTS: dict[str, Callable[..., None]] = {"names": _name, "proof": _prove}


def _of(whose: str, report: OnProgress) -> OnProgress:
    """Progress with what it is about before the stage."""
    return lambda stage, done, total: report(f"{whose}: {stage}", done, total)


def _draw(surveyed: Any, folder: Path, report: OnProgress) -> None:  # noqa: ANN401
    """The optimal matrices of the classic patterns, and the figures of a survey."""
    from headscribe.api.figures import optimal_figures, survey_figures
    from headscribe.report.figures import save_figure

    report("figures", 0, 1)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {
        f"{surveyed.folder.name}-{name}": one for name, one in survey_figures(surveyed).items()
    }
    for name, figure in (optimal_figures() | drawn).items():
        save_figure(figure, folder / f"{name}.png")
    report("figures", 1, 1)


def _side_by_side(arguments: Sequence[str], report: OnProgress) -> None:
    """Every part in a process; the first error ends them all, as does leaving by an exception."""
    threads = max(cores() // len(PARTS), 1)
    heard: SimpleQueue[tuple[Command, list[Any] | Exception | None]] = SimpleQueue()

    def hear(command: Command) -> None:
        try:
            while (said := command.answer()["progress"]) is not None:
                heard.put((command, said))
            heard.put((command, None))
        except Exception as error:  # noqa: BLE001  # raised by whoever listens
            heard.put((command, error))

    with _started(arguments, threads) as commands:
        for command in commands:
            Thread(target=hear, args=(command,), daemon=True).start()
        left = len(commands)
        while left:
            command, said = heard.get()
            if isinstance(said, EOFError):
                raise RunError(f"a process of the demonstration {command.end()}")
            if isinstance(said, Exception):
                raise said
            if said is None:
                left -= 1
            else:
                report(*said)


@contextmanager
def _started(arguments: Sequence[str], threads: int) -> Iterator[list[Command]]:
    commands: list[Command] = []
    try:
        for part in PARTS:
            commands.append(Command(__name__, part, *arguments, threads=threads))
        yield commands
    finally:
        for command in commands:
            command.end()


def _part() -> None:
    """Be a process of one part; it ends with its parent, however that ends."""

    def mind() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    with answering() as answer:
        Thread(target=mind, daemon=True).start()
        part, *arguments = sys.argv[1:]
        PARTS[part](*arguments, report=lambda *said: answer({"progress": said}))
        answer({"progress": None})


if __name__ == "__main__":
    _part()
