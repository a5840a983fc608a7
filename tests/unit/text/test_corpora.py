"""Every format, and every way in which a file can be wrong."""

import csv
import gzip
import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.text.corpora import Corpus, Text, corpus, from_dataset, from_strings, read
from headscribe.text.passages import Words


def write(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def texts(corpus: Corpus) -> list[str]:
    return [text.text for text in corpus]


def ids(corpus: Corpus) -> list[str]:
    return [text.id for text in corpus]


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_txt_is_a_text_per_line(tmp_path, end, newline):
    path = write(tmp_path / f"a.txt{end}", newline.join(["", "one", " two ", "", ""]))
    corpus = read(path)
    assert texts(corpus) == ["one", " two "]
    assert ids(corpus) == ["a:2", "a:3"]
    assert corpus.name == "a"
    assert len(corpus) == 2


@pytest.mark.parametrize("blank", ["\n", "\r\n", "  \t\n\n\n"])
def test_txt_is_a_text_per_block_where_blank_lines_stand_between(tmp_path, blank):
    path = write(tmp_path / "a.txt", f"\none\ntwo\n{blank}three\n")
    corpus = read(str(path))
    assert texts(corpus) == ["one\ntwo", "three"]
    assert ids(corpus)[0] == "a:2"


@pytest.mark.parametrize("end", ["", ".gz"])
def test_jsonl(tmp_path, end):
    rows = [
        {"text": "one", "id": 7, "group": "g"},
        {"text": "two", "id": "b"},
        {"text": "three", "more": [1]},
        {"text": None},
        {"text": " "},
    ]
    path = write(tmp_path / f"a.jsonl{end}", "\n\n".join(map(json.dumps, rows)))
    corpus = read(path)
    assert texts(corpus) == ["one", "two", "three"]
    assert ids(corpus) == ["7", "b", "a:5"]
    assert [text.group for text in corpus][:2] == ["g", "b"]
    assert corpus.skipped == {"empty": 2}


def test_csv_with_commas_quotes_and_line_breaks(tmp_path):
    rows = [["id", "text"], ["x", 'a, "b"'], ["y", "line\nbreak"], ["z", ""]]
    path = tmp_path / "a.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    corpus = read(path)
    assert texts(corpus) == ['a, "b"', "line\nbreak"]
    assert ids(corpus) == ["x", "y"]
    assert corpus.skipped == {"empty": 1}


@pytest.mark.parametrize("end", ["", ".gz"])
def test_parquet(tmp_path, end):
    table = pa.table({"n": [1, 2, 3], "text": ["one", None, "two"], "group": ["g", "g", None]})
    pq.write_table(table, tmp_path / "plain")
    path = write(tmp_path / f"a.parquet{end}", (tmp_path / "plain").read_bytes())
    corpus = read(path)
    assert texts(corpus) == ["one", "two"]
    assert ids(corpus) == ["a:1", "a:3"]
    assert corpus.texts[0].group == "g"
    assert corpus.skipped == {"empty": 1}


def test_byte_order_mark_is_no_text(tmp_path):
    assert texts(read(write(tmp_path / "a.txt", b"\xef\xbb\xbfone\n"))) == ["one"]
    assert ids(read(write(tmp_path / "b.csv", b"\xef\xbb\xbfid,text\n1,one\n"))) == ["1"]


def test_limit_stops_early(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"text": ""}\n{"text": "one"}\n{"text": "two"}\nbroken')
    corpus = read(path, limit=2)
    assert texts(corpus) == ["one", "two"]
    assert texts(corpus.limit(1)) == ["one"]
    assert corpus.limit(9).fingerprint == corpus.fingerprint
    with pytest.raises(UsageError, match="limit of at least 1"):
        corpus.limit(0)
    with pytest.raises(UsageError, match="limit of at least 1"):
        read(path, limit=0)


def test_several_files_and_ids_that_occur_again(tmp_path):
    (tmp_path / "x").mkdir()
    first = write(tmp_path / "a.txt", "one\ntwo")
    second = write(tmp_path / "x" / "a.txt", "three")
    third = write(tmp_path / "b.jsonl", '{"text": "p", "id": "q"}\n{"text": "r", "id": "q"}')
    corpus = read([first, second, third])
    assert ids(corpus) == ["a:1", "a:2", "a#2:1", "q", "q#2"]
    assert corpus.name == "a+a+b"
    assert corpus.texts[3].group == corpus.texts[4].group == "q"


def test_a_note_is_said_once_however_often_texts_are_limited():
    once = corpus(["one", "two", "three", "four"], 3)
    (note,) = once.notes
    assert "3 texts" in note
    assert corpus(corpus(once, 3), 3).notes == once.notes


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_texts_that_are_piped_in(name):
    said = f"import headscribe as hs; print([text.text for text in hs.corpus({name!r})])"
    done = subprocess.run(
        [sys.executable, "-c", said],
        input="one\ntwo\n\nthree, café".encode(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == "['one\\ntwo', 'three, café']"


@pytest.mark.parametrize("made", [str, Path], ids=["strings", "paths"])
def test_a_list_of_file_names_is_no_list_of_texts(tmp_path, made):
    names = [
        made(write(tmp_path / name, content))
        for name, content in (("a b.txt", "one\ntwo"), ("c.jsonl", '{"text": "three"}'))
    ]
    assert [text.text for text in corpus(names)] == ["one", "two", "three"]
    assert [text.text for text in corpus(names[:1])] == ["one", "two"]
    with pytest.raises(UsageError, match=r"gone\.csv: no such file"):
        corpus([*names, made("gone.csv")])
    assert len(corpus(["bundled:samples"])) > 20
    texts = ["It stands in notes.txt", "or in data.csv, on the disk of a .json"]
    assert [text.text for text in corpus(texts)] == texts
    assert [text.text for text in corpus(["plain", "words"])] == ["plain", "words"]


def test_groups_do_not_depend_on_order_and_hold_identical_texts():
    forward, backward = from_strings(["one", "two", "one"]), from_strings(["one", "one", "two"])
    groups = {text.text: text.group for text in forward}
    assert groups == {text.text: text.group for text in backward}
    assert len(set(groups.values())) == 2
    assert ids(forward) == ["text:1", "text:2", "text:3"]


@settings(max_examples=30, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.text("ab#2", max_size=3), st.text("xyz", min_size=1, max_size=3)), min_size=1
    )
)
def test_ids_are_unique_and_the_fingerprint_knows_no_order(rows):
    corpus = from_dataset(Rows([{"text": text, "id": id} for id, text in rows]))
    assert len(set(ids(corpus))) == len(corpus) == len(rows)
    shuffled = list(corpus.texts)
    random.Random(0).shuffle(shuffled)
    assert Corpus("other", tuple(shuffled)).fingerprint == corpus.fingerprint


def test_the_fingerprint_knows_everything_else():
    words = Words(("a",), np.array([[0, 1]]), upos=("X",))
    seen = [
        Text("1", "g", "a"),
        Text("2", "g", "a"),
        Text("1", "h", "a"),
        Text("1", "g", "b"),
        Text("1g", "", "a"),
        Text("1", "g", "a", words),
        Text("1", "g", "a", Words(("a",), np.array([[0, 1]]), upos=("Y",))),
        Text("1", "g", "a", Words(("a",), np.array([[0, 1]]), xpos=("X",))),
    ]
    assert len({Corpus("c", (text,)).fingerprint for text in seen}) == len(seen)
    assert len({Corpus("c", (seen[0],) * n).fingerprint for n in range(3)}) == 3


class Rows(list):
    """A data set, as far as it is asked about."""

    column_names = ("text", "id")


def test_data_set():
    import datasets

    table = datasets.Dataset.from_dict({"text": ["one", ""], "id": [4, 5], "label": [0, 1]})
    corpus = from_dataset(table)
    assert ids(corpus) == ["4"]
    assert corpus.skipped == {"empty": 1}
    with pytest.raises(UsageError, match=r"one split of a data set, got several.*train, test"):
        from_dataset(datasets.DatasetDict({"train": table, "test": table}))
    with pytest.raises(
        UsageError, match=r"row 1: expected a column `text`, .* got the columns `label`"
    ):
        from_dataset(table.select_columns(["label"]))
    with pytest.raises(UsageError, match="row 1: expected a string in `text`, got int"):
        from_dataset(Rows([{"text": 3}]))
    with pytest.raises(
        UsageError, match="row 1: expected a string or a row of named values, got int"
    ):
        from_dataset(Rows([5]))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("one", "got one string; put it in brackets"),
        (["one", 2], "text 2: expected a string or a row of named values, got int"),
        (["one", "\ud83d"], "text 2: .*surrogate"),
        ([" ", "\n"], r"at least one text in the texts in memory, got none \(2 empty\)"),
        ([], "at least one text in the texts in memory, got none$"),
    ],
)
def test_wrong_strings(given, message):
    with pytest.raises(UsageError, match=message):
        from_strings(given)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"fine\ncaf\xe9 x\n", r"a\.txt:2: expected UTF-8, got byte 0xe9 at byte 4"),
        ("a.txt", b"\xff\xfea\x00", r"a\.txt:1: expected UTF-8"),
        ("a.txt", "", r"expected at least one text in .*a\.txt, got none$"),
        ("a.txt", "\n \n", "got none"),
        ("a.jsonl", '{"text": "a"}\n{"text": ', r"a\.jsonl:2: broken JSON \(Expecting value at"),
        ("a.jsonl", "[" * 100_000, r"a\.jsonl:1: JSON that cannot be read"),
        ("a.jsonl", '{"text": ' + "9" * 5000 + "}", r"a\.jsonl:1: JSON that cannot be read"),
        ("a.jsonl", "[1]", r"a\.jsonl:1: expected a string or a row of named values, got list"),
        ("a.jsonl", "7", r"a\.jsonl:1: expected a string or a row of named values, got int"),
        ("a.jsonl", '{"a": "b", "c": "d"}', r"a\.jsonl:1: expected a column `text`.*`a`, `c`"),
        ("a.jsonl", "{}", r"a\.jsonl:1: expected a column `text`.*the columns none"),
        ("a.jsonl", '{"text": [1]}', r"a\.jsonl:1: expected a string in `text`, got list"),
        ("a.jsonl", '{"text": "a", "id": Infinity}', "a name or a number in `id`, got inf"),
        (
            "a.jsonl",
            '{"text": "a", "group": true}',
            "a name or a number in `group`, got a truth value",
        ),
        ("a.jsonl", '{"text": "\\ud83d"}', r"a\.jsonl:1: .*half of a surrogate pair"),
        ("a.csv", "a,b\n1,a\n", r"a\.csv:1: expected a column `text`, or .* `a`, `b`"),
        ("a.csv", "id,text\n1,a\n2,b,c\n", r"a\.csv:3: expected 2 cells as in the header, got 3"),
        ("a.csv", 'text\n"a\nb', r"a\.csv:3: broken CSV \(unexpected end of data\)"),
        ("a.csv", "text\n" + "x" * 200_000, r"a\.csv:2: broken CSV \(field larger than"),
        ("a.csv", "", "got none"),
        ("a.parquet", "PAR1 nonsense", r"a\.parquet: expected a Parquet file, got a broken one"),
        ("a.parquet", "", r"a\.parquet: expected a Parquet file, got a broken one"),
        ("a.txt.gz", None, r"a\.txt\.gz: expected gzip data, got a damaged file"),
        ("a.pdf", "x", r"a\.pdf: `\.pdf` is no file format.*\.txt, \.jsonl.*also with \.gz"),
        ("a", "x", r"a: `\(no extension\)` is no file format"),
        ("a.gz", "x", r"a\.gz: `\(no extension\)` is no file format"),
        ("a.jsonlines", "x", r"did you mean `\.jsonl`"),
    ],
)
def test_broken_files(tmp_path, name, content, message):
    path = tmp_path / name
    if content is None:
        path.write_bytes(gzip.compress(b"one\n" * 1000)[:-12])
    else:
        write(path, content)
    with pytest.raises(UsageError, match=message) as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    with pytest.raises(UsageError, match=r"none\.txt: no such file"):
        read(tmp_path / "none.txt")
    with pytest.raises(UsageError, match="expected a file, got a folder"):
        read(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        read(tmp_path / ("x" * 5000))
    with pytest.raises(UsageError, match="no such file"):
        read("a\0.txt")
    with pytest.raises(UsageError, match="at least one file"):
        read([])


def test_parquet_with_other_columns(tmp_path):
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"a\.parquet:1: expected a column `text`.*`a`, `b`"):
        read(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "b.parquet")
    with pytest.raises(UsageError, match=r"b\.parquet:1: expected a string in `text`, got int"):
        read(tmp_path / "b.parquet")


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = write(tmp_path / "a.txt", "one")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"a\.txt: cannot be read \(Permission denied\)"):
        read(path)


