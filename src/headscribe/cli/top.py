"""`headscribe top`."""

import json
from typing import Annotated

import typer

from headscribe.cli.options import JsonOption, MetricOption, RunArgument, SplitOption, ViewOption
from headscribe.core.errors import UsageError, unknown_name


def top(
    run: RunArgument,
    pattern: Annotated[str | None, typer.Option(metavar="NAME", help="Only this pattern.")] = None,
    metric: MetricOption = "jsd",
    view: ViewOption = "raw",
    split: SplitOption = "all",
    k: Annotated[int, typer.Option("-k", min=1, help="Heads a pattern.")] = 3,
    coverage: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Leave out patterns that cover fewer of the rows. Default: 0.05, and 0 for one "
            "that is named.",
        ),
    ] = None,
    relations: Annotated[
        bool,
        typer.Option(
            "--relations", help="Instead: for every dependency relation the head that follows it."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the best heads of every pattern; of what heads do, where a run scored no patterns."""
    from headscribe.api.survey import Survey
    from headscribe.api.views import open_run
    from headscribe.results.names import heads_of_behaviours

    survey = open_run(run)
    behaviours = heads_of_behaviours(survey.run, k)
    if not isinstance(survey, Survey) or (pattern in behaviours and pattern not in survey.patterns):
        if not behaviours:
            survey = Survey.open(run)  # says what the run is instead
        if pattern is not None and pattern not in behaviours:
            raise unknown_name("behaviour of this run", pattern, list(behaviours))
        chosen = behaviours if pattern is None else {pattern: behaviours[pattern]}
        if as_json:
            print(json.dumps([row for rows in chosen.values() for row in rows], ensure_ascii=False))
            return
        from headscribe.report.terminal import print_behaviours

        print_behaviours(chosen)
        return
    if relations:
        from headscribe.results.relations import relation_accuracy

        lines = relation_accuracy(survey.run)
        if as_json:
            print(json.dumps([line.as_dict() for line in lines], ensure_ascii=False))
            return
        from headscribe.report.terminal import print_relations

        print_relations(lines)
        return

    scores = survey.scores(pattern, k, metric, view, split, coverage)
    if as_json:
        print(json.dumps([score.as_dict() for score in scores], ensure_ascii=False))
        return
    if not scores:
        raise UsageError(f"no score in {run} fits; --coverage 0 admits every pattern")
    from headscribe.report.terminal import print_top

    print_top(scores)
