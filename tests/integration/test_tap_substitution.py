"""Replacing heads: only the chosen ones change, by exactly what was put in their place."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from headscribe.core.errors import UsageError
from headscribe.models.calls import AttentionCall
from headscribe.models.tap import _Session, intercept, tap
from tests.integration.families import FAMILIES
from tests.integration.tapping import LENGTHS, Tapped, arguments, tapped, tokens

CASES = [(name, stack) for name, family in FAMILIES.items() for stack in family.stacks]
CASE = pytest.mark.parametrize("name,stack", CASES)


@dataclass
class Nothing:
    """Replaces no head."""

    def heads(self, layer: int) -> tuple[int, ...]:
        return ()

    def rows(self, call: AttentionCall) -> Tensor:
        raise AssertionError("asked for rows of no head")


@dataclass
class Own:
    """Every head by its own attention."""

    def heads(self, layer: int) -> range:
        return range(4)

    def rows(self, call: AttentionCall) -> Tensor:
        return call.probabilities()


@dataclass
class Itself:
    """Some heads of one layer attend to the query alone, or to nothing."""

    layer: int = 1
    chosen: tuple[int, ...] = (2,)
    weight: float = 1.0

    def heads(self, layer: int) -> tuple[int, ...]:
        return self.chosen if layer == self.layer else ()

    def rows(self, call: AttentionCall) -> Tensor:
        texts, _, queries, _ = call.query.shape
        keys = call.key.shape[2]
        own = torch.eye(keys)[keys - queries :] * self.weight
        return own.expand(texts, len(self.chosen), queries, keys)


def _outputs(model: Tapped, substitution=None) -> tuple[Tensor, Tensor]:
    ids, real = tokens()
    inputs = arguments(model, ids, real)
    with torch.inference_mode():
        plain = model.stack.body(**inputs)[0]
        with tap(model, None, substitution, lengths=LENGTHS):
            return plain[real], model.stack.body(**inputs)[0][real]


@CASE
def test_the_empty_substitution_changes_no_bit(name, stack):
    plain, altered = _outputs(tapped(name, stack), Nothing())
    assert torch.equal(plain, altered)


@CASE
def test_a_heads_own_attention_reproduces_the_output(name, stack):
    plain, altered = _outputs(tapped(name, stack), Own())
    assert (plain - altered).abs().max() <= 1e-5


@CASE
def test_other_heads_keep_every_bit(name, stack):
    """The chosen heads' output is by hand `rows @ values`; the others' is what it was."""
    model = tapped(name, stack)
    chosen = Itself(layer=1, chosen=(3, 1))
    session = _Session(model.stack, None, chosen, (), LENGTHS)
    seen = []

    def compare(invocation):
        own, altered = invocation.own_output(), session.handle(invocation)
        layer = model.stack.positions.get(id(invocation.module), (None,))
        if layer == (1,) or len(layer) > 1:
            seen.append((own, altered, invocation.value))
        return altered

    ids, real = tokens()
    with intercept(model.stack.hf, compare), torch.inference_mode():
        model.stack.body(**arguments(model, ids, real))
    own, altered, value = seen[1 if len(seen) > 1 else 0]
    assert torch.equal(own[:, :, [0, 2]], altered[:, :, [0, 2]])
    groups = own.shape[2] // value.shape[1]
    for head in (1, 3):
        # Attending to itself alone, a query reads its own value.
        assert torch.equal(altered[:, :, head], value[:, head // groups])
        assert not torch.equal(altered[:, :, head], own[:, :, head])


def test_rows_of_zeros_silence_a_head():
    model = tapped("llama", None)
    silent, ablated = _outputs(model, Itself(weight=0.0))[1], None
    projection = model.stack.modules[1].o_proj.weight
    kept = projection.detach().clone()
    with torch.no_grad():
        projection[:, 2 * 8 : 3 * 8] = 0
    ablated = _outputs(model)[0]
    with torch.no_grad():
        projection.copy_(kept)
    assert (silent - ablated).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral", "gemma3", "gpt_oss"])
def test_with_a_cache_queries_are_the_last_positions(name):
    """Decoding token by token under a substitution equals one pass over everything."""
    model = tapped(name, None)
    hf = model.stack.hf
    ids, _ = tokens(torch.tensor([11]))
    substitution = Itself(layer=1, chosen=(0, 2))
    with torch.inference_mode(), tap(model, None, substitution):
        whole = hf(ids, use_cache=False).logits[0]
        cache, steps = None, []
        for part in (ids[:, :6], *ids[:, 6:].split(1, dim=1)):
            result = hf(part, past_key_values=cache, use_cache=True)
            cache = result.past_key_values
            steps.append(result.logits[0])
    assert (torch.cat(steps) - whole).abs().max() <= 2e-5


def test_gradients_flow_through_the_rows():
    model = tapped("gemma2", None)
    ids, _ = tokens(torch.tensor([7]))
    weight = torch.tensor(0.3, requires_grad=True)

    class Mixed(Itself):
        def rows(self, call):
            own = call.probabilities()[:, list(self.chosen)]
            return own * (1 - weight) + super().rows(call) * weight

    with tap(model, None, Mixed()):
        loss = model.stack.hf(ids, labels=ids, use_cache=False).loss
    (slope,) = torch.autograd.grad(loss, weight)
    step = 1e-2
    losses = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step
            with tap(model, None, Mixed()):
                losses.append(float(model.stack.hf(ids, labels=ids, use_cache=False).loss))
            weight -= sign * step
    assert float(slope) == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=0.05, abs=1e-4)


def test_wrong_heads_and_shapes_are_refused():
    model = tapped("gpt2", None)
    for chosen in ((0, 0), (4,), (-1,)):
        with pytest.raises(UsageError, match="different heads within"):
            _outputs(model, Itself(chosen=chosen))

    class Narrow(Itself):
        def rows(self, call):
            return super().rows(call)[..., :-1]

    with pytest.raises(UsageError, match=r"rows of shape \(3, 1, 11, 11\), got \(3, 1, 11, 10\)"):
        _outputs(model, Narrow())
