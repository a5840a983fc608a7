"""Options that several commands share, each in one place."""

from typing import TYPE_CHECKING, Annotated

import typer

from headscribe.core.errors import UsageError

if TYPE_CHECKING:
    from headscribe.models.model import Model
    from headscribe.models.recorded import Recording
    from headscribe.text.corpora import Corpus

ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="MODEL",
        help="A hub id, a folder, bundled:stories or bundled:minilm; none with --recorded.",
        show_default=False,
    ),
]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The directory of a run.", show_default=False)
]
TextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="PATH",
        help="Texts: .txt, .jsonl, .csv, .parquet or .conllu, also .gz; may be given again.",
        show_default=False,
    ),
]
RecordedOption = Annotated[
    str | None,
    typer.Option(
        "--recorded",
        metavar="FOLDER",
        help="Recorded attention, in place of MODEL and --text.",
        show_default=False,
    ),
]
LimitOption = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most so many texts.", show_default=False)
]
MaxTokensOption = Annotated[
    int | None,
    typer.Option(
        "--max-tokens", min=1, help="Cut every text to so many tokens.", show_default=False
    ),
]
AnnotatorOption = Annotated[
    str | None,
    typer.Option(
        "--annotator",
        metavar="NAME",
        help="plain, conllu, bundled:en or a spaCy pipeline. Default: gold words or bundled:en.",
        show_default=False,
    ),
]
SeedOption = Annotated[int, typer.Option("--seed", help="Decides splits and folds.")]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="cpu, cuda, mps; auto: spread over all. Default: the best.",
        show_default=False,
    ),
]
DtypeOption = Annotated[
    str | None,
    typer.Option(
        "--dtype",
        help="float32, bfloat16, ... Default: as stored; on a CPU not half.",
        show_default=False,
    ),
]
StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        help="Of an encoder-decoder model: encoder (default) or decoder.",
        show_default=False,
    ),
]
OutOption = Annotated[
    str | None,
    typer.Option(
        "--out", metavar="RUN", help="Directory of the run. Default: a new one under runs/.",
        show_default=False,
    ),
]  # fmt: skip
LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library",
        metavar="FILE",
        help="The program library. Default: one in your own data folder.",
        show_default=False,
    ),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
MetricOption = Annotated[
    str,
    typer.Option(
        "--metric", help="jsd, sae, sae_sum, mae, iou, overlap, mass, mass_gain, hit or hit_gain."
    ),
]
ViewOption = Annotated[
    str, typer.Option("--view", help="raw, or content: sinks removed from rows and keys.")
]
SplitOption = Annotated[
    str, typer.Option("--split", help="all (descriptive), fit, select or test.")
]


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


def help_without_command(context: typer.Context) -> None:
    """Print the help of a group of commands where none of them is named."""
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit
