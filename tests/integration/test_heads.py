"""`hs.heads` and `hs.attend`: heads of a model in memory, switched off, replaced, read by rows."""

import numpy as np
import pytest
import torch

import headscribe as hs
from headscribe.models.model import Model
from tests.integration.families import build
from tests.unit.models.tokenizers import word_tokenizer

TEXTS = ["the cat sat .", "the dog saw the cat ."]
OUTPUTS = {
    "llama": "model.layers.{}.self_attn.o_proj",
    "mistral": "model.layers.{}.self_attn.o_proj",
    "gpt2": "transformer.h.{}.attn.c_proj",
    "bert": "bert.encoder.layer.{}.attention.output.dense",
}
"""The module that mixes the heads, by family; written from the models' own code."""


def tiny(family: str) -> Model:
    torch.manual_seed(1)
    return hs.load(build(family), word_tokenizer())


def ids_of(model: Model, text: str) -> torch.Tensor:
    return torch.from_numpy(model.encode([text])[0].ids)[None]


def by_hand(model: Model, family: str, heads: list[tuple[int, int]], batch) -> torch.Tensor:
    """The logits with the heads' slices of the output matrices set to zero."""
    kept = {name: one.clone() for name, one in model.hf.state_dict().items()}
    with torch.no_grad():
        for layer, head in heads:
            weight = model.hf.get_submodule(OUTPUTS[family].format(layer)).weight
            weight = weight.T if family == "gpt2" else weight  # Conv1D keeps it transposed
            width = weight.shape[1] // model.heads
            weight[:, head * width : (head + 1) * width] = 0
        logits = model.logits(batch)
        model.hf.load_state_dict(kept)
    return logits


@pytest.mark.parametrize("family", OUTPUTS)
def test_off_equals_a_slice_of_zeros(family: str) -> None:
    model = tiny(family)
    batch = model.encode(TEXTS)
    inputs = model.inputs(batch)
    real = torch.tensor([[k < len(one) for k in range(len(batch[1]))] for one in batch])
    with torch.inference_mode():
        before = model.hf(**inputs).logits[real]
        with hs.heads(model).off("0.1", "L1H3", (1, 0)) as hf:
            assert hf is model.hf
            silenced = hf(**inputs).logits[real]
        after = model.hf(**inputs).logits[real]
    expected = by_hand(model, family, [(0, 1), (1, 3), (1, 0)], batch)[real]
    torch.testing.assert_close(silenced, expected, atol=1e-5, rtol=0)
    assert (silenced - before).abs().max() > 1e-3
    assert torch.equal(before, after)


def test_off_in_generation_with_a_cache() -> None:
    model = hs.load("bundled:stories")
    ids = ids_of(model, "Once upon a time")
    options = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    plain = model.hf.generate(ids, **options)
    chosen = [(layer, head) for layer in range(2) for head in range(model.heads)]
    with hs.heads(model).off(*chosen) as hf:
        cached = hf.generate(ids, use_cache=True, **options)
        uncached = hf.generate(ids, use_cache=False, **options)
        # Silence asks for no text: embeddings do as well as ids.
        rows = hf.get_input_embeddings()(ids)
        torch.testing.assert_close(hf(inputs_embeds=rows).logits, hf(ids).logits)
    assert torch.equal(cached, uncached)
    assert not torch.equal(cached, plain)
    assert torch.equal(plain, model.hf.generate(ids, **options))


def test_everything_is_restored_after_an_exception() -> None:
    model = tiny("llama")
    inputs = model.inputs(model.encode(TEXTS))
    before = model.hf(**inputs).logits
    implementation = model.hf.config._attn_implementation
    with pytest.raises(ZeroDivisionError), hs.heads(model).off("0.0"):
        raise ZeroDivisionError
    assert model.hf.config._attn_implementation == implementation
    assert torch.equal(before, model.hf(**inputs).logits)


