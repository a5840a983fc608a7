"""Whatever the tap can read is written and read back as it was, to the bit."""

import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headscribe as hs
from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import CAUSAL, FULL, Visibility
from headscribe.models.loading import load
from headscribe.models.recorded import Recording, write_recording
from headscribe.text.passages import WORD_FIELDS, Encoding, Passage, Ragged, Words
from tests.integration.families import FAMILIES, WINDOW, build
from tests.unit.models.tokenizers import word_tokenizer

CHARACTERS = st.text(
    st.one_of(
        st.sampled_from(' \t\r\n\x0b\x1c\x85\u2028\u2029\u200f"\\{}\x00\ufeff'),
        st.characters(exclude_categories=["Cs"]),
    ),
    min_size=1,
    max_size=8,
)
NAMES = st.one_of(
    st.sampled_from(["file", "allow_pickle", "a/b", "../x", "0", "1", ""]), CHARACTERS
)


@st.composite
def passages(draw: st.DrawFn) -> list[Passage]:
    """Texts of any characters, any ids, words that overlap tokens in any way."""
    found = []
    for text_id in draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)):
        length, words = draw(st.integers(1, 5)), draw(st.integers(0, 3))
        text = draw(CHARACTERS)
        spans = st.lists(
            st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).map(sorted),
            min_size=max(length, words),
            max_size=max(length, words),
        )
        columns = {
            name: tuple(draw(st.lists(CHARACTERS, min_size=words, max_size=words)))
            for name in WORD_FIELDS
            if name not in ("head", "sentence") and draw(st.booleans())
        }
        if draw(st.booleans()):
            columns["head"] = np.array(
                [draw(st.integers(-1, words - 1)) for _ in range(words)], int
            )
            columns["sentence"] = np.arange(words) // 2
        touched = [
            draw(st.lists(st.integers(0, words - 1), max_size=2, unique=True)) if words else []
            for _ in range(length)
        ]
        encoding = Encoding(
            tuple(draw(st.lists(CHARACTERS, min_size=length, max_size=length))),
            np.array(draw(st.lists(st.integers(0, 10**6), min_size=length, max_size=length))),
            np.array(draw(spans)[:length], np.int64).reshape(-1, 2),
            np.array(draw(st.lists(st.booleans(), min_size=length, max_size=length))),
            draw(st.integers(0, 3)),
        )
        form = tuple(draw(st.lists(CHARACTERS, min_size=words, max_size=words)))
        place = np.array(draw(spans)[:words], np.int64).reshape(-1, 2)
        found.append(
            Passage(
                text_id,
                draw(NAMES),
                text,
                encoding,
                Words(form, place, **columns),
                Ragged.from_lists(touched),
            )
        )
    return found


def same(one: object, other: object) -> bool:
    return one is None if other is None else np.array_equal(np.asarray(one), np.asarray(other))


