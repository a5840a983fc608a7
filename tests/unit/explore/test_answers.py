"""What the explorer shows: the numbers of `attend`, `predict`, `fit`, `talk` and of slow sums."""

from base64 import b64decode
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headscribe as hs
from headscribe.core.errors import UsageError
from headscribe.explore import texts as kept
from headscribe.explore.answers import Explorer
from headscribe.explore.server import opened
from headscribe.explore.texts import StaleError

TEXT = "The cat sat on the mat because it was tired."
OTHER = "The dog sat on the mat because it was tired."


def going() -> None:
    """Somebody waits."""


def ask(explorer: Explorer, name: str, text: str = TEXT, **more: Any) -> dict[str, Any]:
    return explorer.answer(name, {"text": text, **more}, going)


def matrix(packed: str) -> np.ndarray:
    values = np.frombuffer(b64decode(packed), "<f4")
    return values.reshape(2 * (int(len(values) ** 0.5),))


@pytest.fixture(scope="module")
def stories() -> Explorer:
    return opened("bundled:stories", ())


@pytest.fixture(scope="module")
def encoder() -> Explorer:
    return opened("bundled:minilm", ())


@pytest.fixture(scope="module")
def attention(stories: Explorer) -> np.ndarray:
    """All of it, `(L, H, T, T)`, head by head."""
    model = stories.source
    heads = [
        [hs.attend(model, TEXT, (layer, head)) for head in range(model.heads)]
        for layer in range(model.layers)
    ]
    return np.array(heads)


@pytest.mark.parametrize("which", ["stories", "encoder"])
def test_a_heads_attention_is_that_of_attend(which: str, request: pytest.FixtureRequest):
    explorer = request.getfixturevalue(which)
    for head in ("0.0", "1.2", "5.5"):
        found = ask(explorer, "head", head=head)
        assert np.allclose(
            matrix(found["attention"]), hs.attend(explorer.source, TEXT, head), rtol=0, atol=1e-6
        )
        assert found["predicted"] is None
        assert found["iou"] is None


def test_the_grid_says_where_attention_goes(stories: Explorer, attention: np.ndarray):
    found = ask(stories, "read")
    assert found["labels"][:3] == ["<s>", "The", "cat"]
    assert found["parts"][0] == "sinks"
    rows = range(1, len(found["labels"]))
    for number, shares in enumerate(found["heads"]):
        real = attention[divmod(number, 6)]
        assert sum(shares) == pytest.approx(1, abs=1e-4)
        assert shares[0] == pytest.approx(np.mean([real[i, 0] for i in rows]), abs=1e-4)
        assert shares[1] == pytest.approx(np.mean([real[i, i] for i in rows]), abs=1e-4)
        nearby = [sum(real[i, j] for j in range(max(1, i - 4), i - 1)) for i in rows]
        assert shares[4] == pytest.approx(np.mean(nearby), abs=1e-4)


def test_words_are_ranked_by_the_heads_that_look_there(stories: Explorer, attention: np.ndarray):
    found = ask(stories, "words", at=8, to=2)
    best = found["heads"][0]
    expected = attention[:, :, 8, 2]
    assert best["share"] == pytest.approx(expected.max(), abs=1e-6)
    assert best["head"] == "{}.{}".format(*np.unravel_index(expected.argmax(), expected.shape))
    assert np.allclose(found["strongest"], attention[:, :, 8].max(axis=(0, 1)), atol=1e-6)
    anywhere = ask(stories, "words", at=8)["heads"]
    assert anywhere[0]["share"] == pytest.approx(attention[:, :, 8, 1:8].max(), abs=1e-6)
    assert all(one["to"] not in (0, 8) for one in anywhere)
    read = ask(stories, "words", at=2, toward="read")["heads"][0]
    assert read["share"] == pytest.approx(attention[:, :, 3:, 2].max(), abs=1e-6)


@pytest.mark.parametrize("relation", ["distance == -1", 'key.upos == "NOUN"', "key.is_bos"])
def test_a_relation_is_what_predict_says_and_heads_follow_it(
    stories: Explorer, attention: np.ndarray, relation: str
):
    found = ask(stories, "relation", relation=relation)
    expected = hs.predict(relation, TEXT, stories.source).values
    assert np.abs(matrix(found["matrix"]) - expected).max() < 1e-6
    length, alone = len(expected), relation == "key.is_bos"
    for one in found["heads"][:4]:
        layer, head = map(int, one["head"].split("."))
        real = attention[layer, head]
        content = shared = chance = overlap = union = 0.0
        for i in range(length):
            related = [j for j in range(length) if expected[i, j] > 0 and (alone or j > 0)]
            if not related or (i == 0 and not alone):
                continue
            seen = range(0 if alone else 1, i + 1)
            mass = sum(real[i, j] for j in seen)
            content += mass
            shared += sum(real[i, j] for j in related)
            chance += mass * len(related) / len(seen)
        for i in range(length):
            if expected[i].any():
                both = sum(min(real[i, j], expected[i, j]) for j in range(length))
                overlap, union = overlap + both, union + 2 - both
        assert one["share"] == pytest.approx(shared / content, abs=1e-4)
        assert one["chance"] == pytest.approx(chance / content, abs=1e-4)
        assert one["iou"] == pytest.approx(overlap / union, abs=1e-4)


