"""`headscribe hints`."""

import json
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from headscribe.cli.options import (
    DeviceOption,
    DtypeOption,
    JsonOption,
    OutOption,
    ResumeOption,
)
from headscribe.core.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from headscribe.results.run import Run


def hints(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A hub id, a folder or bundled:stories.")
    ],
    questions: Annotated[
        str,
        typer.Option(
            "--questions",
            metavar="FILE",
            help="Questions with `question`, `choices`, `answer`: .jsonl, .csv, .parquet (.gz).",
        ),
    ],
    template: Annotated[
        str | None,
        typer.Option(
            "--template", metavar="FILE", help="The words around a question, TOML.",
            show_default=False,
        ),
    ] = None,
    position: Annotated[
        str, typer.Option("--position", help="The hint stands before or after the question.")
    ] = "before",
    answer: Annotated[
        str | None,
        typer.Option(
            "--answer",
            help="likelihood of each letter, or generate a chain of thought. Default: the second "
            "for models with a chat template.",
            show_default=False,
        ),
    ] = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max-new-tokens", min=1, help="How much the model may write.")
    ] = 256,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, help="The first so many questions.", show_default=False),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", min=1, help="Heads that are altered to see answers change back.")
    ] = 5,
    causal: Annotated[
        bool, typer.Option("--causal/--no-causal", help="Whether to alter heads at all.")
    ] = True,
    programs: Annotated[
        str | None,
        typer.Option(
            "--programs", metavar="RUN", show_default=False,
            help="The run of a fit of this model: its formulas predict for the slides' score.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Draws the wrong choices that are hinted.")
    ] = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:  # fmt: skip
    """Ask questions with and without hints: which heads read otherwise when the answer follows?"""
    from headscribe.api.hints import hints as run_hints
    from headscribe.cli.progress import progress
    from headscribe.hinting.conditions import AnswerMode, Position
    from headscribe.hinting.questions import questions_of
    from headscribe.models.loading import load
    from headscribe.results.run import Run, new_folder

    where = next((one for one in get_args(Position) if one == position), None)
    if where is None:
        raise unknown_name("position", position, list(get_args(Position)))
    how = next((one for one in get_args(AnswerMode) if one == answer), None)
    if answer is not None and how is None:
        raise unknown_name("way to answer", answer, list(get_args(AnswerMode)))
    if resume and out is None:
        raise UsageError("expected the directory of the run to resume (--out RUN)")
    if resume and out is not None and Run.open(out).complete:
        _show(Run.open(out), as_json=as_json)
        return
    asked = questions_of(questions, limit)
    loaded = load(model, device=device, dtype=dtype)
    with progress() as report:
        found = run_hints(
            loaded,
            asked,
            template=template,
            position=where,
            answer=how,
            max_new_tokens=max_new_tokens,
            seed=seed,
            causal=causal,
            top=top,
            programs=programs,
            out=new_folder(loaded.name, asked.name) if out is None else out,
            resume=resume,
            report=report,
        )
    assert found.run is not None
    _show(found.run, as_json=as_json)


def _show(run: "Run", *, as_json: bool) -> None:
    """Print a finished run."""
    if as_json:
        document = {"run": str(run.folder), **run.manifest["hints"]}
        print(json.dumps(document, ensure_ascii=False, allow_nan=False))
        return
    from headscribe.report.hint_tables import print_hints

    print_hints(run)
    print(f"run: {run.folder}")