@given(passages(), st.integers(0, 2**32 - 1), st.booleans(), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_everything_comes_back(texts, seed, sinks, layers):
    random = np.random.default_rng(seed)
    sees = [
        Visibility(bool(random.integers(2)), [None, 1, 7][random.integers(3)])
        for _ in range(layers)
    ]
    items = []
    for text in texts:
        weights = random.dirichlet(np.full(len(text), 0.3), (layers, 2, len(text)))
        if sinks:
            weights *= random.random((layers, 2, len(text), 1))
        items.append((text, weights.astype(np.float32)))
    with TemporaryDirectory() as folder:
        write_recording(folder, items, sees)
        recording = Recording(folder)
        assert [recording.visibility(layer) for layer in range(layers)] == sees
        assert len(recording.passages) == len(items)
        for read, (text, weights) in zip(recording.passages, items, strict=True):
            np.testing.assert_array_equal(recording.read(read), weights)
            assert (read.text_id, read.group, read.text) == (text.text_id, text.group, text.text)
            assert read.encoding.cut == text.encoding.cut
            for name in ("tokens", "ids", "spans", "is_special"):
                assert same(getattr(read, name), getattr(text, name))
            for name in ("form", "spans", *WORD_FIELDS):
                assert same(getattr(read.words, name), getattr(text.words, name))
            assert [list(some) for some in read.words_of] == [list(some) for some in text.words_of]


TEXTS = ["the cat sat on the mat.", "a dog sat.", "the cats sat on the dog."]


@pytest.mark.parametrize(
    "name", ["bert", "gpt2", "gemma3", "gpt_oss", "modernbert", "mistral", "t5"]
)
def test_a_family_comes_back_as_the_tap_reads_it(name, tmp_path):
    model = load(build(name), word_tokenizer())
    recording = hs.record(model, TEXTS, tmp_path / "r", annotator="plain")
    layers = range(model.layers)
    assert [recording.visibility(i) for i in layers] == [model.visibility(i) for i in layers]
    if name in ("gemma3", "gpt_oss"):
        assert {model.visibility(i).window for i in layers} == {None, WINDOW}
    assert FAMILIES[name].causal == (recording.visibility(0).causal)

    class Seen:
        def __init__(self):
            self.layers = []

        def observe(self, call):
            self.layers.append(call.probabilities().numpy().copy())

    for text in recording.passages:
        live, read = Seen(), Seen()
        model.run([text], live)
        recording.run([text], read)
        for one, other in zip(live.layers, read.layers, strict=True):
            np.testing.assert_array_equal(one, other)
    if name == "gpt_oss":
        assert recording.read(recording.passages[0]).sum(-1).min() < 0.9


def test_diffuse_rows_of_a_long_text(tmp_path):
    model = load(build("llama"), word_tokenizer())
    long = " ".join(["the cat sat on a dog."] * 9)
    recording = hs.record(model, [long], tmp_path / "r", annotator="plain")
    assert len(recording.passages[0]) > 50
    np.testing.assert_allclose(recording.read(recording.passages[0]).sum(-1), 1, atol=1e-5)


def test_what_cannot_be_written_says_so(tmp_path):
    item = (_passage("a", 3), np.full((1, 1, 3, 3), 1 / 3))
    with pytest.raises(UsageError, match="ids differ, got 'a' twice"):
        write_recording(tmp_path / "a", [item, item])
    with pytest.raises(UsageError, match=r"text 'a': expected shape \(layers, heads, 3, 3\)"):
        write_recording(tmp_path / "b", [(item[0], np.ones((1, 3, 3)))])
    bad = item[1].copy()
    bad[0, 0, 1, 2] = np.nan
    with pytest.raises(RunError, match=r"NaN in head 0\.0, row 1"):
        write_recording(tmp_path / "c", [(item[0], bad)])
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write"):
        write_recording(tmp_path / "file" / "r", [item])
    for name in "abc":  # nothing half-written lies there
        assert list((tmp_path / name).iterdir()) == []


def _passage(name: str, length: int) -> Passage:
    encoding = Encoding(
        ("a",) * length, np.zeros(length, int), np.zeros((length, 2), int), np.zeros(length, bool)
    )
    words = Words((), np.zeros((0, 2), int))
    return Passage(name, name, "a", encoding, words, Ragged.from_lists([[]] * length))


@pytest.mark.parametrize(
    "content, message",
    [
        ("[]", "recording.json: expected"),
        ("{", "recording.json: expected"),
        ('{"format": 3, "sees": null}', "expected format 2, got 3"),
        ('{"format": 2, "sees": [{"causal": true, "window": "4"}]}', "window is an integer"),
        ('{"format": 2, "sees": [{"causal": true, "window": 4}, {"causal": true, "window": 4},'
         ' {"causal": true, "window": 4}]}', "expected 1 layers in `sees`, got 3"),
    ],
)  # fmt: skip
def test_broken_facts(tmp_path, content, message):
    write_recording(tmp_path, [(_passage("a", 2), np.full((1, 1, 2, 2), 0.5))], [FULL])
    (tmp_path / "recording.json").write_text(content)
    with pytest.raises(UsageError, match=message):
        Recording(tmp_path)


def test_an_array_that_is_cut_off_is_named(tmp_path):
    texts = [(_passage(name, 40), np.full((1, 1, 40, 40), 1 / 40)) for name in "ab"]
    write_recording(tmp_path, texts, [FULL])
    with zipfile.ZipFile(tmp_path / "attention.npz") as archive:
        whole = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "attention.npz", "w") as archive:
        archive.writestr("0.npy", whole["0.npy"])
        archive.writestr("1.npy", whole["1.npy"][:200])
    recording = Recording(tmp_path)
    with pytest.raises(RunError, match="text 'b': expected an array, got a damaged one"):
        recording.read(recording.passages[1])
    with pytest.raises(UsageError, match="holds no text 'c'"):
        recording.read(_passage("c", 40))


