"""Errors: one line that says what was expected, what came, where, and what would work."""


class HeadscribeError(Exception):
    """Base of every error that a user can meet; `exit_status` is what the command line returns.

    >>> issubclass(UsageError, HeadscribeError), UsageError.exit_status, RunError.exit_status
    (True, 2, 1)
    """

    exit_status = 1


class UsageError(HeadscribeError):
    """The request itself is wrong: an unknown name, a malformed expression, a missing file.

    >>> import headscribe as hs
    >>> hs.predict("distnce == 1", "The cat sat.")
    Traceback (most recent call last):
    headscribe.core.errors.UsageError: column 1: `distnce` is no name of ...
    """

    exit_status = 2


class RunError(HeadscribeError):
    """The request was right, the run failed: NaN in a recording, a model that does not fit.

    >>> raise RunError("text 'a': attention is not a number in head 1.2, row 3")
    Traceback (most recent call last):
    headscribe.core.errors.RunError: text 'a': attention is not a number in head 1.2, row 3
    """

    exit_status = 1


def first_line(error: BaseException) -> str:
    """Return what an error of other code says, on one line: its name where it says nothing.

    >>> first_line(ValueError("not so\\nbut so")), first_line(KeyError())
    ('not so', 'KeyError')
    """
    return (str(error).strip() or type(error).__name__).partition("\n")[0]


def unknown_name(what: str, name: str, known: list[str]) -> UsageError:
    """Return the error for `name`, which is none of `known`; suggests the closest names."""
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(f'`{c}`' for c in close)}?" if close else ""
    some = known if len(known) <= 30 else [*known[:5], f"{len(known) - 5} more"]
    listing = "" if close or not known else f"; known: {', '.join(some)}"
    return UsageError(f"`{name}` is no {what}{hint}{listing}")
