"""Question sets: nothing that is read is lost, and every row that cannot be asked says why."""

import gzip
import json

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headscribe.core.errors import UsageError
from headscribe.hinting.questions import questions_of

GOOD = {"question": "What is 2 + 2?", "choices": ["3", "4"], "answer": 1}


@pytest.mark.parametrize(
    ("row", "status", "detail"),
    [
        ({"choices": []}, "no_choices", "expected at least 2 choices, got 0"),
        ({"choices": None}, "no_choices", "got 0"),
        ({"choices": ["4"]}, "no_choices", "got 1"),
        ({"choices": ["4", " "]}, "no_choices", "a choice is empty"),
        ({"choices": "four"}, "malformed", "expected a list in `choices`, got str"),
        ({"choices": ["4", None]}, "malformed", "expected strings or numbers"),
        ({"choices": ["4", "3", "4 "]}, "duplicate_choices", "the choice '4' occurs twice"),
        ({"choices": [str(n) for n in range(27)]}, "too_many_choices", "at most 26 choices"),
        ({"answer": 2}, "bad_answer", "expected an index 0..1 or a letter A..B in `answer`, got 2"),
        ({"answer": "C"}, "bad_answer", "got 'C'"),
        ({"answer": None}, "bad_answer", "got None"),
        ({"answer": True}, "bad_answer", "got True"),
        ({"answer": -1}, "bad_answer", "got -1"),
        ({"question": "  "}, "empty_question", "expected a text in `question`"),
        ({"question": 7}, "malformed", "expected a string in `question`, got int"),
        ({"question": "half \ud800"}, "malformed", "half of a surrogate pair"),
    ],
)
def test_rows_that_cannot_be_asked_are_kept_with_their_reason(row, status, detail):
    read = questions_of([GOOD, GOOD | row])
    assert len(read) == 2
    assert read.counts == {"ok": 1, status: 1}
    assert detail in read.rows[1].detail
    assert read.rows[1].number == 2


@pytest.mark.parametrize(("given", "index"), [(0, 0), ("1", 1), ("b", 1), (" A ", 0), ("A", 0)])
def test_answers_are_indices_or_letters(given, index):
    assert questions_of([GOOD | {"answer": given}]).rows[0].answer == index


def test_files(tmp_path):
    third = {"question": "3?", "choices": [1, 2.5, "3"], "answer": "C", "id": "q", "group": 4}
    lines = [json.dumps(GOOD), "{broken", "", json.dumps([1]), json.dumps(third)]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(lines))
    read = questions_of(path)
    assert read.name == "set"
    assert [row.status for row in read.rows] == ["ok", "malformed", "malformed", "ok"]
    assert [row.id for row in read.rows] == ["set:1", "set:2", "set:4", "q"]
    assert read.rows[3].choices == ("1", "2.5", "3")
    assert (read.rows[3].group, read.rows[3].answer) == ("4", 2)
    assert "broken JSON" in read.rows[1].detail

    with gzip.open(tmp_path / "set.csv.gz", "wt") as file:
        file.write('question,choices,answer\n"What, now?","[""a"", ""b""]",B\nonly one cell\n')
    read = questions_of(tmp_path / "set.csv.gz")
    assert read.counts == {"ok": 1, "malformed": 1}
    assert read.usable[0].choices == ("a", "b")

    pq.write_table(pa.Table.from_pylist([GOOD, GOOD]), tmp_path / "set.parquet")
    assert questions_of(tmp_path / "set.parquet").counts == {"ok": 2}
    assert len(questions_of(tmp_path / "set.parquet", limit=1)) == 1


def test_data_sets_and_groups():
    read = questions_of(datasets.Dataset.from_list([GOOD, GOOD, GOOD | {"question": "Other?"}]))
    assert read.counts == {"ok": 3}
    first, second, third = (row.group for row in read.rows)
    assert first == second != third  # the same question twice is no second observation
    assert read.fingerprint == questions_of([GOOD, GOOD, GOOD | {"question": "Other?"}]).fingerprint
    assert read.fingerprint != questions_of([GOOD, GOOD, GOOD]).fingerprint


def test_ids_that_occur_again_are_told_apart():
    read = questions_of([GOOD | {"id": "a"}, GOOD | {"id": "a"}])
    assert [row.id for row in read.rows] == ["a", "a#2"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ([], "none that can be asked \\(no row at all\\)"),
        ([{"text": "no question"}], "1 empty_question\\); row 1: expected a text in `question`"),
        ([GOOD | {"choices": ["4", "4"]}], "1 duplicate_choices"),
        ("missing.jsonl", "missing.jsonl: no such file"),
        ({"train": []}, "expected one split of a data set, got several: train"),
    ],
)
def test_nothing_to_ask(source, message):
    with pytest.raises(UsageError, match=message):
        questions_of(source)


def test_unknown_formats(tmp_path):
    (tmp_path / "set.txt").write_text("x")
    with pytest.raises(UsageError, match=r"`.txt` is no format of questions; .*\.jsonl"):
        questions_of(tmp_path / "set.txt")
    (tmp_path / "set.csv").write_text("text\nx\n")
    with pytest.raises(UsageError, match="expected a column `question`, got: text"):
        questions_of(tmp_path / "set.csv")


def test_questions_as_mmlu_has_them(sums):
    read = questions_of(sums)
    assert read.counts == {"ok": 12}
    assert read.rows[0].choices == ("7", "8", "9", "10")
    assert [row.right for row in read.rows] == [0, 1, 2, 3] * 3
