"""`headscribe replace`."""

import json
from typing import Annotated

import typer

from headscribe.cli.options import (
    AnnotatorOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    LimitOption,
    MaxTokensOption,
    OutOption,
    ResumeOption,
    SeedOption,
    TextOption,
)
from headscribe.core.errors import UsageError


def replace(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A hub id, a folder or bundled:stories.")
    ],
    programs: Annotated[
        str, typer.Option("--programs", metavar="RUN", help="The run of a fit of this model.")
    ],
    text: TextOption = None,
    fit_text: Annotated[
        list[str] | None,
        typer.Option(
            "--fit-text",
            metavar="PATH",
            help="Texts that the controls are estimated on, and that --tune reads.",
            show_default=False,
        ),
    ] = None,
    fractions: Annotated[
        str, typer.Option("--fractions", help="Shares of the heads to replace.")
    ] = "0.05,0.1,0.25,0.5,0.75,1",
    tune: Annotated[
        bool, typer.Option("--tune", help="Also tune the weights on the altered model's loss.")
    ] = False,
    generate: Annotated[
        str | None,
        typer.Option(
            "--generate", metavar="TEXT", help="Instead: go on with this text.", show_default=False
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
    """Put the formulas inside the model in place of their heads; measure what it costs."""
    from headscribe.api.replace import replace as run_replace
    from headscribe.api.replace import talk
    from headscribe.cli.progress import progress
    from headscribe.models.loading import load

    shares = _fractions(fractions)
    loaded = load(model, device=device, dtype=dtype)
    if generate is not None:
        before, after = talk(loaded, programs, generate, fraction=max(shares))
        if as_json:
            print(json.dumps({"unaltered": before, "replaced": after}, ensure_ascii=False))
        else:
            print(f"unaltered: {before}\nreplaced:  {after}")
        return
    if not text or not fit_text:
        raise UsageError("expected --text PATH to measure on and --fit-text PATH for the controls")
    from headscribe.text.corpora import read

    with progress() as report:
        found = run_replace(
            loaded,
            programs,
            read(text),
            read(fit_text),
            fractions=shares,
            tune=tune,
            annotator=annotator,
            limit=limit,
            max_tokens=max_tokens,
            seed=seed,
            out=out,
            resume=resume,
            report=report,
        )
    if as_json:
        print(json.dumps(found.document, ensure_ascii=False))
        return
    document = found.document
    print(f"{document['metric']}, unaltered {document['unaltered']:.4g}")
    for point in document["curve"]:
        low, high = point["low"], point["high"]
        interval = "" if low is None else f"  ({low:+.1%} to {high:+.1%})"
        name = point["program"] + (" tuned" if point["tuned"] else "")
        print(
            f"{name:<20} {point['order']:<10} {point['fraction']:>5.0%} "
            f"{point['value']:>9.4g} {point['increase']:>+8.1%}{interval}"
        )


def _fractions(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"expected numbers between commas, got {text!r}") from error
