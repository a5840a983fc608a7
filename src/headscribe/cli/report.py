"""`headscribe report`."""

from typing import Annotated

import typer


def report(
    runs: Annotated[
        list[str], typer.Argument(metavar="RUN...", help="Directories of runs.", show_default=False)
    ],
    out: Annotated[
        str, typer.Option("--out", "-o", metavar="FILE.html", help="Where to write the page.")
    ] = "report.html",
) -> None:
    """Write runs as one HTML page that needs no network."""
    from pathlib import Path

    from headscribe.report.opening import open_to_show
    from headscribe.report.page import write_page

    write_page([open_to_show(run) for run in runs], Path(out))
    print(out)
