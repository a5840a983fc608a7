"""Replacement in every family: nothing by the empty plan, exactly the plan by any other."""

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.rows import Rows
from headscribe.models import tap as tapping
from headscribe.models.calls import AttentionCall
from headscribe.models.tap import intercept, tap
from headscribe.replacement.apply import Substituted, apply
from headscribe.replacement.plan import ZERO, Plan
from tests.integration.families import FAMILIES
from tests.integration.tapping import arguments, tapped, tokens
from tests.oracles import replacement as oracle
from tests.unit.replacement.tiny import (
    ITSELF,
    ONE_STACK,
    PREVIOUS,
    SAME,
    STORIES,
    UNIFORM,
    Handmade,
    every_head,
    passages,
    tiny,
)

FAMILY = pytest.mark.parametrize("family", ONE_STACK)


class Recorded:
    """Keeps every head's attention, text by text."""

    def __init__(self):
        self.rows = {}

    def observe(self, call: AttentionCall) -> None:
        for text, passage in enumerate(call.batch):
            length = len(passage)
            for head, rows in enumerate(call.probabilities()[text]):
                key = call.layer, head, passage.text_id
                self.rows[key] = rows[:length, :length].double().numpy().copy()

    def program(self, layer, head):
        def own(passage, _):
            # A beginning of a text is asked for too: in a causal model its rows are the first ones.
            length = len(passage)
            return self.rows[layer, head, passage.text_id][:length, :length]

        return Handmade(own, f"own {layer}.{head}")


@FAMILY
def test_the_empty_plan_changes_no_bit(family):
    model = tiny(family)
    batch = passages(model)
    substitution = Substituted(Plan({}), model)
    plain, altered = model.logits(batch), model.logits(batch, substitution)
    for text, passage in enumerate(batch):
        assert torch.equal(plain[text, : len(passage)], altered[text, : len(passage)])
    inputs = model.inputs(batch[:1])
    with torch.inference_mode(), apply(model, Plan({})):
        assert torch.equal(model.hf(**inputs).logits, model.logits(batch[:1]))


@pytest.mark.parametrize(
    "family,stack", [(n, s) for n in ("t5", "bart") for s in FAMILIES[n].stacks]
)
def test_the_empty_plan_changes_no_bit_of_two_stacks(family, stack):
    model = tapped(family, stack)
    ids, real = tokens()
    inputs = arguments(model, ids, real)

    class Sized:
        layers, heads = model.stack.layers, model.stack.heads

        def visibility(self, layer):
            return model.stack.visibility[layer]

    with torch.inference_mode():
        plain = model.stack.body(**inputs)[0]
        with tap(model, None, Substituted(Plan({}), Sized())):
            assert torch.equal(model.stack.body(**inputs)[0][real], plain[real])


@FAMILY
def test_recorded_attention_reproduces_the_logits(family):
    model = tiny(family)
    batch = passages(model)
    recorded = Recorded()
    model.run(batch, recorded)
    sums = [rows.sum() / len(rows) for rows in recorded.rows.values()]
    if family == "gpt_oss":  # a sink inside the softmax: rows sum to less than 1
        assert min(sums) < 0.99
        return
    plan = Plan({head: recorded.program(*head) for head in every_head(model)})
    plain, altered = model.logits(batch), model.logits(batch, Substituted(plan, model))
    scale = max(1.0, float(plain.abs().max()))
    for text, passage in enumerate(batch):
        difference = (plain - altered)[text, : len(passage)].abs().max()
        assert difference <= 1e-5 * scale


@FAMILY
def test_a_batch_equals_one_at_a_time(family):
    """Padding never reaches a program, and windows and uncovered rows are respected in batches."""
    model = tiny(family)
    batch = passages(model)
    programs = [SAME, PREVIOUS, ZERO, UNIFORM]
    plan = Plan({HeadId(1, head): program for head, program in enumerate(programs)})
    together = model.logits(batch, Substituted(plan, model))
    for text, passage in enumerate(batch):
        alone = model.logits([passage], Substituted(plan, model))[0]
        assert torch.allclose(together[text, : len(passage)], alone, atol=1e-4)
        assert not torch.allclose(alone, model.logits([passage])[0], atol=1e-3)


