"""Attention of other tools: every form gives the same recording, what does not fit is named."""

import numpy as np
import pytest
import torch

import headscribe as hs
from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import CAUSAL, Visibility

TOKENS = ["<|endoftext|>", "The", " cat", " sat"]
OTHER = ["<|endoftext|>", "Caf", "é"]


def attention(length: int, width: int, seed: int) -> np.ndarray:
    """Causal attention of 2 layers of 3 heads, padded to a width."""
    random = np.random.default_rng(seed)
    weights = np.tril(random.random((2, 3, width, width)) + 0.1)
    weights /= weights.sum(-1, keepdims=True)
    weights[:, :, length:] = 1 / width
    return weights.astype(np.float32)


FIRST, SECOND = attention(4, 4, 1), attention(3, 4, 2)
BATCH = [np.stack([FIRST[layer], SECOND[layer]]) for layer in range(2)]


class Cache:
    """As TransformerLens has it: no Mapping, but keys and items."""

    def __init__(self, layers):
        self._kept = {"hook_embed": torch.zeros(1)}
        for index, layer in enumerate(layers):
            self._kept[f"blocks.{index}.attn.hook_attn_scores"] = torch.zeros(1)
            self._kept[f"blocks.{index}.attn.hook_pattern"] = torch.as_tensor(layer)

    def keys(self):
        return self._kept.keys()

    def __getitem__(self, name):
        return self._kept[name]


FORMS = {
    "cache of a batch": Cache(BATCH),
    "caches of one text": [Cache(BATCH_OF) for BATCH_OF in (FIRST, SECOND)],
    "dictionary": {"0": FIRST, "1": SECOND},
    "layers of a batch": tuple(torch.as_tensor(layer) for layer in BATCH),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same(form, tmp_path):
    recording = hs.import_attention(tmp_path / "r", FORMS[form], [TOKENS, OTHER])
    assert [p.text for p in recording.passages] == ["The cat sat", "Café"]
    assert recording.passages[0].spans.tolist() == [[0, 0], [0, 3], [4, 7], [8, 11]]
    assert recording.passages[1].is_special.tolist() == [True, False, False]
    assert recording.visibility(1) == CAUSAL
    np.testing.assert_array_equal(recording.read(recording.passages[0]), FIRST)
    np.testing.assert_array_equal(recording.read(recording.passages[1]), SECOND[..., :3, :3])


def test_one_text_of_one_array(tmp_path):
    windows = [Visibility(True, 3), CAUSAL]
    recording = hs.import_attention(tmp_path / "r", FIRST, TOKENS, visibility=windows)
    assert [recording.visibility(layer) for layer in (0, 1)] == windows
    survey = hs.survey(recording, out=tmp_path / "run")
    assert len(survey.top("previous_token", k=6)) == 6


@pytest.mark.parametrize(
    "given",
    [
        {1: FIRST[1], 0: FIRST[0]},
        {f"{i}.{j}": FIRST[i, j] for i in (1, 0) for j in range(3)},
        {(i, j): FIRST[i, j] for i in range(2) for j in range(3)},
        {"a text": FIRST},
        {7: FIRST},
    ],
)
def test_dictionaries_of_one_text(given, tmp_path):
    recording = hs.import_attention(tmp_path / "r", given, TOKENS)
    np.testing.assert_array_equal(recording.read(recording.passages[0]), FIRST)


def test_rows_of_half_precision_sum_to_one(tmp_path):
    half = torch.as_tensor(attention(4, 4, 3)).bfloat16()
    recording = hs.import_attention(tmp_path / "r", half, TOKENS)
    read = recording.read(recording.passages[0])
    np.testing.assert_allclose(read.sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(read, attention(4, 4, 3), atol=0.01)


def test_tokens_by_name_and_texts_given(tmp_path):
    recording = hs.import_attention(
        tmp_path / "r",
        {"a": FIRST},
        {"a": ["[CLS]", "the", "cat", "##s"]},
        texts=["The cats"],
        special=[[True, False, False, False]],
    )
    assert recording.passages[0].text_id == "a"
    assert recording.passages[0].spans.tolist() == [[0, 0], [0, 3], [4, 7], [7, 8]]


@pytest.mark.parametrize(
    "tokens, text",
    [
        (["Ġone", "Ġtwo", "s"], "one twos"),
        (["▁one", "▁two", "."], "one two."),
        (["one", "two", "##s"], "one twos"),
        (["one", "two"], "one two"),
        (["one", ","], "one,"),
    ],
)
def test_what_tokens_spell(tokens, text, tmp_path):
    even = np.full((1, 1, len(tokens), len(tokens)), 1 / len(tokens))
    recording = hs.import_attention(tmp_path / "r", even, tokens)
    assert recording.passages[0].text == text


@pytest.mark.parametrize(
    "given, tokens, texts, message",
    [
        (FIRST[0], TOKENS, None, r"expected shape \(layers, heads, T, T\), got \(3, 4, 4\)"),
        (FIRST, [*TOKENS, "a"], None, r"attention over its 5 tokens"),
        ({"0": FIRST, "1": SECOND}, [TOKENS], None, "expected 2 lists of tokens"),
        ({"0": FIRST}, {"1": TOKENS}, None, "expected tokens for every text, got none for '0'"),
        (FIRST, TOKENS, ["a", "b"], "expected 1 texts"),
        ({"0.0": FIRST[0, 0], "0.2": FIRST[0, 1]}, TOKENS, None, "every head, got none of 0.1"),
        ({0: FIRST[0], 2: FIRST[1]}, TOKENS, None, r"all layers from 0 on, got layers \[0, 2\]"),
        (FIRST, TOKENS, "A dog sat", "expected 'The' in the text"),
        ("cat", TOKENS, None, "expected an array of numbers"),
        ([FIRST[0], FIRST[1][:2]], TOKENS, None, "layers of one shape"),
        (dict(list(Cache(BATCH)._kept.items())[2:]) | {"blocks.5.attn.hook_pattern": 0}, TOKENS,
         None, r"all layers from 0 on, got layers \[0, 1, 5\]"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(given, tokens, texts, message, tmp_path):
    with pytest.raises(UsageError, match=message) as caught:
        hs.import_attention(tmp_path / "r", given, tokens, texts)
    assert "\n" not in str(caught.value)


def test_logits_are_no_attention(tmp_path):
    with pytest.raises(RunError, match="expected attention that sums to 1"):
        hs.import_attention(tmp_path / "r", FIRST * 7, TOKENS)
