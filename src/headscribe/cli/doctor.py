"""`headscribe doctor`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from headscribe.cli.options import DeviceOption, JsonOption, StackOption


def doctor(
    model: Annotated[
        str | None, typer.Argument(metavar="MODEL", help="A model to look at.")
    ] = None,
    device: DeviceOption = None,
    stack: StackOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what works here: versions, devices, bundled assets, and what a model supports."""
    from headscribe.api.doctor import examine

    health = examine(model, device, stack)
    if as_json:
        print(json.dumps(asdict(health), ensure_ascii=False))
        return
    for line in health.lines():
        print(line)
    if not health.healthy:
        raise typer.Exit(1)