@FAMILY
def test_self_attention_in_one_head(family):
    """The old method's blind spot: the identity is not the head's own attention."""
    model = tiny(family)
    (passage,) = passages(model, STORIES[:1])
    plan = Plan({HeadId(1, 2): ITSELF})
    plain, altered = model.logits([passage]), model.logits([passage], Substituted(plan, model))
    assert (plain - altered).abs().max() > 1e-3


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt", "bert"])
def test_equals_a_layer_computed_by_hand(family):
    """Output projection and all, of the layer's inputs, head by head in float64."""
    model = tiny(family)
    (passage,) = passages(model, STORIES[:1])
    layer = model.stack.modules[1]
    projection = {
        "gpt2": lambda: (layer.c_proj.weight.T, layer.c_proj.bias),
        "llama": lambda: (layer.o_proj.weight, None),
        "opt": lambda: (layer.out_proj.weight, layer.out_proj.bias),
        "bert": lambda: (torch.eye(32), None),  # its projection belongs to the next module
    }[family]()
    weight, bias = (None if x is None else x.detach().double().numpy() for x in projection)
    seen = {}
    substitution = Substituted(Plan({HeadId(1, 2): ITSELF}), model)

    class Both:
        def observe(self, call):
            if call.layer == 1:
                seen["own"] = call.probabilities()[0].double().numpy()
                seen["value"] = call.value[0].double().numpy()

    outputs = []
    hook = layer.register_forward_hook(lambda _, args, result: outputs.append(result[0]))
    lengths = torch.tensor([len(passage)])
    try:
        with torch.inference_mode(), tap(model, Both(), substitution, batch=(passage,),
                                         lengths=lengths):  # fmt: skip
            model.hf(**model.inputs([passage]))
    finally:
        hook.remove()
    rows = list(seen["own"])
    rows[2] = np.eye(len(passage))
    groups = 4 // len(seen["value"])
    values = [seen["value"][head // groups] for head in range(4)]
    expected = oracle.layer_output(rows, values, weight, bias)
    scale = max(1.0, np.abs(expected).max())
    assert np.abs(outputs[0][0].double().numpy() - expected).max() <= 1e-6 * scale


def test_everything_is_restored_after_an_exception():
    model = tiny("gemma2")
    batch = passages(model)
    plain = model.logits(batch)
    hooks = [len(module._forward_pre_hooks) for module in model.hf.modules()]

    class StopError(Exception):
        pass

    def stop(passage, visibility):
        raise StopError

    plan = Plan({HeadId(2, 1): Handmade(stop, "stopping")})
    with pytest.raises(StopError):
        model.logits(batch, Substituted(plan, model))
    with pytest.raises(StopError), apply(model, plan):
        model.hf(torch.tensor([[5, 6, 7]]))
    assert [len(module._forward_pre_hooks) for module in model.hf.modules()] == hooks
    assert not tapping._handlers
    again = model.logits(batch)
    assert all(torch.equal(plain[t, : len(p)], again[t, : len(p)]) for t, p in enumerate(batch))


def test_refused_plans_leave_the_model_as_it_was():
    model = tiny("llama")
    batch = passages(model)
    plain = model.logits(batch[:1])

    class Broken(Handmade):
        def predict(self, passage, visibility):
            rows = Rows.from_dense(np.eye(len(passage)))
            return Rows(rows.query_ptr, rows.key, rows.weight * np.float32(np.nan))

    for head, program, message in (
        (HeadId(9, 0), ITSELF, "head 9.0"),
        (HeadId(1, 1), Broken(ITSELF.matrix, "broken"), "head 1.1, text text:0: broken yields NaN"),
        (HeadId(1, 1), Handmade(ITSELF.matrix, "seer", looks_ahead=True), "head 1.1: seer looks"),
        (HeadId(1, 1), Handmade(lambda p, v: np.eye(len(p), k=1), "next"), "sees the future"),
    ):
        with pytest.raises(UsageError, match=message):
            model.logits(batch[:1], Substituted(Plan({head: program}), model))
        assert torch.equal(model.logits(batch[:1]), plain)


def test_models_that_bypass_the_interface_are_refused():
    model = tapped("bert", None)
    with (
        intercept(model.stack.hf, lambda call: call.own_output()),
        pytest.raises(UsageError, match=r"already tapped"),
        tap(model),
    ):
        pass


@pytest.mark.parametrize("family", ["llama", "bert", "mistral"])
def test_a_block_of_code_reads_ids(family):
    """`apply` builds the passages itself, padded at either end, and agrees with `Model.logits`."""
    model = tiny(family)
    batch = passages(model, ("w5 w9 w5 w12 w9 w30", "w7 w8 w7"))
    plan = Plan({HeadId(1, head): p for head, p in enumerate([SAME, PREVIOUS, ZERO, UNIFORM])})
    expected = model.logits(batch, Substituted(plan, model))
    width = max(map(len, batch))
    for left in (False, True):
        ids = torch.zeros((2, width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, passage in enumerate(batch):
            start = width - len(passage) if left else 0
            ids[row, start : start + len(passage)] = torch.from_numpy(passage.ids)
            mask[row, start : start + len(passage)] = 1
        if left and family == "bert":
            continue  # absolute positions shift with padding on the left
        arguments = {"position_ids": (mask.cumsum(1) - 1).clamp(0)} if family != "bert" else {}
        with torch.inference_mode(), apply(model, plan):
            found = model.hf(ids, attention_mask=mask, **arguments).logits
        for row, passage in enumerate(batch):
            start = width - len(passage) if left else 0
            rows = found[row, start : start + len(passage)]
            assert torch.allclose(rows, expected[row, : len(passage)], atol=1e-4)


def test_what_a_block_of_code_cannot_read():
    model = tiny("llama")
    plan = Plan({HeadId(0, 0): SAME})
    ids = torch.tensor([[5, 6, 7, 8]])
    cache = model.hf(ids, use_cache=True).past_key_values
    with torch.inference_mode(), apply(model, plan):
        with pytest.raises(UsageError, match=r"expected token ids"):
            model.hf(inputs_embeds=model.hf.get_input_embeddings()(ids))
        with pytest.raises(UsageError, match=r"the cache was filled"):
            model.hf(ids[:, :1], past_key_values=cache)
        with pytest.raises(UsageError, match=r"got holes"):
            model.hf(ids, attention_mask=torch.tensor([[1, 0, 1, 1]]))
