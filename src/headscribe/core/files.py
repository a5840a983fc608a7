"""Files that a reader never meets half of: written under another name, then renamed."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from headscribe.core.errors import RunError

_SUFFIX = ".partial"


@contextmanager
def replacing(target: str | Path) -> Iterator[Path]:
    """Give a name to write under; what was written there takes the place of `target` at the end.

    A file, or a folder where there is none of the name yet.

    The name lies in the same folder, since only there a rename is one step, and carries the number
    of the process, so that two writers do not meet. Where the block raises, `target` stays as it
    was and nothing is left behind.

    >>> from tempfile import mkdtemp
    >>> path = Path(mkdtemp()) / "words.txt"
    >>> with replacing(path) as temporary:
    ...     _ = temporary.write_text("determiner")
    >>> path.read_text(), len(list(path.parent.iterdir()))
    ('determiner', 1)

    Raises:
        RunError: the disk is full, or the folder is missing or cannot be written.
    """
    path = Path(target)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_SUFFIX}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_whole(target: str | Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write `target` as a whole: text (UTF-8), bytes, or what a function writes to a path.

    Raises:
        RunError: the disk is full, or the folder is missing or cannot be written.
    """
    with replacing(target) as temporary:
        if isinstance(content, str):
            # `newline=""`: a file holds the same bytes on every system.
            temporary.write_text(content, encoding="utf-8", newline="")
        elif isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            content(temporary)


def is_partial(path: Path) -> bool:
    """Whether a file was on its way to being renamed when its process was killed."""
    return path.name.startswith(".") and path.suffix == _SUFFIX


def lines_of(text: str) -> list[str]:
    r"""The lines of a text; a line feed ends a line, and nothing else does.

    `str.splitlines` also breaks at U+2028, U+0085, form feeds and others, which stand within the
    lines of other people's texts and programs.

    >>> lines_of("a\u2028b\nc\n")
    ['a\u2028b', 'c']
    """
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n") if text else []