def foreign(
    folder: Path, rows: list[dict[str, object]], arrays: dict[str, np.ndarray]
) -> Recording:
    """A recording as another tool writes it."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / "sentences.jsonl").write_text("\n".join(lines), encoding="utf-8-sig")
    np.savez(folder / "attention.npz", **arrays)
    return Recording(folder)


def causal(length: int, width: int | None = None) -> np.ndarray:
    """Even causal attention of one head, padded to a width."""
    width = width or length
    full = np.zeros((1, 1, width, width))
    full[0, 0, :length, :length] = np.tril(np.ones((length, length)))
    full[0, 0, :length] /= np.arange(1, length + 1)[:, None]
    return full


@pytest.mark.parametrize(
    "text, tokens, spans",
    [
        ("The cat", ["<bos>", "The", " cat"], [[0, 0], [0, 3], [4, 7]]),
        ("The cats", ["[CLS]", "the", "cat", "##s", "[SEP]"],
         [[0, 0], [0, 3], [4, 7], [7, 8], [0, 0]]),
        ("café au", ["caf", "Ã©", "Ġau"], [[0, 3], [3, 4], [4, 7]]),
        ("é!", ["Ã", "©", "!"], [[0, 1], [0, 1], [1, 2]]),
        ("Über x", ["▁uber", "▁x"], [[0, 4], [5, 6]]),
        ("naïve", ["na", "[UNK]", "ve"], [[0, 2], [2, 3], [3, 5]]),
        ("a€b", ["a", "<0xE2>", "<0x82>", "<0xAC>", "b"], [[0, 1], *[[1, 2]] * 3, [2, 3]]),
        ("low lower", ["low</w>", "low@@", "er"], [[0, 3], [4, 7], [7, 9]]),
        ("1 < 2", ["1", "<", "2"], [[0, 1], [2, 3], [4, 5]]),
        ("say [SEP] ok", ["say", "[SEP]", "ok"], [[0, 3], [4, 9], [10, 12]]),
    ],
)  # fmt: skip
def test_pieces_of_other_vocabularies_get_spans(tmp_path, text, tokens, spans):
    recording = foreign(
        tmp_path, [{"id": 7, "text": text, "tokens": tokens}], {"7": causal(len(tokens))}
    )
    (read,) = recording.passages
    assert read.spans.tolist() == spans
    assert read.is_special.tolist() == [span == [0, 0] for span in spans]
    assert recording.visibility(0) == CAUSAL


def test_padded_arrays_are_cut(tmp_path):
    rows = [{"id": i, "text": "a b c"[: 2 * i - 1], "tokens": list("abc")[:i]} for i in (2, 3)]
    recording = foreign(tmp_path, rows, {"2": causal(2, 5), "3": causal(3, 5)})
    for read in recording.passages:
        expected = causal(len(read))
        np.testing.assert_allclose(recording.read(read), expected, atol=1e-7)


def test_an_array_of_another_text_is_not_taken_for_padding(tmp_path):
    rows = [{"id": i, "text": "a b c"[: 2 * i - 1], "tokens": list("abc")[:i]} for i in (2, 3)]
    with pytest.raises(RunError, match=r"text '2': expected shape \(layers, heads, 2, 2\)"):
        foreign(tmp_path, rows, {"2": causal(3), "3": causal(3)[..., :2, :2]})


WORDS = {"words": ["a", "b"], "word_of_token": [0, 1]}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tokens": "ab"}, "list of strings in `tokens`"),
        ({"tokens": []}, "list of strings in `tokens`"),
        ({"ids": ["0", "1"]}, "list of integers in `ids`"),
        ({"special": [0, "x"]}, "list of true and false in `special`"),
        ({"spans": [[0, 1], [2, 9]]}, r"\[start, end\] within the text in `spans`"),
        ({"spans": [[0, 1]]}, "expected 2 values in `spans`, got 1"),
        ({"words": ["a"]}, "expected `word_of_token`"),
        ({"words": ["a", "b"], "word_of_token": [0, 2]}, "word indices below 2 .*, got 2"),
        ({"words": ["a", "b"], "word_of_token": [0, "1"]}, "word indices below 2 .*, got '1'"),
        ({"words": ["a", "b"], "word_of_token": [0, [0, 1.0]]}, "word indices below 2 .*, got 1.0"),
        ({"words": ["a", "b"], "word_of_token": [0, True]}, "word indices below 2 .*, got True"),
        (WORDS | {"upos": ["X"]}, "expected 2 values in `upos`"),
        (WORDS | {"dep_head": [None, 7]}, ":1: expected heads"),
        (WORDS | {"words": ["a", "z"]}, "expected 'z' in the text"),
        ({"array": 3}, "string in `array`"),
    ],
)  # fmt: skip
def test_broken_fields_are_named(tmp_path, change, message):
    row = {"id": 0, "text": "a b", "tokens": ["a", "b"]} | change
    with pytest.raises(UsageError, match=message) as caught:
        foreign(tmp_path, [row], {"0": causal(2)})
    assert "sentences.jsonl:1: " in str(caught.value)
    assert "\n" not in str(caught.value)
