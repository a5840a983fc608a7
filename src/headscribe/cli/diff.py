"""`headscribe diff`."""

from typing import Annotated

import typer

from headscribe.cli.options import JsonOption, MetricOption, SplitOption, ViewOption


def diff(
    first: Annotated[str, typer.Argument(metavar="RUN", help="One run.")],
    second: Annotated[str, typer.Argument(metavar="RUN", help="Another of its kind.")],
    metric: MetricOption = "jsd",
    view: ViewOption = "raw",
    split: SplitOption = "all",
    k: Annotated[int, typer.Option("-k", min=1, help="So many of the largest changes.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs: which names of heads hold in both, then the largest changes."""
    from headscribe.results.comparison import as_json as written
    from headscribe.results.comparison import compare
    from headscribe.results.names import names_of
    from headscribe.results.run import Run

    run, other = Run.open(first), Run.open(second)
    names = names_of(run, other)
    only = names is not None and (run.kind == "explain" or other.kind == "explain")
    comparison = None if only else compare(run, other, metric=metric, view=view, split=split)
    if as_json:
        print(written(comparison, names, run, other))
        return
    from headscribe.report.changes import print_changes, print_names

    if names is not None:
        print_names(names, k)
    if comparison is not None:
        print_changes(comparison, run, other, k)
