"""A loaded model: inputs, forward passes, predictions, identity."""

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.models.batching import OutOfMemoryError
from headscribe.models.loading import load
from headscribe.models.model import Model, _memory_errors
from tests.integration.families import build
from tests.integration.tapping import Memory
from tests.unit.models.tokenizers import word_tokenizer


def _load(family: str, **settings: str) -> Model:
    return load((build(family), word_tokenizer()), **settings)


TEXTS = ["the cat sat on the mat.", "cats sat.", "the"]


@pytest.mark.parametrize(
    "family,kind,visible", [("bert", "masked", FULL), ("gpt2", "causal", CAUSAL)]
)
def test_facts(family, kind, visible):
    model = _load(family)
    assert (model.layers, model.heads, model.kind, model.max_tokens) == (3, 4, kind, 64)
    assert [model.visibility(layer) for layer in range(3)] == [visible] * 3
    assert f"layers=3, heads=4, {kind}" in repr(model)
    assert model.support.survey
    assert model.support.replacement


def test_an_encoder_without_a_head_predicts_nothing():
    model = load((build("bert").bert, word_tokenizer()))
    assert model.kind == "encoder"
    with pytest.raises(UsageError, match="BertModel predicts no tokens"):
        model.logits(model.encode(["cat"]))


@pytest.mark.parametrize("family", ["bert", "gpt2", "bart"])
def test_inputs_are_padded_on_the_right(family):
    model = _load(family)
    batch = model.encode(TEXTS)
    inputs = model.inputs(batch)
    ids, lengths = inputs["input_ids"], [len(text) for text in batch]
    assert ids.shape == (3, max(lengths))
    for row, text in enumerate(batch):
        np.testing.assert_array_equal(ids[row, : len(text)].numpy(), text.ids)
        assert not ids[row, len(text) :].any()
    if family == "gpt2":
        assert "attention_mask" not in inputs
    else:
        assert inputs["attention_mask"].sum(dim=1).tolist() == lengths
    assert "attention_mask" not in model.inputs(batch[:1])


def test_run_shows_every_layer_with_its_texts():
    model = _load("roberta")
    batch, memory = model.encode(TEXTS), Memory()
    model.run(batch, memory)
    assert [call.layer for call in memory.calls] == [0, 1, 2]
    for call in memory.calls:
        assert call.batch == tuple(batch)
        assert call.lengths.tolist() == [len(text) for text in batch]
        assert call.probabilities() is call.probabilities()


def test_predictions_do_not_depend_on_the_batch():
    for family in ("bert", "gpt2"):
        model = _load(family)
        batch = model.encode(TEXTS)
        together = model.logits(batch)
        for row, text in enumerate(batch):
            alone = model.logits([text])
            assert (alone[0] - together[row, : len(text)]).abs().max() <= 2e-5


def test_empty_and_long_texts_are_refused():
    model = load((build("gpt2"), word_tokenizer(special=False)))
    with pytest.raises(UsageError, match="text 1 of its batch has no token"):
        model.run(model.encode(["cat", ""]), Memory())
    (long,) = word_encoding(model, 70)
    with pytest.raises(UsageError, match="at most 64 tokens, got 70"):
        model.run([long], Memory())
    assert [text.cut for text in model.encode(["cat " * 70, "cat"])] == [6, 0]
    assert [text.cut for text in model.encode(["cat " * 70, "cat"], max_tokens=10)] == [60, 0]


def word_encoding(model, length):
    from headscribe.models.tokenizing import encode

    return encode(model.tokenizer, ["cat " * length], None)


def test_a_tokenizer_of_another_model():
    model = _load("gpt2")
    (text,) = model.encode(["cat"])
    text.ids[1] = 61
    with pytest.raises(
        UsageError, match="token ids from 0 to 60, got 1 to 61; this tokenizer belongs"
    ):
        model.run([text], Memory())


def test_encoder_decoder_stacks():
    encoder, decoder = _load("t5"), _load("t5", stack="decoder")
    assert (encoder.layers, decoder.layers) == (2, 3)
    assert not encoder.is_causal
    assert decoder.is_causal
    assert encoder.fingerprint != decoder.fingerprint
    with pytest.raises(UsageError, match="encoder-decoder"):
        decoder.logits(decoder.encode(["cat"]))


def test_fingerprints_tell_weights_and_settings_apart():
    one, same = _load("gpt2"), _load("gpt2")
    assert one.fingerprint == same.fingerprint
    assert len(one.fingerprint) == 16
    changed = build("gpt2")
    with torch.no_grad():
        changed.transformer.wte.weight[0] += 1e-3
    assert load((changed, word_tokenizer())).fingerprint != one.fingerprint
    assert _load("gpt2", dtype="bfloat16").fingerprint != one.fingerprint
    assert _load("opt").fingerprint != one.fingerprint


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes"),
    ],
)
def test_running_out_of_memory_is_one_line(error):
    batch = tuple(_load("gpt2").encode(TEXTS))
    with (
        pytest.raises(OutOfMemoryError, match="3 texts of up to 9 tokens do not fit"),
        _memory_errors(batch),
    ):
        raise error


def test_other_errors_pass():
    with pytest.raises(RuntimeError, match="shapes"), _memory_errors(()):
        raise RuntimeError("shapes do not match")
