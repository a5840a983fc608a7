"""`headscribe discover`."""

import json
import sys
from typing import Annotated

import typer

from headscribe.cli.options import (
    AnnotatorOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    LibraryOption,
    LimitOption,
    MaxTokensOption,
    ModelArgument,
    OutOption,
    RecordedOption,
    ResumeOption,
    SeedOption,
    TextOption,
    source_of,
)


def discover(
    model: ModelArgument = None,
    text: TextOption = None,
    recorded: RecordedOption = None,
    llm: Annotated[
        str,
        typer.Option(
            "--llm",
            metavar="SPEC",
            help="Who proposes programs: offline (a search, no language model), exchange:FOLDER "
            "(prompts and answers as files), replay:FILE (a recorded run), anthropic:MODEL, "
            "openai:MODEL, google:MODEL, or compatible:URL#MODEL.",
        ),
    ] = "offline",
    heads: Annotated[
        str,
        typer.Option(
            "--heads",
            metavar="HEADS",
            help="Heads such as 7.1,7.10, or worst:N, those whose formulas explain least.",
        ),
    ] = "worst:10",
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Proposals a head.")] = 3,
    budget_usd: Annotated[
        float | None,
        typer.Option(
            "--budget-usd",
            min=0.0,
            help="What the language model may cost, in US dollars; checked before each call.",
            show_default=False,
        ),
    ] = None,
    budget_tokens: Annotated[
        int | None,
        typer.Option(
            "--budget-tokens",
            min=1,
            help="The same in tokens, prompts and answers together.",
            show_default=False,
        ),
    ] = None,
    terms: Annotated[int, typer.Option("--terms", min=1, help="Terms a formula.")] = 12,
    workers: Annotated[
        int, typer.Option("--workers", min=1, help="Heads at a time, where answers take long.")
    ] = 1,
    evidence_tokens: Annotated[
        int,
        typer.Option("--evidence-tokens", min=1000, help="What a head's evidence may take."),
    ] = 12_000,
    library: LibraryOption = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Run Python programs without the sandbox.")
    ] = False,
    look_ahead: Annotated[
        bool | None,
        typer.Option(
            "--look-ahead/--no-look-ahead",
            help="May programs read later tokens? Default: not in causal models.",
            show_default=False,
        ),
    ] = None,
    limit: LimitOption = None,
    max_tokens: MaxTokensOption = None,
    annotator: AnnotatorOption = None,
    seed: SeedOption = 0,
    device: DeviceOption = None,
    dtype: DtypeOption = None,
    out: OutOption = None,
    resume: ResumeOption = False,
    as_json: JsonOption = False,
) -> None:
    """Look for programs of heads that beat their formulas, the catalogue and the library."""
    from headscribe.api.discover import discover as run_discover
    from headscribe.cli.progress import progress

    source, texts = source_of(model, text, recorded, device, dtype)
    with progress() as report:
        found = run_discover(
            source,
            texts,
            llm=llm,
            heads=heads,
            rounds=rounds,
            budget_usd=budget_usd,
            budget_tokens=budget_tokens,
            terms=terms,
            workers=workers,
            evidence_tokens=evidence_tokens,
            library=library,
            trust=trust,
            look_ahead=look_ahead,
            annotator=annotator,
            limit=limit,
            max_tokens=max_tokens,
            seed=seed,
            out=out,
            resume=resume,
            report=report,
            tell=_tell,
        )
    if as_json:
        print(json.dumps(found.to_json(), ensure_ascii=False))
    else:
        from headscribe.core.visible import visible_lines

        print(visible_lines(str(found)))
    assert found.run is not None
    for note in found.run.manifest["notes"]:
        print(note, file=sys.stderr)
    print(f"run: {found.run.folder}", file=sys.stderr if as_json else sys.stdout)
    if found.tally.stopped:
        print(f"{found.tally.stopped} heads are unfinished: go on with --resume", file=sys.stderr)
        raise typer.Exit(1)


def _tell(note: str) -> None:
    print(note, file=sys.stderr, flush=True)
