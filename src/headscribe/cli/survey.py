"""`headscribe survey`."""

import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headscribe.cli.options import (
    AnnotatorOption,
    DeviceOption,
    DtypeOption,
    EngineOption,
    JsonOption,
    LayersOption,
    LibraryOption,
    LimitOption,
    MaxTokensOption,
    ModelArgument,
    OutOption,
    RecordedOption,
    ResumeOption,
    SeedOption,
    StackOption,
    TextOption,
    WorkersOption,
)
from headscribe.core.errors import UsageError

if TYPE_CHECKING:
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording
    from headscribe.text.corpora import Corpus


def survey(
    model: ModelArgument = None,
    text: TextOption = None,
    recorded: RecordedOption = None,
    patterns: Annotated[
        str | None,
        typer.Option(
            "--patterns",
            metavar="NAMES",
            help="Names of the catalogue, separated by commas; library for what discover found. "
            "Default: the default set.",
            show_default=False,
        ),
    ] = None,
    pattern: Annotated[
        list[str] | None,
        typer.Option(
            "--pattern",
            metavar="EXPR",
            help="A relation of your own, beside the others; may be given again.",
            show_default=False,
        ),
    ] = None,
    pattern_file: Annotated[
        str | None,
        typer.Option(
            "--pattern-file",
            metavar="FILE",
            help="A file of relations or formulas, or with --trust of Python, beside the others.",
            show_default=False,
        ),
    ] = None,
    trust: Annotated[
        bool,
        typer.Option(
            "--trust", help="Run a Python file, or the library's programs, without the sandbox."
        ),
    ] = False,
    library: LibraryOption = None,
    limit: LimitOption = None,
    max_tokens: MaxTokensOption = None,
    annotator: AnnotatorOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    stack: StackOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    layers: LayersOption = None,
    engine: EngineOption = "local",
    workers: WorkersOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score every head against every pattern."""
    from headscribe.api.choice import named_patterns
    from headscribe.api.survey import survey as run_survey
    from headscribe.cli.progress import progress

    source, texts = source_of(model, text, recorded, device, dtype, stack)
    chosen = named_patterns(patterns, pattern or [])
    if pattern_file is not None:
        from headscribe.api.formulas import patterns_of_file

        chosen = [*(chosen or ["default"]), *patterns_of_file(pattern_file, trust=trust)]
    with progress() as report:
        found = run_survey(
            source,
            texts,
            patterns=chosen,
            annotator=annotator,
            limit=limit,
            max_tokens=max_tokens,
            seed=seed,
            library=library,
            trust=trust,
            out=out,
            resume=resume,
            layers=None if layers is None else layers_of(layers),
            engine=engine,
            workers=workers,
            report=report,
        )
    from headscribe.results import queries

    manifest = found.run.manifest
    scores = queries.top(found.run, k=3)
    if as_json:
        print(
            json.dumps(
                {
                    "run": str(found.run.folder),
                    "skipped": manifest["skipped"],
                    "failures": manifest["failures"],
                    "notes": manifest["notes"],
                    "top": [score.as_dict() for score in scores],
                },
                ensure_ascii=False,
            )
        )
        return
    from headscribe.report.terminal import print_layers, print_top

    print_top(scores)
    print_layers(found.run.table("layers").to_pylist())
    for name, reason in manifest["skipped"].items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    for name, count in manifest["failures"].items():
        print(f"{name} failed on {count} texts", file=sys.stderr)
    for note in manifest["notes"]:
        print(note, file=sys.stderr)
    print(f"run: {found.run.folder}")


def source_of(
    model: str | None,
    text: list[str] | None,
    recorded: str | None,
    device: str | None,
    dtype: str | None,
    stack: str | None = None,
) -> "tuple[Model | Recording, Corpus | None]":
    """The model and corpus, or the recording, that the input options name.

    Raises:
        UsageError: neither or both are given, or one of them does not exist.
    """
    if recorded is not None:
        if model is not None or text:
            raise UsageError("expected either MODEL with --text or --recorded FOLDER, got both")
        from headscribe.models.recorded import Recording

        return Recording(recorded), None
    if model is None or not text:
        missing = "MODEL and --text PATH" if model is None else "--text PATH"
        raise UsageError(f"expected {missing}, or --recorded FOLDER")
    from headscribe.models.loading import load
    from headscribe.text.corpora import read

    corpus = read(text)
    return load(model, device=device, dtype=dtype, stack=stack), corpus


def layers_of(text: str) -> list[int]:
    """The layers of `0,5,11` or `0-3,11`.

    Raises:
        UsageError: something else.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        numbers = [first, last] if dash else [first]
        if not all(number.isdecimal() and len(number) <= 4 for number in numbers):
            raise UsageError(f"expected layers such as 0,5,11 or 0-3, got {text[:40]!r}")
        found += range(int(first), int(last or first) + 1)
    return found
