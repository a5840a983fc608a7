"""What heads write: parts that add up to the logits, and what a head is called for it."""

import numpy as np
import pytest
import torch

import headscribe as hs
from benchmarks.parts import parts_of
from headscribe.influence.ways import Ways, ways_of
from headscribe.influence.writes import CONTENT, OTHERS, writes
from headscribe.models.inputs import model_inputs
from headscribe.models.model import Model
from tests.integration.families import build
from tests.oracles.direct_effects import figures, taken_apart
from tests.unit.models.tokenizers import word_tokenizer

HALVES = (
    "llama",
    "gpt2",
    "gpt_neox",
    "opt",
    "gemma2",
    "bert",
    "albert",
    "distilbert",
    "modernbert",
)
"""Norms before, after and around; parallel, shared and transposed; with and without a transform."""


def stories(texts: int = 24, tokens: int = 64) -> tuple[Model, tuple]:
    model = hs.load("bundled:stories")
    corpus = hs.corpus("bundled:samples", texts)
    return model, model_inputs(model, corpus, "plain", tokens).passages


def weights_of(model: Model) -> dict[str, np.ndarray]:
    return {key: value.double().numpy() for key, value in model.hf.state_dict().items()}


def oracle(model: Model, ids: np.ndarray):
    config = model.hf.config
    theta = config.rope_parameters["rope_theta"]
    return taken_apart(weights_of(model), model.heads, theta, config.rms_norm_eps, ids)


@pytest.mark.parametrize("family", HALVES)
def test_the_parts_add_up_to_the_logits(family: str) -> None:
    model = hs.load(build(family), word_tokenizer())
    hooks = [len(module._forward_hooks) for module in model.hf.modules()]
    ways = ways_of(model)
    ids = torch.randint(3, 60, (9,), generator=torch.Generator().manual_seed(0))
    shown = []
    hook = ways.unembedding.register_forward_hook(lambda _, __, output: shown.append(output[0]))
    with torch.no_grad():
        model.hf(input_ids=ids[None])
    hook.remove()
    parts = parts_of(ways, ids)
    torch.testing.assert_close(parts.logits, shown[0], atol=1e-4, rtol=0)
    assert parts.heads.abs().amax((2, 3)).min() > 1e-4
    assert hooks == [len(module._forward_hooks) for module in model.hf.modules()]


def test_the_parts_are_those_of_the_oracle() -> None:
    model, passages = stories(1)
    ids = np.asarray(passages[0].ids)
    found, expected = parts_of(ways_of(model), torch.from_numpy(ids)), oracle(model, ids)
    for ours, theirs in (
        (found.heads, expected.heads), (found.rest, expected.mlps),
        (found.embeddings, expected.embeddings), (found.logits, expected.logits),
    ):  # fmt: skip
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-4)


def test_the_figures_are_those_of_the_oracle() -> None:
    model, passages = stories(1, 40)
    found = writes(ways_of(model), passages)
    expected = figures(
        oracle(model, np.asarray(passages[0].ids)), np.asarray(passages[0].ids), CONTENT, OTHERS
    )
    for (head, target), (rows, value, other) in expected.items():
        assert found.rows[target, head] == rows
        np.testing.assert_allclose(found.value[target, head], value, atol=1e-4)
        np.testing.assert_allclose(found.expected[target, head], other, atol=1e-4)


def test_the_long_way_gives_what_the_short_one_gives() -> None:
    model, passages = stories(2, 40)
    ways = ways_of(model)
    short = writes(ways, passages)

    class Long(Ways):
        short = False

    assert ways.short
    long = writes(Long(**vars(ways)), passages)
    np.testing.assert_allclose(long.beyond.mean, short.beyond.mean, atol=1e-5)
    assert [one.up[0][0] for one in long.promoted] == [one.up[0][0] for one in short.promoted]


def test_known_heads_copy_and_planted_ones_do_not() -> None:
    model, passages = stories()
    weight = model.hf.model.layers[3].self_attn.o_proj.weight
    own = weight.detach().clone()
    before = writes(ways_of(model), passages)
    head = {str(one): k for k, one in enumerate(before.heads)}
    assert all(before.beyond.low[0, head[one]] > 0.3 for one in ("3.3", "3.4", "3.5"))
    assert all("copies" in before.named(head[one]) for one in ("3.3", "3.4", "3.5"))
    with torch.no_grad():  # 3.5 negated, 3.4 silenced
        weight[:, 160:192] *= -1
        weight[:, 128:160] = 0
    try:
        after = writes(ways_of(model), passages)
    finally:
        with torch.no_grad():
            weight.copy_(own)
    assert after.named(head["3.5"])[0] == "suppresses"
    assert after.beyond.high[0, head["3.5"]] < -0.3
    assert after.named(head["3.4"]) == ()
    assert not after.value[:, head["3.4"]].any()
    assert not any(one.head == (3, 4) and one.up[0][1] for one in after.promoted)


def test_a_random_model_has_no_names() -> None:
    model, passages = stories()
    torch.manual_seed(3)
    hf = type(model.hf)(model.hf.config).eval()
    for name, weight in hf.named_parameters():  # heads that do much, to tokens by chance
        weight.data.mul_(6 if "self_attn" in name else 100 if "lm_head" in name else 1)
    found = writes(ways_of(hs.load((hf, model.tokenizer))), passages)
    assert np.nanmax(np.abs(found.beyond.mean)) > 0.3
    assert found.flagged.any(0).mean() <= 0.05


def test_a_model_without_a_head_is_one_line() -> None:
    with pytest.raises(hs.UsageError, match="has no language-model head"):
        ways_of(hs.load("bundled:minilm"))
