"""`headscribe show`."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from headscribe.cli.options import MetricOption, RunArgument, ViewOption
from headscribe.core.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from headscribe.behaviours.card import Card
    from headscribe.core.heads import HeadId
    from headscribe.results.run import Run


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
        str | None, typer.Option(metavar="NAME", help="Beside which pattern. Default: the best.")
    ] = None,
    metric: MetricOption = "jsd",
    view: ViewOption = "raw",
    png: Annotated[str | None, typer.Option(metavar="FILE", help="Write the figure.")] = None,
) -> None:
    """Show one head: its scores, and its attention beside what a pattern predicts."""
    if text is not None:
        if text_id is not None:
            raise UsageError("expected --text or --text-id, got both")
        _show_on_text(run, head, text, pattern, model, metric, view, png)
        return
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
    names = queries.pattern_names(opened)
    if pattern is not None and pattern not in names:
        raise unknown_name("pattern of this run", pattern, names)
    example = (
        examples[text_id]
        if text_id is not None
        else min(examples.values(), key=lambda one: len(one.labels))
    )
    best = pattern or worth_showing(opened, scores)
    real = example.heads[str(identity)].matrix()
    predicted = example.patterns[best].matrix()
    matrices = {
        f"Attention of {identity.prose} on text {example.text_id}": real,
        f"What {best} predicts": predicted,
    }
    if (card := _card(opened, identity)) is not None:
        print(f"{card}\n")
    print_head(identity, scores, example.labels, matrices)
    if png is not None:
        from headscribe.report.figures import matrix_figure, save_figure
        from headscribe.report.reading import provenance, scored

        figure = matrix_figure(
            example.labels,
            {f"{identity.prose}": real, best: predicted, "difference": real - predicted},
            title=f"{identity.prose} beside {best}",
            subtitle=scored(next(s for s in scores if s.pattern == best)),
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
    """The head's scores in the run, and its attention on a text that was not in it."""
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
    loaded = load(named, dtype=config.get("dtype"), stack=config.get("stack"))
    card = _card(survey.run, identity)
    named_for = None if card is None else _relation(survey.run, card)
    best = pattern or (card.name if card and named_for else worth_showing(survey.run, scores))
    real = attention(loaded, text, identity)
    # A relation of the user's own has a name in this run alone.
    described = {one["name"]: one for one in survey.run.manifest["patterns"]}
    own = described.get(best, {}).get("relation")
    asked = named_for if pattern is None and named_for else best
    expected = predict(own if asked not in registry() and own else asked, text, loaded)
    shown = f"“{best}”" if asked == named_for else best
    titles = f"Attention of {identity.prose} on this text", f"What {shown} predicts"
    if card is not None:
        print(f"{card}\n")
    print_head(
        identity,
        scores,
        real.labels,
        dict(zip(titles, (real.values, expected.values), strict=True)),
    )
    if png is not None:
        print(real.save(png, expected))


def _card(run: "Run", head: "HeadId") -> "Card | None":
    """The head's card, where the run has cards."""
    from headscribe.behaviours.tables import TABLES, cards_of

    if not all(name in run.manifest["tables"] for name in TABLES):
        return None
    return cards_of({name: run.table(name).to_pylist() for name in TABLES})[head]


def _relation(run: "Run", card: "Card") -> str | None:
    """The relation of what the card is named for; None for places and sinks, which have none."""
    rows = run.table("behaviours").to_pylist()
    named = (row["relation"] for row in rows if row["behaviour"] == card.name)
    return next(named, None) if card.excess else None
