"""Options that several commands share, each in one place."""

from typing import Annotated

import typer

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
LayersOption = Annotated[
    str | None,
    typer.Option(
        "--layers",
        metavar="LAYERS",
        help="Some layers only: 0,5,11 or 0-3,11. Default: all.",
        show_default=False,
    ),
]
EngineOption = Annotated[
    str, typer.Option("--engine", help="local, or ray: the machines of a Ray cluster.")
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=0,
        help="Processes that annotate beside the model; with ray, its workers. Default: as many as "
        "the work is worth, with ray as the cluster holds.",
        show_default=False,
    ),
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
