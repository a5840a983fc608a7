"""`headscribe replace`."""

import json
from typing import Annotated, cast, get_args

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
from headscribe.core.rows import RowPolicy


def replace(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A hub id, a folder or bundled:stories.")
    ],
    programs: Annotated[
        str,
        typer.Option(
            "--programs",
            metavar="RUN|FILE|effect",
            help="The run of a fit, a file of formulas by head, or one of lines "
            "`LAYER.HEAD: PROGRAM`, where PROGRAM is a pattern, a relation, a .py file, zero, "
            "profile or mean; or effect: formulas fitted to do what the heads do.",
        ),
    ],
    text: TextOption = None,
    fit_text: Annotated[
        list[str] | None,
        typer.Option(
            "--fit-text",
            metavar="PATH",
            help="Texts that the controls are estimated on, effect is fitted on, --tune reads.",
            show_default=False,
        ),
    ] = None,
    fractions: Annotated[
        str, typer.Option("--fractions", help="Shares of the heads to replace.")
    ] = "0.05,0.1,0.25,0.5,0.75,1",
    rows: Annotated[
        str,
        typer.Option(
            "--rows",
            metavar="POLICY",
            help="Rows that a program says nothing about: exclude (keep the head's own), sink, "
            "self or uniform.",
        ),
    ] = "exclude",
    trust: Annotated[
        bool, typer.Option("--trust", help="Run .py files that you wrote without the sandbox.")
    ] = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Also tune the weights on the altered model's loss.")
    ] = False,
    generate: Annotated[
        str | None,
        typer.Option(
            "--generate",
            metavar="TEXT",
            help="Instead: go on with this text, the largest of the fractions replaced.",
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
    """Put programs inside the model in place of their heads; measure what it costs."""
    from headscribe.api.replace import replace as run_replace
    from headscribe.api.replace import talk
    from headscribe.cli.progress import progress
    from headscribe.models.loading import load
    from headscribe.text.corpora import read

    shares, policy = _fractions(fractions), _policy(rows)
    loaded = load(model, device=device, dtype=dtype)
    if generate is not None:
        before, after = talk(
            loaded,
            programs,
            generate,
            fraction=max(shares),
            policy=policy,
            trust=trust,
            fit_texts=read(fit_text) if fit_text else None,
        )
        if as_json:
            print(json.dumps({"unaltered": before, "replaced": after}, ensure_ascii=False))
        else:
            from headscribe.report.labels import visible_lines

            print(f"unaltered: {visible_lines(before)}\nreplaced:  {visible_lines(after)}")
        return
    if not text or not fit_text:
        raise UsageError("expected --text PATH to measure on and --fit-text PATH for the controls")
    with progress() as report:
        found = run_replace(
            loaded,
            programs,
            read(text),
            read(fit_text),
            fractions=shares,
            policy=policy,
            tune=tune,
            trust=trust,
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
        found = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"expected numbers between commas, got {text!r}") from error
    if not all(0 < one <= 1 for one in found):
        raise UsageError(f"expected fractions above 0 and up to 1, got {text!r}")
    return found


def _policy(text: str) -> RowPolicy:
    if text not in get_args(RowPolicy):
        raise UsageError(f"expected --rows {', '.join(get_args(RowPolicy))}, got {text!r}")
    return cast("RowPolicy", text)