def test_a_formula_scores_as_fit_says(stories: Explorer, tmp_path: Path):
    texts = hs.corpus("bundled:samples", 3)
    fit = hs.fit(stories.source, texts, test=[TEXT], terms=1, max_tokens=12, out=tmp_path / "fit")
    explorer = opened(stories.source, [fit.folder])
    for head in ("1.2", "4.1"):
        found = ask(explorer, "head", head=head)
        assert found["iou"] == pytest.approx(
            fit[head].scores["formula", "raw", "iou"].mean, abs=1e-4
        )
        predicted = hs.predict(fit[head], TEXT, stories.source).values
        assert np.abs(matrix(found["predicted"]) - predicted).max() < 1e-6
        assert ask(explorer, "head", head=head, formula=found["fitted"])["iou"] == pytest.approx(
            found["iou"], abs=1e-4
        )
    measured = ask(explorer, "relation", relation="distance == -1", on_run=True)
    assert measured["texts"] == 1  # the text that the fit kept: the one it was tested on
    assert measured["heads"][0]["head"] == "1.2"
    altered = ask(explorer, "change", formulas={"1.2": ""})
    assert 0 < altered["change"] < 1
    with pytest.raises(UsageError, match="expected runs of bundled:minilm, got one of"):
        opened("bundled:minilm", [fit.folder])


def test_heads_that_are_off_are_those_of_the_library(stories: Explorer):
    model = stories.source
    batch = model.encode([TEXT])
    before = model.logits(batch)[0, -1].double().softmax(0)
    with hs.heads(model).off("1.2", "3.3") as hf:
        after = hf(**model.inputs(batch)).logits[0, -1].double().softmax(0).detach()
    found = ask(stories, "change", off=["1.2", "3.3"])
    assert found["change"] == pytest.approx(float((before - after).abs().sum() / 2), abs=1e-4)
    top = max(found["tokens"], key=lambda one: one["after"])
    assert top["after"] == pytest.approx(float(after.max()), abs=1e-4)
    assert max(one["before"] for one in found["tokens"]) == pytest.approx(
        float(before.max()), abs=1e-4
    )
    written = ask(stories, "change", off=["1.2", "3.3"], tokens=6)
    plain, changed = hs.talk(model, {"1.2": "zero", "3.3": "zero"}, TEXT, max_new_tokens=6)
    assert (TEXT + written["before"], TEXT + written["after"]) == (plain, changed)
    assert ask(stories, "change")["change"] == 0


def test_a_continuation_is_given_up_between_two_tokens(stories: Explorer):
    passes = 0

    def gone() -> None:
        nonlocal passes
        passes += 1
        if passes > 3:
            raise StaleError

    with pytest.raises(StaleError):
        stories.answer("change", {"text": TEXT, "off": ["1.2"], "tokens": 32}, gone)
    assert passes == 4
    assert ask(stories, "change", off=["1.2"], tokens=2)["before"]


def test_two_texts_are_compared_head_by_head(stories: Explorer, attention: np.ndarray):
    assert max(one["change"] for one in ask(stories, "compare", other=TEXT)["heads"]) < 1e-6
    found = ask(stories, "compare", other=OTHER)
    assert len(found["pairs"]) == len(attention[0, 0])
    for one in found["heads"][::7]:
        layer, head = map(int, one["head"].split("."))
        real, other = attention[layer, head], hs.attend(stories.source, OTHER, one["head"])
        moved = [1 - np.minimum(real[i], other[i]).sum() for i in range(1, len(real))]
        assert one["change"] == pytest.approx(np.mean(moved), abs=1e-4)
    longer = ask(stories, "compare", other="Then " + TEXT)
    assert 2 <= len(longer["pairs"]) <= len(attention[0, 0])


def test_a_long_text_is_cut_and_read_again_for_every_question(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kept, "KEPT_BYTES", 1 << 16)
    monkeypatch.setattr(kept, "KEPT_TEXTS", 4)
    explorer = opened("bundled:stories", ())
    found = ask(explorer, "read", TEXT * 60)
    assert len(found["labels"]) == 512
    assert found["cut"] > 0
    assert not explorer.texts._kept
    again = ask(explorer, "words", TEXT * 60, at=500)
    rows = hs.attend(explorer.source, TEXT * 60, again["heads"][0]["head"], rows=[500])
    assert again["heads"][0]["share"] == pytest.approx(float(rows[0, 1:500].max()), abs=1e-4)
    with pytest.raises(UsageError, match="expected at most 21 tokens of a text"):
        ask(explorer, "compare", TEXT * 60, other=TEXT)
    for number in range(kept.KEPT_TEXTS + 5):
        ask(explorer, "read", f"A cat sat {number} times.")
    assert len(explorer.texts._readings) == kept.KEPT_TEXTS


