"""From a row of named values, as data sets have them, to a text with its identity and group."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from numbers import Integral, Real
from uuid import UUID

from headscribe.core.errors import UsageError, unknown_name
from headscribe.text.records import Record

TEXT = "text"

GUESSES = (
    "sentence", "content", "document", "body", "review", "comment", "story", "article", "passage",
    "prompt", "question", "utterance", "tweet", "abstract", "code", "headline", "title",
)  # fmt: skip
"""Columns that are taken for the text where none is called `text`, the likeliest first."""

PAIRS = (
    ("sentence1", "sentence2"), ("premise", "hypothesis"), ("question1", "question2"),
    ("text1", "text2"), ("question", "sentence"), ("question", "passage"), ("question", "context"),
    ("prompt", "completion"), ("instruction", "output"), ("query", "response"),
)  # fmt: skip
"""Pairs of columns that make one text between them: the second follows the first on a new line."""

_NO_TEXTS = frozenset(
    {"id", "idx", "index", "group", "label", "labels", "class", "split", "source", "lang"}
    | {"language", "date", "url", "score", "rating", "stars", "author", "user", "name"}
)
"""Columns that hold no texts, whatever they hold."""

CHATS = (("messages", "content"), ("conversations", "value"), ("conversation", "content"))
"""Columns of chats, and where a turn has its words."""


@dataclass
class Fields:
    """Makes records of rows, and remembers what had to be guessed.

    Attributes:
        column: the column that holds the text; None: `text`, else the first good guess.
        notes: what was guessed, for the reader of the results.
    """

    column: str | None = None
    notes: list[str] = field(default_factory=list)

    def record(self, fields: Mapping[str, object], number: int) -> Record:
        """The record of one row.

        Raises:
            UsageError: without a place: no column with a text, or a value of a wrong type.
        """
        text = self._text(fields)
        own, group = (label_of(fields.get(name), name) for name in ("id", "group"))
        return Record(text, number, own, group, about=about_of(fields))

    def check(self, names: Sequence[str]) -> None:
        """Whether a table with these columns has a text.

        Raises:
            UsageError: without a place: it has none.
        """
        self._places(names)

    def of(self, item: object, number: int) -> Record:
        """The record of an item that may be a string, a row, a pair of strings or a chat.

        Raises:
            UsageError: without a place: it is nothing of the kind.
        """
        if isinstance(item, str):
            return Record(item, number)
        if isinstance(item, Mapping):
            return self.record({str(name): value for name, value in item.items()}, number)
        if _is_missing(item):
            return Record("", number)
        if isinstance(item, Sequence) and len(item) and not isinstance(item, bytes):
            if all(isinstance(part, str) for part in item):
                if len(item) == 2:
                    self._note("a pair of strings is one text, the second on a new line")
                    return Record("\n".join(item), number)
            elif all(isinstance(part, Mapping) for part in item):
                return Record(self._chat(item, "content"), number)
        raise UsageError(f"expected a string or a row of named values, got {_kind(item)}")

    def _text(self, fields: Mapping[str, object]) -> str:
        places = self._places(list(fields), fields)
        if len(places) == 2:
            parts = [_string(fields[name], name) for name in places]
            return "\n".join(part for part in parts if part)
        name = places[0]
        value = fields[name]
        if isinstance(value, Sequence | Iterable) and not isinstance(value, str | bytes | Mapping):
            turns = list(value)
            if turns and all(isinstance(turn, Mapping) for turn in turns):
                key = next((key for chat, key in CHATS if chat == name), "content")
                return self._chat(turns, key)
        return _string(value, name)

    def _places(
        self, names: Sequence[str], fields: Mapping[str, object] | None = None
    ) -> tuple[str, ...]:
        """The column of the text, or the two that make it."""
        if self.column is not None:
            if self.column not in names:
                raise unknown_name("column", self.column, list(map(str, names)))
            return (self.column,)
        if TEXT in names:
            return (TEXT,)
        names = [name for name in names if not str(name).startswith(ABOUT)]
        for chat, _ in CHATS:
            if chat in names:
                return (chat,)
        lower = {str(name).lower(): str(name) for name in reversed(names)}
        for pair in PAIRS:
            if all(part in lower for part in pair):
                first, second = (lower[part] for part in pair)
                self._note(
                    f"a text is the column `{first}` with `{second}` on a new line; "
                    "--column names a single one"
                )
                return first, second
        for guess in (TEXT, *GUESSES):
            if guess in lower:
                return self._guessed(lower[guess])
        alike = [name for name in lower if any(guess in name for guess in (TEXT, *GUESSES))]
        if len(alike) == 1:
            return self._guessed(lower[alike[0]])
        left = [name for name in names if str(name).lower() not in _NO_TEXTS]
        if fields is not None:
            left = [name for name in left if isinstance(fields[name], str)]
        if len(left) == 1:
            return self._guessed(str(left[0]))
        listed = ", ".join(f"`{name}`" for name in list(names)[:8]) or "none"
        raise UsageError(
            f"expected a column `text`, or one named with --column, got the columns {listed}"
        )

    def _guessed(self, name: str) -> tuple[str]:
        self._note(f"texts are taken from the column `{name}`; --column names another")
        return (name,)

    def _chat(self, turns: Sequence[object], key: str) -> str:
        self._note("a chat is read as the words of its turns, each on a new line, without roles")
        said = []
        for turn in turns:
            assert isinstance(turn, Mapping)
            words = turn.get(key, turn.get("content", turn.get("value")))
            if isinstance(words, Sequence) and not isinstance(words, str):
                # Turns in parts: those that are text count, images do not.
                parts = [part for part in words if isinstance(part, Mapping)]
                words = "\n".join(str(part["text"]) for part in parts if "text" in part)
            said.append(_string(words, key))
        return "\n".join(line for line in said if line)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


ABOUT = "text."
"""What the columns begin with that say something of the whole text: `text.class`."""


def about_of(fields: Mapping[str, object]) -> dict[str, str]:
    """What a row says of the whole text: its columns `text.<name>`, as strings; None says nothing.

    >>> about_of({"text": "Good.", "text.label": "positive", "text.stars": 4})
    {'label': 'positive', 'stars': '4'}

    Raises:
        UsageError: a name that a relation cannot say, or a value that is no string or number.
    """
    found = {}
    for column, value in fields.items():
        if isinstance(column, str) and column.startswith(ABOUT):
            name = column.removeprefix(ABOUT)
            if not (name.isascii() and name.isidentifier()):
                raise UsageError(f"expected a name such as text.label, got {column[:60]!r}")
            said = str(value) if isinstance(value, bool) else label_of(value, column)
            if said is not None:
                found[name] = said
    return found


def _is_missing(value: object) -> bool:
    """None, NaN, NaT: what tables have where nothing stands."""
    return value is None or (not hasattr(value, "__len__") and bool(value != value))


def _string(value: object, name: str) -> str:
    if _is_missing(value):
        return ""
    if not isinstance(value, str):
        raise UsageError(f"expected a string in `{name}`, got {_kind(value)}")
    return str(value)


def label_of(value: object, name: str) -> str | None:
    """An id or a group as a string: numbers, dates and objects as they are written.

    >>> label_of(1.0, "id"), label_of({"$oid": "a1"}, "id"), label_of(date(2024, 5, 1), "id")
    ('1', 'a1', '2024-05-01')

    Raises:
        UsageError: a truth value, or something that has no one way to be written.
    """
    if isinstance(value, str):
        return str(value) or None
    if isinstance(value, bool):
        raise UsageError(f"expected a name or a number in `{name}`, got a truth value")
    if _is_missing(value):
        return None
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        number = float(value)
        if math.isinf(number):
            raise UsageError(f"expected a name or a number in `{name}`, got {number}")
        return str(int(number)) if number == int(number) else repr(number)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        only = list(value.values())
        # As MongoDB exports them: {"$oid": "..."}, {"$numberLong": "..."}.
        if len(only) == 1 and str(next(iter(value))).startswith("$"):
            return label_of(only[0], name)
        return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    if isinstance(value, list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return label_of(value.item(), name)
    raise UsageError(f"expected a name or a number in `{name}`, got {_kind(value)}")


def _kind(value: object) -> str:
    return type(value).__name__
