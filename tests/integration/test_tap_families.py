"""The tap on every supported architecture: nothing changes, and what it shows is true."""

import numpy as np
import pytest
import torch

from headscribe.core.visibility import Visibility
from headscribe.models.loading import load
from headscribe.models.tap import implementation, tap
from headscribe.text.passages import Encoding
from tests.integration.families import FAMILIES, build
from tests.integration.tapping import LENGTHS, Memory, Tapped, arguments, tapped, tokens
from tests.oracles import attention as oracle
from tests.unit.models.tokenizers import word_tokenizer

CASES = [(name, stack) for name, family in FAMILIES.items() for stack in family.stacks]
CASE = pytest.mark.parametrize("name,stack", CASES)


def _eager(model: Tapped, inputs: dict[str, object]) -> tuple[list[torch.Tensor], torch.Tensor]:
    with implementation(model.stack.hf, "eager"), torch.inference_mode():
        result = model.stack.body(**inputs, output_attentions=True)
    field = "decoder_attentions" if model.stack.name == "decoder" else "attentions"
    return list(getattr(result, field)), result[0]


@CASE
def test_counts_and_visibility(name, stack):
    family, model = FAMILIES[name], tapped(name, stack)
    decoder = stack == "decoder"
    assert model.stack.layers == (3 if decoder else family.layers)
    assert model.stack.heads == 4
    assert all(model.stack.closed)
    windows = (None,) * 3 if decoder else family.windows
    causal = decoder or family.causal
    assert model.stack.visibility == tuple(Visibility(causal, window) for window in windows)


@CASE
def test_equals_the_eager_attention(name, stack):
    model = tapped(name, stack)
    ids, real = tokens()
    inputs = arguments(model, ids, real)
    expected, output = _eager(model, inputs)
    memory = Memory()
    with tap(model, memory, lengths=LENGTHS), torch.inference_mode():
        seen = model.stack.body(**inputs)[0]
    # A decoder reads an encoder that ran by its own kernel, not by the eager one.
    tolerance = 2e-6 if stack == "decoder" else 0.0
    assert (seen - output)[real].abs().max() <= tolerance
    assert len(memory.probabilities) == len(expected)
    for ours, theirs in zip(memory.probabilities, expected, strict=True):
        assert ours.dtype == torch.float32
        for text, length in enumerate(LENGTHS.tolist()):
            rows = ours[text, :, :length, :length]
            assert (rows - theirs[text, :, :length, :length]).abs().max() <= tolerance
            assert not ours[text, :, :length, length:].any()


@CASE
def test_untouched_without_an_observer_that_asks(name, stack):
    model = tapped(name, stack)
    ids, real = tokens()
    inputs = arguments(model, ids, real)

    class Idle:
        def observe(self, call):
            assert not call.computed

    with torch.inference_mode():
        plain = model.stack.body(**inputs)[0]
        with tap(model, Idle(), lengths=LENGTHS):
            seen = model.stack.body(**inputs)[0]
    assert torch.equal(seen[real], plain[real])


@CASE
def test_a_text_does_not_depend_on_its_batch(name, stack):
    family, hf = FAMILIES[name], build(name)
    model = load(hf, word_tokenizer(), stack=stack)
    ids, _ = tokens()
    batch = [_encoding(ids[row, :length]) for row, length in enumerate(LENGTHS.tolist())]
    together = Memory()
    model.run(batch, together)
    if family.causal and stack is None:
        assert "attention_mask" not in model.inputs(batch)
    for row, text in enumerate(batch):
        alone, length = Memory(), len(text)
        model.run([text], alone)
        for one, all_ in zip(alone.probabilities, together.probabilities, strict=True):
            difference = one[0] - all_[row, :, :length, :length]
            assert difference.abs().max() <= 3e-6


@CASE
def test_closed_form_against_the_oracle(name, stack):
    """Queries, keys and settings as shown to the observer give the probabilities it is shown."""
    model = tapped(name, stack)
    ids, real = tokens(torch.tensor([11, 6]))
    memory = Memory()
    with tap(model, memory), torch.inference_mode():
        model.stack.body(**arguments(model, ids, real))
    bias = _t5_bias(model) if name == "t5" else None
    for layer, call in enumerate(memory.calls):
        visible = model.stack.visibility[layer]
        admits = (oracle.causal if visible.causal else oracle.both_ways)(visible.window)
        groups = call.query.shape[1] // call.key.shape[1]
        for head, text, length in [(0, 0, 11), (3, 1, 6)]:
            expected = oracle.attention(
                call.query[text, head, :length].double().numpy(),
                call.key[text, head // groups, :length].double().numpy(),
                call.scaling,
                admits,
                call.softcap,
                None if bias is None else bias[head],
                None if call.sinks is None else float(call.sinks[head].detach()),
            )
            ours = call.probabilities()[text, head, :length, :length].numpy()
            np.testing.assert_allclose(ours, expected, atol=2e-6)
            rows = ours.sum(axis=1)
            assert (rows < 0.999).any() if call.sinks is not None else np.allclose(rows, 1)


def _t5_bias(model: Tapped) -> np.ndarray:
    """T5's position bias by hand, `(H, T, T)`."""
    first = model.stack.modules[0]
    table = first.relative_attention_bias.weight.detach().double().numpy()
    both = model.stack.name == "encoder"
    bias = np.zeros((table.shape[1], 11, 11))
    for i in range(11):
        for j in range(11):
            bias[:, i, j] = table[oracle.relative_bucket(j - i, 8, 12, both)]
    return bias


def _encoding(ids: torch.Tensor) -> Encoding:
    length = len(ids)
    spans = np.zeros((length, 2), np.int64)
    return Encoding(("x",) * length, ids.numpy(), spans, np.zeros(length, bool))
