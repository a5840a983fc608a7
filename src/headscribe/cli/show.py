"""`headscribe show`."""

import sys
from typing import Annotated

import typer

from headscribe.cli.options import MetricOption, RunArgument, ViewOption
from headscribe.core.errors import UsageError, unknown_name


def show(
    run: RunArgument,
    head: Annotated[str, typer.Argument(metavar="HEAD", help="Such as 7.10 or L7H10.")],
    text_id: Annotated[str | None, typer.Option(metavar="ID", help="Which example text.")] = None,
    text: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="On this text of yours, which the model reads now."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Which model reads it. Default: that of the run."),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Beside which pattern. Default: what its name says."),
    ] = None,
    metric: MetricOption = "jsd",
    view: ViewOption = "raw",
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write the figure.")] = None,
) -> None:
    """Show one head: what it does, its attention beside what that predicts, and its scores."""
    if text is not None:
        if text_id is not None:
            raise UsageError("expected --text or --text-id, got both")
        _show_on_text(run, head, text, pattern, model, metric, view, png)
        return
    from headscribe.api.explain import held_cards
    from headscribe.core.heads import HeadId
    from headscribe.report.reading import worth_showing
    from headscribe.report.terminal import print_head
    from headscribe.results import queries
    from headscribe.results.examples import read_examples
    from headscribe.results.run import Run

    opened = Run.open(run)
    identity = HeadId.of(head)
    if "scores" not in opened.manifest["tables"] and "cards" in opened.manifest["tables"]:
        raise UsageError(
            f"{run} scored no patterns; what the head does: headscribe explain {run} {identity}"
        )
    scores = queries.of_head(opened, identity, metric=metric, view=view)
    examples = read_examples(opened)
    if text_id is not None and text_id not in examples:
        raise unknown_name("example text of this run", text_id, list(examples))
    if not examples or not scores:
        raise UsageError(
            f"{run} holds no scores, or no example texts (none of more than 256 tokens is kept); "
            "--text shows the head on a sentence of yours"
        )
    card = held_cards(opened).get(identity)
    # By name, for every text: what it does first, then the patterns that were scored.
    shown = {text: one.behaviours | one.patterns for text, one in examples.items()}
    known = next(iter(shown.values()))
    if pattern is not None and pattern not in known:
        raise unknown_name("pattern of this run", pattern, list(known))
    does = card.pictured[0] if card and card.pictured else ""
    best = pattern or (does if does in known else worth_showing(opened, scores))
    # A short text, where it says something of one.
    example = (
        examples[text_id]
        if text_id is not None
        else min(
            examples.values(),
            key=lambda one: (not any(shown[one.text_id][best].data), len(one.labels)),
        )
    )
    real = example.heads[str(identity)].matrix()
    predicted = shown[example.text_id][best].matrix()
    matrices = {
        f"Attention of {identity.prose} on text {example.text_id}": real,
        f"What {f'“{best}”' if best in example.behaviours else best} predicts": predicted,
    }
    print_head(identity, scores, example.labels, matrices, card=str(card or ""))
    if png is not None:
        from headscribe.report.figures import matrix_figure, save_figure
        from headscribe.report.reading import provenance, scored

        score = next((one for one in scores if one.pattern == best), None)
        # The sentence of its name: the first of a place, the second of what it reads.
        named = card is not None and any(one.behaviour == card.name for one in card.figures)
        said = "" if card is None else f"{card.sentence.split('. ')[named]}."
        figure = matrix_figure(
            example.labels,
            {f"{identity.prose}": real, best: predicted, "difference": real - predicted},
            title=f"{identity.prose}: {card.name}" if card else f"{identity.prose} beside {best}",
            subtitle=scored(score) if score else said,
            note=provenance(opened, f"text {example.text_id}"),
        )
        save_figure(figure, png)
        print(png)
    else:
        print("--png FILE draws both, and their difference, side by side", file=sys.stderr)


def _show_on_text(
    folder: str,
    head: str,
    text: str,
    pattern: str | None,
    model: str | None,
    metric: str,
    view: str,
    png: str | None,
) -> None:
    """The head's card and scores in the run, and its attention on a text that was not in it."""
    from headscribe.api.explain import held_cards
    from headscribe.api.survey import Survey
    from headscribe.api.trying import attention, predict
    from headscribe.core.heads import HeadId
    from headscribe.models.loading import load
    from headscribe.patterns.registry import registry
    from headscribe.report.reading import worth_showing
    from headscribe.report.terminal import print_head

    survey, identity = Survey.open(folder), HeadId.of(head)
    config = survey.run.manifest["config"]
    scores = survey.head(identity, metric, view)
    named = model or config["model"]
    if named is None:
        raise UsageError("this run is of a recording: say which model reads the text (--model)")
    card = held_cards(survey.run).get(identity)
    does = dict([card.pictured]) if card and card.pictured else {}
    loaded = load(named, dtype=config.get("dtype"), stack=config.get("stack"))
    best = pattern or next(iter(does), None) or worth_showing(survey.run, scores)
    real = attention(loaded, text, identity)
    # A relation of the user's own, and a behaviour, have a name in this run alone.
    described = {one["name"]: one.get("relation") for one in survey.run.manifest["patterns"]}
    relation = (described | does).get(best)
    expected = predict(relation if best not in registry() and relation else best, text, loaded)
    shown = f"“{best}”" if best in does else best
    titles = f"Attention of {identity.prose} on this text", f"What {shown} predicts"
    print_head(
        identity,
        scores,
        real.labels,
        dict(zip(titles, (real.values, expected.values), strict=True)),
        card=str(card or ""),
    )
    if png is not None:
        print(real.save(png, expected))
