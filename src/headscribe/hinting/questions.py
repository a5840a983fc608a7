"""Multiple-choice questions of files and data sets; a row that is none is kept with its reason."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Literal, TypeAlias

from headscribe.core.errors import UsageError
from headscribe.text.corpora import DatasetLike, unique_names
from headscribe.text.readers import Broken, Rows, csv_rows, json_lines, parquet_rows, reader_of
from headscribe.text.records import Source, is_text

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

READERS: dict[str, Callable[[Source], Rows]] = {
    ".jsonl": json_lines,
    ".csv": lambda source: csv_rows(source, _asks, strict=True),
    ".parquet": parquet_rows,
}
"""What reads a file of questions, by its extension; a row that cannot be read does not end it."""

Status = Literal[
    "ok", "malformed", "empty_question", "no_choices", "duplicate_choices", "too_many_choices",
    "bad_answer", "no_note", "no_prompt", "too_long",
]  # fmt: skip
"""What became of a row: `ok`, or why it cannot be asked. The last three depend on the model."""

MODEL_STATUSES: tuple[Status, ...] = ("no_note", "no_prompt", "too_long")


@dataclass(frozen=True)
class Question:
    """One row of a question set.

    Attributes:
        number: the line or row that it came from, from 1.
        group: what belongs together in intervals; identical questions do.
        choices: the answers to choose from, none twice.
        answer: the index of the right one; None where the row has none that is valid.
        status: `ok`, or why it cannot be asked.
        detail: what exactly was wrong.
    """

    number: int
    id: str
    group: str
    question: str
    choices: tuple[str, ...]
    answer: int | None
    status: Status = "ok"
    detail: str = ""

    @property
    def right(self) -> int:
        """The index of the right choice of a row that is `ok`."""
        assert self.answer is not None
        return self.answer

    @property
    def letters(self) -> str:
        """The letters of the choices, `ABCD`."""
        return LETTERS[: len(self.choices)]


@dataclass(frozen=True)
class Questions:
    """A question set with every row that was read, also those that cannot be asked."""

    name: str
    rows: tuple[Question, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def usable(self) -> tuple[Question, ...]:
        """The rows that can be asked."""
        return tuple(row for row in self.rows if row.status == "ok")

    @property
    def counts(self) -> dict[str, int]:
        """How many rows have each status, `ok` first."""
        found = Counter(row.status for row in self.rows)
        return {"ok": found.pop("ok", 0), **dict(sorted(found.items()))}

    @cached_property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of hash over the rows in their order."""
        hashed = blake2b(digest_size=16)
        for row in self.rows:
            parts = [row.id, row.group, row.question, row.choices, row.answer, row.status]
            hashed.update(json.dumps(parts).encode() + b"\n")
        return hashed.hexdigest()


QuestionsLike: TypeAlias = (
    Questions
    | str
    | os.PathLike[str]
    | Sequence[Mapping[str, object]]
    | DatasetLike
    | Mapping[str, object]  # the splits of a data set: one of them is asked for
)


