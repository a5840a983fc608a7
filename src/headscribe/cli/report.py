"""`headscribe report`."""

from typing import Annotated

import typer


def report(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Directories of runs.")],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE.html", help="Where to write the page.")
    ] = "report.html",
) -> None:
    """Write runs as one HTML page that needs no network."""
    from headscribe.report.page import report as write_report

    print(write_report(runs, out))
