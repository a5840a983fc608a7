"""From a request to its command: options, help and call follow from the fields of the dataclass."""

import inspect
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any

import typer

from headscribe.cli.options import JsonOption
from headscribe.results.requests import Field, options_of


def command(
    request: type,
    verb: str,
    show: Callable[..., None],
    name: str | None = None,
    **more: Any,  # noqa: ANN401
) -> Callable[..., None]:
    """The function of a command, as typer reads it.

    Args:
        request: the class of the request; its docstring is the help.
        verb: the Python function that does the work, as `module:name`; imported when it is called,
            so that help is quick.
        show: prints what came of it; called with the result and `as_json`.
        name: of the command; the verb's by default.
        more: options of the command line alone, by name: their types for typer; None by default.
    """
    module, _, function = verb.partition(":")
    options = [field for field in options_of(request) if not field.option.python_only]

    def run(**given: Any) -> None:  # noqa: ANN401
        as_json = given.pop("as_json")
        result = getattr(import_module(module), function)(**given)
        show(result, as_json=as_json)

    parameters = [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[_type(option), _typer(option)],
        )
        for option in options
    ]
    parameters += [
        inspect.Parameter(
            one, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
        )
        for one, annotation, default in (
            *((one, annotation, None) for one, annotation in more.items()),
            ("as_json", JsonOption, False),
        )
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    run.__name__ = name or function
    run.__doc__ = request.__doc__
    return run


def _type(field: Field) -> Any:  # noqa: ANN401
    return field.type if field.option.typed is None else field.option.typed


def _typer(field: Field) -> Any:  # noqa: ANN401
    option, shown = field.option, not (field.default is None or field.default is False)
    common: dict[str, Any] = {
        # A sentence on Python alone is of no use on the command line.
        "help": option.sentence.partition(" In Python")[0],
        "metavar": option.metavar,
        "show_default": shown,
        "min": option.least,
    }
    if option.argument:
        return typer.Argument(**common)
    names = field.flag
    if _type(field) in (bool, bool | None) and field.default is not False:
        names = f"{field.flag}/--no-{field.flag[2:]}"
    return typer.Option(names, **common)
