"""`headscribe`: the commands, and what becomes of errors."""

import sys

import typer

from headscribe.api import requests as asked
from headscribe.cli import (
    bench,
    describe,
    discover,
    effects,
    explain,
    fit,
    hints,
    probe,
    record,
    replace,
    survey,
)
from headscribe.cli.commands import command
from headscribe.cli.decompose import decompose
from headscribe.cli.demo import demo
from headscribe.cli.diff import diff
from headscribe.cli.doctor import doctor
from headscribe.cli.explore import explore
from headscribe.cli.patterns import app as patterns_app
from headscribe.cli.report import report
from headscribe.cli.show import show
from headscribe.cli.top import top
from headscribe.core.errors import HeadscribeError, UsageError
from headscribe.core.visible import visible

app = typer.Typer(
    name="headscribe",
    help="Write down, as code, what every attention head does; measure how true it is.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(command(asked.SurveyRequest, "headscribe.api.survey:survey", survey.show))
app.command()(
    command(
        asked.ExplainRequest, "headscribe.cli.explain:explain_heads", explain.show, "explain",
        heads=explain.HeadsArgument, head=explain.HeadOption,
    )
)  # fmt: skip
app.command()(command(asked.EffectsRequest, "headscribe.api.effects:effects", effects.show))
app.command()(command(asked.ProbeRequest, "headscribe.api.probe:probe", probe.show))
app.command()(top)
app.command()(show)
app.command()(command(asked.FitRequest, "headscribe.api.fit:fit", fit.show))
app.command()(decompose)
app.command()(command(asked.DiscoverRequest, "headscribe.api.discover:discover", discover.show))
app.command()(command(asked.DescribeRequest, "headscribe.api.describe:describe", describe.show))
app.command()(
    command(
        asked.ReplaceRequest, "headscribe.cli.replace:replace_or_talk", replace.show, "replace",
        generate=replace.GenerateOption,
    )
)  # fmt: skip
app.command()(command(asked.HintsRequest, "headscribe.api.hints:hints", hints.show))
app.command()(command(asked.RecordRequest, "headscribe.api.record:record", record.show))
app.command()(explore)
app.command()(command(asked.BenchRequest, "headscribe.api.bench:bench", bench.show))
app.command()(report)
app.command()(diff)
app.command()(doctor)
app.command()(demo)
app.add_typer(patterns_app, name="patterns")


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        print(f"headscribe {installed('headscribe')}")
        raise typer.Exit


INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


def main() -> None:
    """Run the command line; an error becomes one line on stderr and its exit status."""
    try:
        status = app(standalone_mode=False)
    except HeadscribeError as error:
        print(f"headscribe: {_one_line(str(error))}", file=sys.stderr)
        sys.exit(error.exit_status)
    except typer.TyperException as error:
        # What typer raises of a command line has a message of its own; the classes are private.
        message = getattr(error, "format_message", error.__str__)()
        if type(error).__name__ == "NoArgsIsHelpError":
            print(message)
            return
        message = _one_line(message).replace("Input should be", "expected")
        print(f"headscribe: {message}", file=sys.stderr)
        sys.exit(UsageError.exit_status)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    else:
        if status == INTERRUPTED:  # typer's word for Ctrl-C
            print(
                "headscribe: interrupted; --resume goes on with a run that had begun",
                file=sys.stderr,
            )
        sys.exit(status)


def _one_line(message: str) -> str:
    """The message without line breaks and control characters, which untrusted text may carry."""
    return visible(" ".join(message.split()))
