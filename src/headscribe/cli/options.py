"""Options that several commands share, each in one place."""

from typing import Annotated

import typer

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The directory of a run.")]
AnnotatorOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="plain, conllu, bundled:en or a spaCy pipeline. Default: gold words or bundled:en.",
    ),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="cpu, cuda, mps; auto: spread over all. Default: the best.")
]
StackOption = Annotated[
    str | None, typer.Option(help="Of an encoder-decoder model: encoder (default) or decoder.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
MetricOption = Annotated[
    str,
    typer.Option(help="jsd, sae, sae_sum, mae, iou, overlap, mass, mass_gain, hit or hit_gain."),
]
ViewOption = Annotated[str, typer.Option(help="raw, or content: sinks removed from rows and keys.")]
SplitOption = Annotated[str, typer.Option(help="all (descriptive), fit, select or test.")]