@settings(max_examples=40, deadline=None)
@given(
    raw=st.binary(max_size=80) | st.text(max_size=40).map(str.encode),
    name=st.sampled_from(["txt", "jsonl", "csv", "parquet", "conllu", "txt.gz"]),
)
def test_no_bytes_crash_a_reader(raw, name, tmp_path_factory):
    path = tmp_path_factory.mktemp("random") / f"a.{name}"
    path.write_bytes(raw)
    try:
        corpus, refused = read(path), str(path)
    except UsageError as error:
        corpus, refused = Corpus("none", ()), str(error)
    assert str(path) in refused
    assert all(text.text.strip() for text in corpus)


def test_compressed_stories(tmp_path, story_lines):
    """All of them in their order, as lines of JSON and as blocks between empty lines."""
    told = [json.loads(line)["text"] for line in story_lines]
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("".join(story_lines).encode()))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress("\n\n".join(told).encode()))
    assert [text.text for text in read(tmp_path / "a.jsonl.gz")] == told
    blocks = read(tmp_path / "b.txt.gz", limit=3)
    assert [text.text for text in blocks] == told[:3]


def test_the_bundled_samples_are_a_corpus():
    corpus = read("bundled:samples")
    assert corpus.name == "stories"
    assert len(corpus) > 30
    assert [text.id for text in corpus][:2] == [text.id for text in read(["bundled:samples"])][:2]
