"""`headscribe explore`."""

from typing import Annotated

import typer

from headscribe.cli.options import AnnotatorOption, DeviceOption, StackOption


def explore(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="A hub id, a folder, bundled:stories; or a folder of recorded attention.",
        ),
    ],
    runs: Annotated[
        list[str] | None,
        typer.Option(metavar="RUN",
            help="A run of this model, of survey, explain or fit; may be repeated.",
        ),
    ] = None,
    annotator: AnnotatorOption = None,
    device: DeviceOption = None,
    stack: StackOption = None,
    port: Annotated[
        int, typer.Option(help="Of this machine; 0: any that is free.", min=0, max=65535)
    ] = 0,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:  # fmt: skip
    """Type a text and see what every head does with it: a page on this machine, until Ctrl-C."""
    from headscribe.explore.server import opened, serve
    from headscribe.models.loading import load
    from headscribe.models.recorded import is_recording

    source = model if is_recording(model) else load(model, device=device, stack=stack)

    def said(address: str) -> None:
        ends = "Ctrl-C ends it; so does closing its last page."
        print(f"Explore {model} at {address}\n{ends}", flush=True)
        if browser:
            import webbrowser

            webbrowser.open(address)

    serve(opened(source, runs or (), annotator), port, said)
    print("ended")
