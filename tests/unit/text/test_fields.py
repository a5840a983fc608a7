"""Files and objects as people have them: columns, ids, chats, pairs, frames."""

import gzip
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest

from headscribe.core.errors import UsageError
from headscribe.text.corpora import Corpus, corpus, read
from headscribe.text.fields import label_of

TWO = ["The cat sat.", "A dog ran."]


def texts(found: Corpus) -> list[str]:
    return [text.text for text in found]


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1.0, "1"), (1.5, "1.5"), (-0.0, "0"), (1e300, str(int(1e300))), (7, "7"), ("x", "x"),
        (np.int64(4), "4"), (np.float32(0.5), "0.5"), (np.str_("a"), "a"),
        (date(2024, 5, 1), "2024-05-01"), (datetime(2024, 5, 1, 9, 30), "2024-05-01T09:30:00"),
        (np.datetime64("2024-05-01"), "2024-05-01"), (Decimal("1.10"), "1.10"),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"), (b"\x01\xff", "01ff"),
        ({"$oid": "a1"}, "a1"), ({"$numberLong": "12"}, "12"), ({"b": 1}, '{"b": 1}'),
        ([1, "a"], '[1, "a"]'), (None, None), ("", None), (float("nan"), None),
        (np.datetime64("NaT"), None),
    ],
)  # fmt: skip
def test_ids_of_every_kind(value: object, name: str | None) -> None:
    assert label_of(value, "id") == name


@pytest.mark.parametrize("value", [True, float("inf"), object()])
def test_what_is_no_id(value: object) -> None:
    with pytest.raises(UsageError, match="a name or a number in `id`"):
        label_of(value, "id")


FILES = {
    "a.tsv": "id\ttext\n1\tThe cat sat.\n2\tA dog ran.\n",
    "quoted.tsv": 'id\ttext\n1\t"The cat sat."\n2\tA dog ran.\n',
    "a.json": json.dumps([{"text": text} for text in TWO]),
    "strings.json": json.dumps(TWO),
    "data.json": json.dumps({"version": "1.0", "data": [{"text": text} for text in TWO]}),
    "columns.json": json.dumps({"text": TWO, "label": [0, 1]}),
    "pandas.json": json.dumps({"text": {"0": TWO[0], "1": TWO[1]}, "label": {"0": 0, "1": 1}}),
    "lines.json": "\n".join(json.dumps({"text": text}) for text in TWO),
    "a.ndjson": "\n".join(json.dumps({"text": text}) for text in TWO),
    "strings.jsonl": "\n".join(json.dumps(text) for text in TWO),
    "sentence.csv": "sentence,label\nThe cat sat.,1\nA dog ran.,0\n",
    "upper.csv": "Text,Label\nThe cat sat.,1\nA dog ran.,0\n",
    "alone.csv": "headline_text\nThe cat sat.\nA dog ran.\n",
    "odd.csv": "id,tokens_as_read,label\n1,The cat sat.,1\n2,A dog ran.,0\n",
    "mongo.jsonl": "\n".join(
        json.dumps({"_id": {"$oid": "a1"}, "body": text, "date": 5}) for text in TWO
    ),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("compressed", [False, True])
def test_files_as_people_have_them(tmp_path: Path, name: str, compressed: bool) -> None:
    path = tmp_path / (f"{name}.gz" if compressed else name)
    raw = FILES[name].encode()
    path.write_bytes(gzip.compress(raw) if compressed else raw)
    found = read(path)
    assert texts(found) == TWO
    guessed = [note for note in found.notes if "taken from the column" in note]
    assert len(guessed) == (
        name in ("sentence.csv", "upper.csv", "alone.csv", "odd.csv", "mongo.jsonl")
    )


def test_a_column_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,translation\nDie Katze.,The cat sat.\nEin Hund.,A dog ran.\n")
    assert texts(read(path, column="translation")) == TWO
    assert texts(read(path)) == ["Die Katze.", "Ein Hund."]
    with pytest.raises(UsageError, match=r"a\.csv:1: `translated` is no column; .*`translation`"):
        read(path, column="translated")
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(UsageError, match=r"a\.txt: expected a table for the column 'x', got texts"):
        read(tmp_path / "a.txt", column="x")


def test_chats_and_pairs(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    path = tmp_path / "chat.jsonl"
    path.write_text(json.dumps({"messages": turns}) + "\n")
    found = read(path)
    assert texts(found) == ["Hi.\nHello."]
    assert any("a chat is read as the words of its turns" in note for note in found.notes)
    parts = [{"type": "text", "text": "Hi."}, {"type": "image", "url": "x"}]
    assert texts(corpus([{"messages": [{"role": "user", "content": parts}]}])) == ["Hi."]
    shared = [{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]
    assert texts(corpus([{"conversations": shared}])) == ["Hi.\nHello."]
    assert texts(corpus([turns])) == ["Hi.\nHello."]
    pair = corpus([{"premise": "A dog ran.", "hypothesis": "It moved.", "label": 0}])
    assert texts(pair) == ["A dog ran.\nIt moved."]
    assert any("`premise` with `hypothesis` on a new line" in note for note in pair.notes)
    assert texts(corpus([("A dog ran.", "It moved.")])) == ["A dog ran.\nIt moved."]


def test_what_a_notebook_has_at_hand() -> None:
    import datasets
    import pandas as pd

    assert texts(corpus(pd.Series(TWO))) == TWO
    frame = pd.DataFrame({"text": [*TWO, None], "id": [1.0, 2.0, 3.0]})
    assert [text.id for text in corpus(frame)] == ["1", "2"]
    assert texts(corpus(pd.DataFrame({"review": TWO, "label": [0, 1]}))) == TWO
    assert texts(corpus(np.array(TWO))) == TWO
    assert texts(corpus(text for text in TWO)) == TWO
    assert texts(corpus((text for text in [*TWO, "more"]), limit=2)) == TWO
    assert texts(corpus(tuple(TWO))) == TWO
    assert texts(corpus(dict.fromkeys(TWO).keys())) == TWO
    assert texts(corpus(pa.table({"text": TWO}))) == TWO
    made = datasets.Dataset.from_dict({"text": TWO, "id": [1, 2]})
    assert [text.id for text in corpus(made.with_format("numpy"))] == ["1", "2"]
    with pytest.raises(
        UsageError, match="a path, strings, a data set or a frame of texts, got int"
    ):
        corpus(5)


def test_a_dictionary_of_columns():
    table = {"text": ["one", "two"], "id": ["a", "b"]}
    assert [(text.id, text.text) for text in corpus(table)] == [("a", "one"), ("b", "two")]
    with pytest.raises(UsageError, match="choose one of: train, test"):
        corpus({"train": corpus(["one"]), "test": corpus(["two"])})
    with pytest.raises(UsageError, match="a frame of texts, got bytes"):
        corpus(b"one")


def test_polars_frames_and_series() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    assert texts(corpus(polars.Series(TWO))) == TWO
    assert texts(corpus(polars.DataFrame({"text": TWO}))) == TWO