def test_hostile_texts_are_read_or_refused_in_a_line(stories: Explorer):
    huge = ask(stories, "read", "<script>alert(1)</script>\u202e\x00 a\u0301 " * 2500)
    assert len(huge["labels"]) == 512
    for text in ("", " \n", "a \ud800 b"):
        with pytest.raises(UsageError, match="expected"):
            ask(stories, "read", text)


@pytest.mark.parametrize(
    "relation",
    ["", "__import__('os')", "key.word ==", "(" * 500, "9**9**9", "key.nothing", "ｋｅｙ.id == 1",
     "distance == -1; 1", "lambda: 1", "x" * 3000],
)  # fmt: skip
def test_hostile_relations_are_refused_in_a_line(stories: Explorer, relation: str):
    with pytest.raises(UsageError) as error:
        ask(stories, "relation", relation=relation)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, body",
    [("nothing", {}), ("words", {"at": 99}), ("words", {"at": True}), ("words", {}),
     ("head", {"head": "9.9"}), ("head", {"head": "1.2", "formula": "+1 rubbish("}),
     ("change", {"off": ["1.2"] * 5000}), ("change", {"tokens": 10_000}), ("read", {"x": 1}),
     ("change", {"formulas": {"1.2": ""}}),
     ("change", {"formulas": {"1.2": "+1.0  query.next.is_punct"}})],
)  # fmt: skip
def test_questions_that_are_none_are_refused(stories: Explorer, name: str, body: dict[str, Any]):
    with pytest.raises(UsageError):
        ask(stories, name, **body)


def test_models_that_predict_no_tokens_say_so(encoder: Explorer):
    with pytest.raises(UsageError, match="predicts no tokens"):
        ask(encoder, "change", off=["0.0"])
    assert ask(encoder, "relation", relation="distance == 1")["heads"][0]["share"] > 0.8


def test_of_a_recording_its_own_texts_alone(tmp_path: Path):
    texts = [TEXT, OTHER]
    hs.record("bundled:stories", texts, tmp_path / "recorded")
    explorer = opened(str(tmp_path / "recorded"), ())
    names = list(explorer.texts.recorded)
    found = ask(explorer, "head", names[0], head="1.2")
    assert np.allclose(
        matrix(found["attention"]), hs.attend("bundled:stories", TEXT, "1.2"), rtol=0, atol=1e-4
    )
    assert (
        max(one["change"] for one in ask(explorer, "compare", names[0], other=names[1])["heads"])
        > 0.1
    )
    with pytest.raises(UsageError, match="is no text of this recording"):
        ask(explorer, "read", "Anything else.")
    with pytest.raises(UsageError, match="recorded attention cannot be changed"):
        ask(explorer, "change", names[0], off=["1.2"])


def test_what_a_head_follows_is_what_each_relation_says(stories: Explorer):
    found = ask(stories, "follows", head="1.2")["behaviours"]
    assert found[0]["behaviour"] == "the previous token"
    for one in found[:5]:
        rows = ask(stories, "relation", relation=one["relation"])["heads"]
        same = next((row for row in rows if row["head"] == "1.2"), None)
        assert same is None or same["share"] == pytest.approx(one["share"], abs=1e-6)
    assert next(row for row in rows if row["head"] == "1.2")["chance"] > 0


def test_a_masked_model_predicts_the_token_of_its_mask(encoder: Explorer):
    from transformers import BertConfig, BertForMaskedLM

    tokenizer = encoder.source.tokenizer
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    hf = BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), intermediate_size=32, **size)).eval()
    explorer = opened((hf, tokenizer), ())
    with pytest.raises(UsageError, match=r"write \[MASK\] into the text"):
        ask(explorer, "change", off=["0.1"])
    found = ask(explorer, "change", "The [MASK] sat on the mat.", off=["0.1"])
    (text,) = explorer.source.encode(["The [MASK] sat on the mat."])
    assert text.tokens[found["place"]] == "[MASK]"
    before = explorer.source.logits([text])[0, found["place"]].double().softmax(0)
    assert max(one["before"] for one in found["tokens"]) == pytest.approx(
        float(before.max()), abs=1e-4
    )
    assert found["change"] > 0
    with pytest.raises(UsageError, match="only causal models go on"):
        ask(explorer, "change", "The [MASK] sat.", tokens=4)
