"""Reading files line by line, and the record that every format becomes before it is a text."""

import gzip
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from headscribe.core.errors import UsageError
from headscribe.text.passages import Words


@dataclass(frozen=True)
class Record:
    """One text as its source gives it.

    Attributes:
        text: the characters; may be empty.
        number: where it begins, counted from 1: a line, or a row where there are no lines.
        id: the identity that the source gives it, if any.
        group: the document that the source gives it, if any.
        words: gold annotation, if any.
        about: what is known of the whole text, by name.
        withheld: a sentence of a treebank whose words its licence keeps out.
    """

    text: str
    number: int
    id: str | None = None
    group: str | None = None
    words: Words | None = None
    about: Mapping[str, str] = field(default_factory=dict, hash=False)
    withheld: bool = False


PIPED = ("-", "/dev/stdin")
"""Names of the text that another program hands on."""


@cache
def _standard_input() -> bytes:
    return sys.stdin.buffer.read()


@dataclass(frozen=True)
class Source:
    """A file of texts, perhaps compressed with gzip."""

    path: Path

    @property
    def extension(self) -> str:
        """`.txt` of `stories.txt` and of `stories.txt.gz`, in lower case."""
        if self.piped:
            return ".txt"
        return Path(self.path.stem if self.compressed else self.path.name).suffix.lower()

    @property
    def piped(self) -> bool:
        """Whether this is what the process is given to read, as plain text."""
        return str(self.path) in PIPED

    @property
    def compressed(self) -> bool:
        """Whether the name ends in `.gz`."""
        return self.path.suffix.lower() == ".gz"

    @property
    def stem(self) -> str:
        """`stories` of `folder/stories.txt.gz`."""
        return Path(self.path.stem).stem if self.compressed else self.path.stem

    def error(self, number: int | None, message: str) -> UsageError:
        """An error at a line (or row) of this file, or in the file as a whole."""
        return UsageError(f"{self.path}{'' if number is None else f':{number}'}: {message}")

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """The bytes of the file, decompressed.

        Raises:
            UsageError: the file cannot be read, or its compressed data are damaged.
        """
        if self.piped:
            yield BytesIO(_standard_input())
            return
        try:
            with gzip.open(self.path) if self.compressed else self.path.open("rb") as file:
                yield file  # type: ignore[misc]  # GzipFile is a BinaryIO in all but name
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise self.error(None, f"expected gzip data, got a damaged file ({error})") from error
        except OSError as error:
            raise self.error(None, f"cannot be read ({error.strerror or error})") from error

    def lines(self) -> Iterator[tuple[int, str]]:
        """The lines, numbered from 1, without their ends; a byte-order mark is dropped.

        Raises:
            UsageError: a line is not UTF-8, or the file cannot be read.
        """
        with self.opened() as file:
            for number, raw in enumerate(file, 1):
                try:
                    line = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise self.error(
                        number,
                        f"expected UTF-8, got byte 0x{raw[error.start]:02x} at byte "
                        f"{error.start + 1} of the line; convert the file, for instance with iconv",
                    ) from error
                yield number, line.removesuffix("\n").removesuffix("\r")


def is_text(value: str) -> bool:
    """Whether `value` can be written as UTF-8: it holds no lone half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