def test_the_mean_in_the_place_of_heads() -> None:
    from headscribe.models.inputs import model_inputs
    from headscribe.patterns.registry import baselines
    from headscribe.replacement.apply import apply
    from headscribe.replacement.controls import estimate
    from headscribe.replacement.plan import Plan

    model = hs.load("bundled:stories")
    texts = hs.corpus("bundled:samples", limit=3)
    ids = ids_of(model, "Tom saw the big dog.")
    passages = model_inputs(model, texts, annotator_name="plain").passages
    profile = estimate(model, passages, baselines()).profile
    chosen = hs.HeadId(3, 3)
    with torch.inference_mode():
        with apply(model, Plan({chosen: profile[chosen]})):
            expected = model.hf(ids).logits
        with hs.heads(model).mean(texts, "3.3") as hf:
            one = hf(ids).logits
        with hs.heads(model).mean(texts) as hf:
            every = hf(ids).logits
    assert torch.equal(one, expected)
    assert (every - one).abs().max() > 0.1


def test_a_relation_in_the_place_of_a_head() -> None:
    model = tiny("llama")
    ids = ids_of(model, TEXTS[1])
    with hs.heads(model).replace({"0.2": "distance == 0"}) as hf:
        shown = hf(ids).logits
    assert (shown - model.hf(ids).logits).abs().max() > 1e-4
    later = hs.heads(model).replace({"0.2": "distance == 1"})
    with pytest.raises(hs.UsageError, match="points at later keys only"), later:
        pass


@pytest.mark.parametrize(
    ("heads", "message"),
    [(["9.0"], "no head 9.0 in the model"), (["x"], "expected a head such as 7.10"),
     ([], "at least one head")],
)  # fmt: skip
def test_heads_that_are_not_there(heads: list[str], message: str) -> None:
    with pytest.raises(hs.UsageError, match=message), hs.heads("bundled:stories").off(*heads):
        pass


def eager(model: Model, text: str) -> np.ndarray:
    """The attention of transformers' own eager implementation, shape (L, H, T, T)."""
    ids = ids_of(model, text)
    own = model.hf.config._attn_implementation
    model.hf.set_attn_implementation("eager")
    with torch.no_grad():
        found = model.hf(ids, output_attentions=True).attentions
    model.hf.set_attn_implementation(own)
    return torch.stack([layer[0] for layer in found]).numpy()


@pytest.mark.parametrize("family", ["llama", "bert", "mistral"])
def test_attend_is_the_models_own_attention(family: str) -> None:
    model = tiny(family)
    text = "the cat sat . the dog saw the cat . the cat saw the dog ."
    whole = eager(model, text)
    np.testing.assert_allclose(hs.attend(model, text, "1.2"), whole[1, 2], atol=1e-6)
    # As many as lie between the first and the last are not yet all of those, in order.
    for rows in ([3, -1, 0, 5, 3], [3, 1, 2, 6], [3, 5, 5], [2, 3, 4]):
        np.testing.assert_allclose(
            hs.attend(model, text, (0, 3), rows=rows), whole[0, 3, rows], atol=1e-6
        )
    keys, weights = hs.attend(model, text, "L1H0", rows=range(2, 9), topk=2)
    order = np.sort(whole[1, 0, 2:9], axis=1)[:, ::-1]
    np.testing.assert_allclose(weights, order[:, :2], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(whole[1, 0, 2:9], keys, 1), weights, atol=1e-6)


def test_attend_says_what_is_wrong() -> None:
    for options, message in [
        ({"rows": [40]}, "row 40: expected one within the text's 5 tokens"),
        ({"rows": [-6]}, "row -6"),
        ({"topk": 0}, "expected topk of at least 1"),
        ({"head": "6.0"}, "no head 6.0 in bundled:stories"),
        ({"rows": []}, "expected at least one row"),
    ]:
        given = {"head": "1.2"} | options
        with pytest.raises(hs.UsageError, match=message):
            hs.attend("bundled:stories", "The cat sat.", **given)