def questions_of(source: QuestionsLike, limit: int | None = None) -> Questions:
    """Questions from a file, a list of rows, or a Hugging Face data set.

    A row has `question`, `choices` (a list; in .csv a JSON list) and `answer` (an index from 0, or
    a letter), perhaps `id` and `group`. Rows without choices, with duplicate choices, or with an
    answer that is none of them are kept with their reason; they are not asked.

    Args:
        source: a path to .jsonl, .csv or .parquet (also .gz), rows, or a data set.
        limit: the first so many rows.

    Raises:
        UsageError: no such file, a format that is not known, or no row that can be asked.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"expected a limit of at least 1 question, got {limit}")
    if isinstance(source, Questions):
        return source if limit is None else Questions(source.name, source.rows[:limit])
    if isinstance(source, str | os.PathLike):
        file = Source(Path(source))
        read = reader_of(file, READERS, "format of questions")
        name, where, rows = file.stem, str(source), read(file)
    elif isinstance(source, Mapping):
        raise UsageError(
            f"expected one split of a data set, got several: {', '.join(map(str, source))}"
        )
    else:
        info = getattr(source, "info", None)
        name = str(getattr(info, "dataset_name", None) or "questions")
        where, rows = "the rows given", enumerate(source, 1)
    return _collected(name, where, rows, limit)


def _asks(header: Sequence[str]) -> None:
    if "question" not in header:
        raise UsageError(f"expected a column `question`, got: {', '.join(header)}")


def _collected(
    name: str, where: str, rows: Iterable[tuple[int, object]], limit: int | None
) -> Questions:
    questions: list[Question] = []
    for number, fields in rows:
        if limit is not None and len(questions) >= limit:
            break
        questions.append(_question(fields, number, f"{name}:{number}"))
    ids = unique_names([question.id for question in questions])
    rows_read = tuple(replace(question, id=id) for question, id in zip(questions, ids, strict=True))
    read = Questions(name, rows_read)
    if not read.usable:
        reasons = ", ".join(f"{n} {status}" for status, n in read.counts.items() if status != "ok")
        first = f"; row {read.rows[0].number}: {read.rows[0].detail}" if read.rows else ""
        raise UsageError(
            f"expected questions with `question`, `choices` and `answer` in {where}, got none "
            f"that can be asked ({reasons or 'no row at all'}){first}"
        )
    return read


def _question(fields: object, number: int, default: str) -> Question:
    """A row as a question, whatever it holds."""
    if not isinstance(fields, Mapping):
        said = str(fields) if isinstance(fields, Broken) else f"got {type(fields).__name__}"
        return Question(number, default, default, "", (), None, "malformed", said)
    asked = fields.get("question")
    listed = _listed(fields.get("choices"))
    id, group = (_label(fields.get(name)) for name in ("id", "group"))
    text = asked.strip() if isinstance(asked, str) else ""
    choices = tuple(_choice(one) for one in listed or ())
    strings = [text, id, group, *(choice for choice in choices if choice is not None)]
    if not all(is_text(string) for string in strings):
        return Question(
            number, default, default, "", (), None, "malformed", "half of a surrogate pair"
        )
    known = tuple(choice for choice in choices if choice is not None)
    answer = _answer(fields.get("answer"), len(choices))
    status, detail = _status(asked, text, fields.get("choices"), listed, choices, fields, answer)
    together = group or "question " + blake2b(text.encode(), digest_size=8).hexdigest()
    return Question(number, id or default, together, text, known, answer, status, detail)


def _status(
    asked: object,
    text: str,
    given: object,
    listed: list[object] | None,
    choices: Sequence[str | None],
    fields: Mapping[str, object],
    answer: int | None,
) -> tuple[Status, str]:
    if asked is not None and not isinstance(asked, str):
        return "malformed", f"expected a string in `question`, got {type(asked).__name__}"
    if not text:
        names = ", ".join(str(name) for name in list(fields)[:8]) or "none"
        return "empty_question", f"expected a text in `question`; fields: {names}"
    if listed is None and given not in (None, ""):
        return "malformed", f"expected a list in `choices`, got {type(given).__name__}"
    if any(choice is None for choice in choices):
        return "malformed", "expected strings or numbers in `choices`, got something else"
    if len(choices) < 2:
        return "no_choices", f"expected at least 2 choices, got {len(choices)}"
    if len(choices) > len(LETTERS):
        return "too_many_choices", f"expected at most {len(LETTERS)} choices, got {len(choices)}"
    if "" in choices:
        return "no_choices", "a choice is empty"
    if len({*choices}) < len(choices):
        twice = str(next(one for one, n in Counter(choices).items() if n > 1))
        return "duplicate_choices", f"the choice {twice[:40]!r} occurs twice"
    if answer is None:
        return "bad_answer", (
            f"expected an index 0..{len(choices) - 1} or a letter A..{LETTERS[len(choices) - 1]} "
            f"in `answer`, got {repr(fields.get('answer'))[:40]}"
        )
    return "ok", ""


def _listed(given: object) -> list[object] | None:
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except (ValueError, RecursionError):
            return None
    if isinstance(given, Sequence) and not isinstance(given, str | bytes):
        return list(given)
    return None


def _choice(given: object) -> str | None:
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    return str(given).strip()


def _label(given: object) -> str:
    return str(given) if isinstance(given, str | int) and not isinstance(given, bool) else ""


def _answer(given: object, choices: int) -> int | None:
    """An index or a letter as an index; None where it names no choice."""
    if isinstance(given, str):
        written = given.strip()
        if len(written) == 1 and written.upper() in LETTERS:
            given = LETTERS.index(written.upper())
        elif written.isascii() and written.isdigit():
            given = int(written[:9])
    if isinstance(given, bool) or not isinstance(given, int):
        return None
    return given if 0 <= given < choices else None
