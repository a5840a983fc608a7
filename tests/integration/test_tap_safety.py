"""The tap leaves nothing behind, refuses to nest, and says where attention breaks."""

from threading import Barrier, Thread

import pytest
import torch

from headscribe.core.errors import RunError, UsageError
from headscribe.models import tap as tapping
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.models.support import examine
from headscribe.models.tap import tap
from tests.integration.families import build
from tests.integration.tapping import LENGTHS, Memory, Tapped, arguments, tapped, tokens
from tests.integration.test_tap_families import _encoding
from tests.unit.models.tokenizers import word_tokenizer


def _state(model: Tapped) -> tuple:
    hf = model.stack.hf
    implementations = [
        module.config._attn_implementation for module in hf.modules() if hasattr(module, "config")
    ]
    hooks = [len(module._forward_pre_hooks) for module in hf.modules()]
    return implementations, hooks, dict(tapping._handlers)


class StopError(Exception):
    pass


class Breaking:
    def observe(self, call):
        if call.layer == 1:
            raise StopError


@pytest.mark.parametrize("name", ["albert", "gemma3", "t5"])
def test_restores_everything_after_an_exception(name):
    model = tapped(name, None)
    before = _state(model)
    ids, real = tokens()
    inputs = arguments(model, ids, real)
    with torch.inference_mode():
        plain = model.stack.body(**inputs)[0]
        with pytest.raises(StopError), tap(model, Breaking()):
            model.stack.body(**inputs)
        assert _state(model) == before
        assert torch.equal(model.stack.body(**inputs)[0], plain)
    assert not tapping._handlers


def test_a_shared_module_starts_over_after_a_broken_pass():
    """ALBERT's one module serves every layer: the next pass begins at layer 0 again."""
    model = tapped("albert", None)
    ids, real = tokens()
    inputs = arguments(model, ids, real)

    class Once(Memory):
        broken = False

        def observe(self, call):
            if call.layer == 1 and not self.broken:
                self.broken = True
                self.calls.clear()
                raise StopError
            super().observe(call)

    memory = Once()
    with torch.inference_mode(), tap(model, memory):
        with pytest.raises(StopError):
            model.stack.body(**inputs)
        model.stack.body(**inputs)
    assert [call.layer for call in memory.calls] == [0, 1, 2]


def test_nested_use_is_refused():
    model = tapped("gpt2", None)
    before = _state(model)
    with tap(model):
        inside = _state(model)
        with pytest.raises(UsageError, match="already tapped"), tap(model):
            pass
        assert _state(model) == inside
    assert _state(model) == before


def test_two_models_at_once_do_not_meet():
    models = [tapped("bert", None), tapped("gpt2", None)]
    ids, real = tokens()
    alone = []
    for model in models:
        memory = Memory()
        with torch.inference_mode(), tap(model, memory):
            model.stack.body(**arguments(model, ids, real))
        alone.append(memory.probabilities)
    together = [Memory(), Memory()]
    barrier = Barrier(2)

    def work(index):
        with torch.inference_mode(), tap(models[index], together[index]):
            barrier.wait(timeout=60)
            models[index].stack.body(**arguments(models[index], ids, real))
            barrier.wait(timeout=60)

    threads = [Thread(target=work, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for expected, memory in zip(alone, together, strict=True):
        assert len(memory.probabilities) == 3
        assert all(map(torch.equal, expected, memory.probabilities))


def test_cross_attention_is_never_shown():
    for name in ("t5", "bart"):
        model = tapped(name, "decoder")
        source, _ = tokens(torch.tensor([11]))
        target, _ = tokens(torch.tensor([6]))
        memory = Memory()
        with torch.inference_mode(), tap(model, memory):
            model.stack.body(input_ids=source, decoder_input_ids=target)
        assert [tuple(p.shape) for p in memory.probabilities] == [(1, 4, 6, 6)] * 3


def test_stacks_are_asked_for_by_name():
    with pytest.raises(UsageError, match="cross-attention is not supported"):
        examine(build("t5"), "cross")
    with pytest.raises(UsageError, match="one stack only"):
        examine(build("bert"), "encoder")


def test_nan_names_text_layer_and_head():
    support, stack = examine(build("bert"))
    assert stack is not None
    with torch.no_grad():
        stack.modules[1].value.weight[3 * 8] = float("nan")
    ids, _ = tokens()
    batch = [_encoding(ids[row, :length]) for row, length in enumerate(LENGTHS.tolist())]
    loaded = Model("bert", stack.hf, word_tokenizer(), stack, support)
    with pytest.raises(RunError, match="text 0 of its batch: attention of layer 1, head 3 is NaN"):
        loaded.run(batch, Memory())


def test_nan_in_padded_rows_is_no_error():
    session = tapping._Session(tapped("bert", None).stack, None, None, (), LENGTHS)
    call = AttentionCall(2, LENGTHS, (), lambda: torch.zeros(0), None)
    output = torch.zeros(3, 11, 4, 8)
    output[1, 5:] = float("nan")
    session._check(call, output)
    output[2, 7, 1, 0] = float("inf")
    with pytest.raises(RunError, match="text 2 of its batch: attention of layer 2, head 1"):
        session._check(call, output)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", ["llama", "gemma2", "t5", "gpt_oss", "bert"])
def test_half_precision_is_scored_in_float32(name, dtype):
    hf = build(name).to(dtype)
    stack = examine(hf)[1]
    assert stack is not None
    model = Tapped(stack)
    ids, real = tokens()
    inputs = arguments(model, ids, real)
    memory = Memory()
    with torch.inference_mode():
        plain = stack.body(**inputs)[0]
        with tap(model, memory, lengths=LENGTHS):
            seen = stack.body(**inputs)[0]
    assert seen.dtype == dtype
    assert torch.equal(seen[real], plain[real])
    for call, weights in zip(memory.calls, memory.probabilities, strict=True):
        assert weights.dtype == torch.float32
        scores = call.query.float() @ call.key.float().repeat_interleave(
            call.query.shape[1] // call.key.shape[1], 1
        ).transpose(2, 3)
        if call.softcap is None and call.sinks is None and call.mask is not None:
            own = torch.softmax(scores * call.scaling + call.mask.float(), -1)
            rows = real[:, None, :, None]
            assert ((own - weights) * rows).abs().max() <= 1e-6
        if call.sinks is None:
            assert (weights.sum(-1) - 1).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["gpt2", "mistral"])
def test_generation_is_observed_step_by_step(name):
    """Under a key-value cache the queries are the last positions of what is still cached."""
    model = tapped(name, None)
    hf = model.stack.hf
    ids, _ = tokens(torch.tensor([7]))
    settings = {
        "min_new_tokens": 3,
        "max_new_tokens": 3,
        "do_sample": False,
        "attention_mask": torch.ones_like(ids),
    }
    shapes = []

    class Shapes:
        def observe(self, call):
            weights = call.probabilities()
            assert torch.allclose(weights.sum(-1), torch.tensor(1.0), atol=1e-5)
            shapes.append((call.layer, *weights.shape[2:]))

    plain = hf.generate(ids, **settings)
    with tap(model, Shapes()):
        seen = hf.generate(ids, **settings)
    assert torch.equal(plain, seen)
    cached = [(7, 7), (1, 8), (1, 9)] if name == "gpt2" else [(7, 7), (1, 4), (1, 4)]
    assert shapes == [(layer, *shape) for shape in cached for layer in range(3)]
