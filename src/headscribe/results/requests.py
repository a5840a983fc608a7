"""What a command is asked: a frozen dataclass whose fields are the options.

A field is written once, as `name: Annotated[type, Option("sentence")] = default`. From it follow
the option of the command line, the argument of the Python function, the entry in `config` of
`run.json`, the page of settings, and whether `--resume` insists on it.
"""

import inspect
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin

from headscribe.core.errors import UsageError

P = ParamSpec("P")
Q = TypeVar("Q")
R = TypeVar("R")


@dataclass(frozen=True)
class Option:
    """What is said of a field of a request.

    Attributes:
        sentence: what it is for.
        resume: `equal`: the numbers depend on it, so that a run resumes only with the same value;
            `fingerprint`: they depend on what it names, whose fingerprint has to be the same;
            `free`: no number depends on it.
        typed: its type on the command line, where Python takes more; None: the field's own.
        name: on the command line, where it is not the field's.
        metavar: what stands for its value in the help.
        least: its least value.
        argument: it stands on the command line without a name.
        python_only: it is no option of the command line.
        content: a list of strings is what it names itself (texts), not their paths or names; the
            record counts them.
    """

    sentence: str
    resume: Literal["equal", "fingerprint", "free"] = "equal"
    typed: Any = None
    name: str | None = None
    metavar: str | None = None
    least: float | None = None
    argument: bool = False
    python_only: bool = False
    content: bool = False

    def check(self, name: str, value: object) -> None:
        """Whether a value is allowed.

        Raises:
            UsageError: it is below the least.
        """
        if self.least is not None and isinstance(value, int | float) and value < self.least:
            raise UsageError(f"expected at least {self.least:g} for {name}, got {value:g}")


@dataclass(frozen=True)
class Field:
    """A field of a request: its name, its type, its default (None: none), what is said of it."""

    name: str
    type: Any
    default: Any
    option: Option

    @property
    def flag(self) -> str:
        """The name on the command line, `--max-tokens`."""
        return self.option.name or f"--{self.name.replace('_', '-')}"


def options_of(request: type) -> list[Field]:
    """The fields of a request's class: those without a name first, its own before shared ones.

    Raises:
        TypeError: a field has no sentence.
    """
    found = []
    order = [name for part in request.__mro__ for name in inspect.get_annotations(part)]
    for field in sorted(
        fields(request), key=lambda field: (field.kw_only, order.index(field.name))
    ):
        said = [x for x in getattr(field.type, "__metadata__", ()) if isinstance(x, Option)]
        if get_origin(field.type) is not Annotated or not said:
            raise TypeError(
                f"{request.__name__}.{field.name}: expected Annotated[type, Option(...)]"
            )
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        found.append(Field(field.name, get_args(field.type)[0], default, said[0]))
    return found


def check(request: Any) -> None:  # noqa: ANN401
    """Whether every value is within its bounds.

    Raises:
        UsageError: one is not; says which.
    """
    for field in options_of(type(request)):
        field.option.check(field.name, getattr(request, field.name))


def config_of(request: Any) -> dict[str, Any]:  # noqa: ANN401
    """Every option as `run.json` keeps it; what JSON cannot say is named."""
    return {
        field.name: plain(getattr(request, field.name), field.option.content)
        for field in options_of(type(request))
        if not field.option.python_only
    }


def equal_on_resume(request: Any) -> list[str]:  # noqa: ANN401
    """The names of the options that a run resumes only with."""
    return [field.name for field in options_of(type(request)) if field.option.resume == "equal"]


def plain(value: Any, content: bool = False) -> Any:  # noqa: ANN401
    """A value of an option as JSON says it: an object by its name; see `Option.content`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if hasattr(value, "name"):
        return str(value.name)
    if isinstance(value, Iterable) and not isinstance(value, Iterator):
        listed = list(value)
        if content and not all(isinstance(one, Path) for one in listed):
            return f"{len(listed)} in memory"
        return [plain(one) for one in listed]
    return type(value).__name__


def digest_of(value: Any) -> str:  # noqa: ANN401
    """A fingerprint of what JSON can say."""
    said = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return blake2b(said.encode(), digest_size=16).hexdigest()


def verb(request: Callable[P, Q]) -> Callable[[Callable[[Q], R]], Callable[P, R]]:
    """Make the Python function of a request: it takes the request's fields as its arguments.

    The function that is decorated takes the request alone; what users call has the signature of
    the request, and lists every option with its sentence.
    """
    assert isinstance(request, type)
    options = options_of(request)

    def made(run: Callable[[Q], R]) -> Callable[P, R]:
        @wraps(run)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:  # names the function, not the class
                raise TypeError(f"{run.__name__}() {_slip(error, kwargs, signature)}") from None
            given = {name: _at_home(value) for name, value in kwargs.items()}
            asked = request(*map(_at_home, args), **given)
            check(asked)
            return run(asked)

        # Positional are the fields that the dataclass takes so: the model and its texts.
        kinds = inspect.signature(request).parameters
        signature = inspect.Signature(
            [
                inspect.Parameter(
                    option.name,
                    kinds[option.name].kind,
                    default=option.default,
                    annotation=option.type,
                )
                for option in options
            ],
            return_annotation=run.__annotations__.get("return", inspect.Signature.empty),
        )
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = _documented(inspect.getdoc(run) or "", options)
        return call

    return made


def _at_home(value: Any) -> Any:  # noqa: ANN401
    """The value; a path that begins with `~`, which a shell would have read, in full."""
    if isinstance(value, str | Path) and str(value).startswith("~/"):
        return type(value)(os.path.expanduser(value))
    return value


def _slip(error: TypeError, given: Mapping[str, Any], known: inspect.Signature) -> str:
    """What was wrong with the arguments, and what they may have been meant to be."""
    wrong = [name for name in given if name not in known.parameters]
    near = get_close_matches(wrong[0], known.parameters, 1) if wrong else []
    return f"{error}{f'; did you mean `{near[0]}`?' if near else ''}"


def _documented(docstring: str, options: list[Field]) -> str:
    """The docstring with every option, before what it returns and raises."""
    said = ["Args:", *(f"    {field.name}: {field.option.sentence}" for field in options), ""]
    lines = docstring.split("\n")
    at = next((i for i, line in enumerate(lines) if line in ("Returns:", "Raises:")), len(lines))
    gap = [] if at < len(lines) else [""]
    return "\n".join([*lines[:at], *gap, *said, *lines[at:]]).rstrip() + "\n"
