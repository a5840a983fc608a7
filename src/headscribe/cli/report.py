"""`headscribe report`."""

import sys
from typing import Annotated

import typer

from headscribe.core.errors import RunError, UsageError


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Directories of runs.")],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE.html", help="Where to write the page.")
    ] = "report.html",
) -> None:
    """Write runs as one HTML page that needs no network; those that cannot be read are left out."""
    from headscribe.report.opening import open_to_show
    from headscribe.report.page import report as write_report

    opened, problems = [], []
    for run in runs:
        try:
            opened.append(open_to_show(run))
        except (UsageError, RunError) as error:
            problems.append(error)
    if opened:
        print(write_report(opened, out))
        for shown in opened:
            if (damage := shown.manifest.get("damaged")) is not None:
                print(f"headscribe: shown as far as its tables tell: {damage}", file=sys.stderr)
    for problem in problems[:-1]:
        print(f"headscribe: left out: {problem}", file=sys.stderr)
    if problems:
        raise type(problems[-1])(f"{'left out: ' if opened else ''}{problems[-1]}")
