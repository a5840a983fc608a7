"""Recordings: written and read back, their faults named, GPT-2's logits against its attention."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.models.recorded import Recording, causal_softmax, write_recording
from headscribe.text.corpora import read
from tests.unit.scoring.synthetic import Made, passage


class Seen:
    def __init__(self) -> None:
        self.layers: list[np.ndarray] = []

    def observe(self, call) -> None:
        self.layers.append(call.probabilities().numpy())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording of the first format: arrays named by the ids, integers in units of 1e-4."""
    target = tmp_path / "recording"
    target.mkdir()
    texts = [passage("one", 4), passage("two", 6)]
    lines = [
        {"id": t.text_id, "text": t.text, "tokens": t.tokens, "ids": t.ids.tolist(),
         "spans": t.spans.tolist(), "special": t.is_special.tolist(), "words": t.words.form,
         "word_spans": t.words.spans.tolist(),
         "word_of_token": [None if word < 0 else int(word) for word in t.word]}
        for t in texts
    ]  # fmt: skip
    (target / "sentences.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    arrays = {t.text_id: np.rint(Made().attention(t) * 1e4).astype(np.uint16) for t in texts}
    np.savez_compressed(target / "attention.npz", **arrays)
    return target


def test_the_first_format_is_still_read(folder: Path) -> None:
    recording = Recording(folder)
    assert (recording.layers, recording.heads, recording.visibility(0)) == (2, 3, FULL)
    assert repr(recording) == "<Recording 'recording': 2 texts, 2 layers of 3 heads>"
    for text in recording.passages:
        original = Made().attention(passage(text.text_id, len(text)))
        np.testing.assert_allclose(recording.read(text), original, atol=2e-4)
        np.testing.assert_allclose(recording.read(text).sum(-1), 1, atol=1e-6)
        assert text.is_special.tolist() == passage("x", len(text)).is_special.tolist()


def test_diffuse_rows_of_the_first_format_are_no_damage(folder: Path) -> None:
    length = 700
    (folder / "sentences.jsonl").write_text(
        json.dumps({"id": "long", "text": "a " * length, "tokens": ["a"] * length}) + "\n"
    )
    rounded = np.full((1, 1, length, length), round(1e4 / length), np.uint16)
    np.savez(folder / "attention.npz", long=rounded)
    recording = Recording(folder)
    np.testing.assert_allclose(recording.read(recording.passages[0]), 1 / length, rtol=1e-5)


def test_a_batch_is_padded_with_zeros(folder: Path) -> None:
    recording, seen = Recording(folder), Seen()
    recording.run(recording.passages, seen)
    assert [layer.shape for layer in seen.layers] == [(2, 3, 6, 6)] * 2
    assert not seen.layers[0][0, :, 4:].any()
    assert not seen.layers[0][0, :, :, 4:].any()
    np.testing.assert_array_equal(seen.layers[1][1], recording.read(recording.passages[1])[1])


def test_a_second_recording_is_not_written_over_the_first(folder: Path) -> None:
    with pytest.raises(UsageError, match="exists already"):
        write_recording(folder, [])


def damaged(folder: Path, change) -> None:
    arrays = dict(np.load(folder / "attention.npz"))
    change(arrays)
    np.savez(folder / "attention.npz", **arrays)


def test_nan_names_text_head_and_row(folder: Path) -> None:
    def change(arrays) -> None:
        arrays["two"] = arrays["two"].astype(np.float32) * 1e-4
        arrays["two"][1, 2, 3, 0] = np.nan

    damaged(folder, change)
    recording = Recording(folder)
    with pytest.raises(RunError, match=r"text 'two'.*NaN in head 1\.2, row 3"):
        recording.read(recording.passages[1])


def test_rows_that_are_no_distribution_are_refused(folder: Path) -> None:
    damaged(folder, lambda arrays: arrays["one"].__setitem__((0, 1, 2), 0))
    with pytest.raises(RunError, match=r"sums to 0\.000 in head 0\.1, row 2"):
        Recording(folder)


def test_a_wrong_shape_is_refused(folder: Path) -> None:
    damaged(folder, lambda arrays: arrays.__setitem__("one", arrays["two"]))
    with pytest.raises(RunError, match=r"sums to 0\.\d+ in head"):
        Recording(folder)


def test_a_missing_array_names_the_text(folder: Path) -> None:
    damaged(folder, lambda arrays: arrays.pop("two"))
    with pytest.raises(RunError, match="array for text 'two'"):
        Recording(folder)


def test_missing_and_damaged_files(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a folder"):
        Recording(tmp_path / "nowhere")
    (folder / "attention.npz").write_bytes(b"PK not a zip")
    with pytest.raises(RunError, match="damaged"):
        Recording(folder)
    (folder / "attention.npz").unlink()
    with pytest.raises(UsageError, match="expected the file"):
        Recording(folder)
    (folder / "sentences.jsonl").unlink()
    with pytest.raises(UsageError, match=r"sentences\.jsonl or prompts\.jsonl"):
        Recording(folder)


@pytest.mark.parametrize(
    "line, message",
    [
        ("{broken", "sentences.jsonl:3: expected a JSON object"),
        ("[1]", "expected a JSON object, got list"),
        (json.dumps({"id": 1, "text": "a"}), "list of strings in `tokens`"),
        (json.dumps({"text": "a", "tokens": ["a"]}), "fields id and text"),
        (json.dumps({"id": 1, "text": "a", "tokens": ["a"], "ids": []}), "1 values in `ids`"),
        (
            json.dumps({"id": 1, "text": "a", "tokens": ["a"], "words": ["b"],
                        "word_of_token": [0]}),
            "expected 'b' in the text",
        ),
    ],
)  # fmt: skip
def test_broken_lines_are_named(folder: Path, line: str, message: str) -> None:
    with (folder / "sentences.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(UsageError, match=message.replace("[", r"\[")):
        Recording(folder)


def test_sentences_in_pieces_align(tmp_path: Path) -> None:
    """Whole stories in WordPiece's pieces, as recordings of BERT have them."""
    told = [text.text for text in read("bundled:samples")][:12]
    learned = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    learned.normalizer = normalizers.BertNormalizer(strip_accents=False)
    learned.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    learned.train_from_iterator(told, trainer)
    lines, arrays = [], {}
    for k, text in enumerate(told):
        tokens = ["[CLS]", *learned.encode(text).tokens, "[SEP]"]
        lines.append(json.dumps({"id": k, "text": text, "tokens": tokens}))
        arrays[str(k)] = np.full((2, 3, len(tokens), len(tokens)), 1 / len(tokens))
    (tmp_path / "sentences.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.savez(tmp_path / "attention.npz", **arrays)
    recording = Recording(tmp_path)
    assert len(recording.passages) == 12
    assert (recording.layers, recording.heads) == (2, 3)
    pieces = 0
    for text in recording.passages:
        assert text.is_special.sum() == 2
        for token, span in zip(text.tokens, text.spans, strict=True):
            piece = token.removeprefix("##")
            pieces += piece != token
            if not token.startswith("["):
                assert text.text[span[0] : span[1]].lower() == piece
    assert pieces > 500


def test_logits_give_the_recorded_attention(tmp_path: Path) -> None:
    """The softmax of the code that scores, against one in double precision, to 1e-5."""
    draw = np.random.default_rng(0)
    source, other = tmp_path / "both", tmp_path / "logits"
    arrays, lines = {}, []
    for name, length in (("0", 6), ("1", 9), ("2", 17)):
        logits = draw.normal(0, 4, (4, 3, length, length)).astype(np.float32)
        power = np.exp(logits.astype(float) - logits.max()) * np.tri(length)
        arrays[f"{name}_logits"] = logits
        arrays[f"{name}_attention"] = (power / power.sum(-1, keepdims=True)).astype(np.float32)
        tokens = ["The", *(f" w{k}" for k in range(length - 1))]
        lines.append(json.dumps({"id": int(name), "prompt": "".join(tokens), "tokens": tokens,
                                 "token_ids": list(range(length))}))  # fmt: skip
    for folder in (source, other):
        folder.mkdir()
        (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    np.savez(source / "attention.npz", **arrays)
    np.savez(other / "attention.npz", **{k: arrays[k] for k in arrays if "_logits" in k})
    for name in (key for key in arrays if key.endswith("_logits")):
        real = arrays[name.replace("_logits", "_attention")]
        np.testing.assert_allclose(causal_softmax(arrays[name]), real, atol=1e-5)
    recorded, computed = Recording(source), Recording(other)
    assert recorded.visibility(0) == computed.visibility(0) == CAUSAL
    one, two = Seen(), Seen()
    recorded.run(recorded.passages, one)
    computed.run(computed.passages, two)
    for a, b in zip(one.layers, two.layers, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
