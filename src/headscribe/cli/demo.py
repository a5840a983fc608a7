"""`headscribe demo`."""

import json
from typing import Annotated

import typer

from headscribe.cli.options import JsonOption


def demo(
    out: Annotated[
        str, typer.Option(metavar="FOLDER", help="A new folder for everything.")
    ] = "headscribe-demo",
    as_json: JsonOption = False,
) -> None:
    """Say what the heads of two bundled models do, replace those of one; needs no network."""
    from headscribe.api.demo import demo as run_demo
    from headscribe.api.progress import shown

    with shown(None, stages=True) as report:
        found = run_demo(out, report)
    if as_json:
        print(
            json.dumps(
                {"run": str(found.folder), "report": str(found.report), "seconds": found.seconds}
            )
        )
        return
    from textwrap import fill

    for answer in found.answers:
        print(f"{fill(answer, 79)}\n")
    for run in found.runs:
        print(f"run      {run}")
    print(f"figures  {found.folder / 'figures'} ({len(found.figures)} files)")
    print(f"report   {found.report}")
    print(f"{found.seconds:.0f} seconds; open the report in a browser")
