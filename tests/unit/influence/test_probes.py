"""Probes: known heads answer them, random models and shuffled probes do not."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import headscribe as hs
from headscribe.influence.probes import PROBES, Probe, Side, Supply, _around, chosen, probe
from headscribe.models.model import Model


@pytest.fixture(scope="module")
def model() -> Model:
    return hs.load("bundled:stories")


def best(found, name: str, count: int, heads: int = 6) -> list[str]:
    at = [one.name for one in found.probes].index(name)
    order = np.argsort(-found.difference.mean[at])[:count]
    return [f"{k // heads}.{k % heads}" for k in order if found.flagged[at, k]]


def test_known_heads_answer(model: Model) -> None:
    found = probe(model, chosen(["induction", "duplicate", "copying", "previous"]), pairs=8)
    assert {"3.3", "3.4", "3.5"} <= set(best(found, "induction", 4))
    assert best(found, "previous", 2) == ["1.2", "1.3"]
    assert best(found, "duplicate", 1) == []
    assert {"3.3", "3.5"} <= set(best(found, "copying", 4))


def test_the_numbers_are_those_of_plain_attention(model: Model) -> None:
    supply, (one,) = Supply(model, 0), chosen(["induction"])
    sides = [one.make(supply) for _ in range(8)]
    found = probe(model, [one], pairs=8)
    before, after = _around(model)
    for which, values in ((0, found.value[0]), (1, found.control[0])):
        mean = np.zeros(36)
        for pair in sides:
            ids = torch.tensor([[*before, *pair[which].ids.tolist(), *after]])
            model.hf.set_attn_implementation("eager")
            seen = torch.stack(model.hf(ids, output_attentions=True).attentions)[:, 0].detach()
            model.hf.set_attn_implementation("sdpa")
            for query, key in pair[which].cells + len(before):
                mean += seen[:, :, query, key].flatten().double().numpy() / 40 / 8
        np.testing.assert_allclose(values, mean, atol=1e-5)


def test_every_probe_is_a_pair_of_texts_that_differ_where_they_should(model: Model) -> None:
    for one in PROBES:
        for text, control in (one.make(Supply(model, k)) for k in range(3)):
            assert len(text.ids) == len(control.ids)
            assert len(text.cells) == len(control.cells)
            for side in (text, control):
                assert (side.cells >= 0).all()
                assert (side.cells[:, 1] <= side.cells[:, 0]).all()
                assert side.cells.max() < len(side.ids)
            same = (text.ids == control.ids).all() and (text.cells == control.cells).all()
            assert not same or text.wanted is not None


def test_random_models_and_shuffled_probes_flag_nobody(model: Model) -> None:
    def shuffled(one: Probe) -> Probe:
        def make(supply: Supply) -> tuple[Side, Side]:
            pair = one.make(supply)
            return (pair[0], pair[1]) if supply.chance.integers(2) else (pair[1], pair[0])

        return replace(one, make=make)

    found = probe(model, [shuffled(one) for one in PROBES], pairs=8)
    assert found.flagged.any(0).mean() <= 0.05
    torch.manual_seed(0)
    hf = type(model.hf)(model.hf.config).eval()
    for weight in hf.parameters():  # attention that is far from even
        weight.data.mul_(4 if weight.ndim == 2 else 1)
    found = probe(hs.load((hf, model.tokenizer)), pairs=8)
    assert found.flagged.any(0).mean() <= 0.05


def test_wrong_names_and_small_vocabularies_are_one_line(model: Model) -> None:
    with pytest.raises(hs.UsageError, match="did you mean `induction`"):
        hs.probe(model, probes="inducton")
    with pytest.raises(hs.UsageError, match="expected at least 8 for pairs"):
        hs.probe(model, pairs=3)
