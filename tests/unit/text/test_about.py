"""What is known of whole texts: read with them, kept in recordings, asked for by relations."""

from pathlib import Path

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.core.progress import silent
from headscribe.core.visibility import FULL
from headscribe.models.inputs import open_inputs
from headscribe.models.recorded import Recording, write_recording
from headscribe.relations.language import parse
from headscribe.text.corpora import corpus

ROWS = [
    {"text": "A good film.", "text.label": "positive", "text.stars": 4},
    {"text": "A bad film.", "text.label": "negative", "text.stars": 1},
    {"text": "A film."},
]


def test_it_is_read_with_the_texts(tmp_path: Path) -> None:
    path = tmp_path / "films.csv"
    path.write_text("phrase,text.label\nGood.,positive\nBad.,\n")
    read = corpus(path)
    assert [text.text for text in read] == ["Good.", "Bad."]
    assert [dict(text.about) for text in read] == [{"label": "positive"}, {}]
    one, other = corpus(ROWS), corpus([row | {"text.label": "neutral"} for row in ROWS])
    assert dict(one.texts[0].about) == {"label": "positive", "stars": "4"}
    assert one.fingerprint != other.fingerprint
    assert len({*one.texts, *one.texts}) == 3, "texts can be members of sets"
    bare = corpus([{"text": row["text"]} for row in ROWS])
    assert bare.texts[2].digest == one.texts[2].digest
    with pytest.raises(UsageError, match=r"a name such as text\.label, got 'text\.my label'"):
        corpus([{"text": "Good.", "text.my label": "a"}])


def test_relations_ask_for_it_and_recordings_keep_it(tmp_path: Path) -> None:
    inputs = open_inputs("bundled:stories", corpus(ROWS), "plain", None, None, silent)
    assert inputs.provides >= {"text.label", "text.stars"}
    relation = parse('text.label == "positive" and distance == -1')
    assert relation.needs == {"text.label"}
    assert relation.looks_ahead
    assert str(relation) == 'text.label == "positive" and distance == -1'
    assert parse(str(relation)) == relation
    pairs, gate = relation.parted
    assert (str(pairs), str(gate)) == ("distance == -1", 'text.label == "positive"')
    write_recording(
        tmp_path, [(p, np.full((1, 1, len(p), len(p)), 1 / len(p))) for p in inputs.passages]
    )
    again = open_inputs(Recording(tmp_path), None, None, None, None, silent)
    assert again.provides >= {"text.label", "text.stars"}
    for passages in (inputs.passages, again.passages):
        counts = [relation.dense(passage, FULL).sum() for passage in passages]
        assert counts == [len(passages[0]) - 1, 0, 0]
        assert [dict(passage.about) for passage in passages] == [
            {"label": "positive", "stars": "4"}, {"label": "negative", "stars": "1"}, {},
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("text.label.prev == query.id", r"`text\.label` is a text and has no attributes"),
        ("text == query.lower", "`text`"),
        ("key.text.label == query.lower", "leads to no token"),
    ],
)
def test_what_cannot_be_asked_is_refused(source: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(source)
