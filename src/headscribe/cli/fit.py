"""`headscribe fit`."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from headscribe.cli.options import (
    AnnotatorOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
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

if TYPE_CHECKING:
    from headscribe.fitting.heads import Atlas


def fit(
    model: ModelArgument = None,
    text: TextOption = None,
    recorded: RecordedOption = None,
    test: Annotated[
        list[str] | None,
        typer.Option(
            "--test",
            metavar="PATH",
            help="Texts to score on. Default: five-fold cross-fitting on --text.",
            show_default=False,
        ),
    ] = None,
    terms: Annotated[int, typer.Option("--terms", min=1, help="Terms a formula.")] = 12,
    threshold: Annotated[
        float, typer.Option("--threshold", min=0, help="What a label has to gain, in IoU and JSD.")
    ] = 0.05,
    look_ahead: Annotated[
        bool | None,
        typer.Option(
            "--look-ahead/--no-look-ahead",
            help="May relations read later tokens? Default: not in causal models.",
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
    """Fit a readable formula to every head; score it on unseen text."""
    from headscribe.api.fit import fit as run_fit
    from headscribe.cli.progress import progress
    from headscribe.text.corpora import read

    source, texts = source_of(model, text, recorded, device, dtype)
    unseen = None if test is None else read(test)
    with progress() as report:
        atlas = run_fit(
            source,
            texts,
            terms=terms,
            threshold=threshold,
            device=device,
            test=unseen,
            annotator=annotator,
            limit=limit,
            max_tokens=max_tokens,
            look_ahead=look_ahead,
            seed=seed,
            out=out,
            resume=resume,
            report=report,
        )
    if as_json:
        print(json.dumps(atlas.to_json(), ensure_ascii=False))
        return
    for one in atlas.heads:
        labels = ", ".join(label.pattern for label in one.labels) or "unexplained"
        print(f"{one}\n   labels: {labels}\n")
    gain = atlas.mean("gain")
    print(
        f"mean IoU on unseen texts {atlas.mean('formula').mean:.3f}, "
        f"profile {atlas.mean('profile').mean:.3f}, "
        f"gain {gain.mean:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
    )
    _print_findings(atlas)
    if out is not None:
        print(f"run: {out}")


def _print_findings(atlas: "Atlas") -> None:
    """A line each on layers, labels, kinds of head, likeness and mixtures."""
    import numpy as np

    from headscribe.fitting.labels import agreement
    from headscribe.fitting.mixture import REST

    found = atlas.findings
    assert found is not None
    heads, count = atlas.heads, len(atlas.heads)
    layers = atlas.layers()
    print("IoU by layer: " + "  ".join(f"{k} {e.mean:.2f}" for k, e in layers.items()))
    every, labelled = agreement(*found.halves)
    own = "" if np.isnan(labelled) else f", {labelled:.0%} of labelled ones"
    print(
        f"labels: {sum(bool(one.labels) for one in heads)} of {count} heads; "
        f"two halves of the texts agree on {every:.0%} of heads{own}"
    )
    kinds = [f"{len(c.formulas)} at {loss:.2f}" for loss, c in found.covers.items()]
    print(f"kinds of head: formulas that serve all {count}, by IoU lost: {', '.join(kinds)}")
    if count > 1:
        upper = np.where(np.tri(count, dtype=bool), np.inf, found.distance)
        a, b = np.unravel_index(int(upper.argmin()), upper.shape)
        print(
            f"most alike: {heads[int(a)].head.prose} and {heads[int(b)].head.prose}, "
            f"Jensen-Shannon distance {upper.min():.3f}"
        )
    main = [next((p.pattern for p in parts if p.pattern != REST), REST) for parts in found.mixtures]
    ranked = sorted({name: main.count(name) for name in main}.items(), key=lambda x: (-x[1], x[0]))
    print("heaviest part: " + ", ".join(f"{name} {n}" for name, n in ranked[:5]))
