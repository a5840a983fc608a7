"""Whether heads matter: what hooks written by hand give, also after an interruption."""

from pathlib import Path

import numpy as np
import pytest
import torch

import headscribe as hs
from headscribe.influence.matters import Kept, _losses, _Scored, _without, matters
from headscribe.influence.ways import ways_of
from headscribe.models.inputs import model_inputs
from headscribe.models.model import Model
from headscribe.results import run as runs
from tests.integration.families import build
from tests.unit.models.tokenizers import word_tokenizer


def stories(texts: int = 16, tokens: int = 24) -> tuple[Model, tuple]:
    model = hs.load("bundled:stories")
    corpus = hs.corpus("bundled:samples", texts)
    return model, model_inputs(model, corpus, "plain", tokens).passages


def losses_by_hand(model: Model, texts, put=None) -> list[np.ndarray]:
    """The loss of every token but the first, one text at a time; `put` alters layer 3's heads."""
    found = []
    hook = None
    if put is not None:
        projection = model.hf.model.layers[3].self_attn.o_proj
        hook = projection.register_forward_pre_hook(lambda _, given: (put(given[0]),))
    for text in texts:
        ids = torch.tensor(text.ids)[None]
        with torch.no_grad():
            log = torch.log_softmax(model.hf(ids).logits[0, :-1].double(), -1)
        found.append(-log.gather(1, ids[0, 1:, None])[:, 0].numpy())
    if hook is not None:
        hook.remove()
    return found


def test_the_mean_in_a_heads_place_is_what_hooks_by_hand_give() -> None:
    model, passages = stories()
    found = matters(ways_of(model), passages, 8)
    order = np.random.default_rng(0).permutation(16)
    measured = [passages[k] for k in np.sort(order[:8])]
    others = [passages[k] for k in order[8:]]
    seen: list[torch.Tensor] = []

    def keep(rows: torch.Tensor) -> torch.Tensor:
        seen.append(rows[0, 1:, 96:128])
        return rows

    losses_by_hand(model, others, keep)
    mean = torch.cat(seen).mean(0)

    def put(rows: torch.Tensor) -> torch.Tensor:
        rows = rows.clone()
        rows[:, 1:, 96:128] = mean
        return rows

    before, after = losses_by_hand(model, measured), losses_by_hand(model, measured, put)
    change = np.concatenate(after).mean() - np.concatenate(before).mean()
    head = found.heads.index((3, 3))
    np.testing.assert_allclose(found.change.mean[0, head], change, atol=1e-5)
    np.testing.assert_allclose(found.loss, np.concatenate(before).mean(), atol=1e-5)
    assert found.tokens == sum(map(len, before))


@pytest.mark.parametrize("family", ["llama", "bert", "albert"])
def test_a_head_with_its_own_output_changes_nothing(family: str) -> None:
    model = hs.load(build(family), word_tokenizer(mask_token="[UNK]"))
    texts = [f"the cat sat on the mat{' .' * k}" for k in range(1, 3)]
    passages = model_inputs(model, hs.corpus(texts), "plain").passages
    ways = ways_of(model)
    some = [_Scored.of(model, one) for one in passages]
    reads = [one.read for one in some]
    with torch.inference_mode():
        kept = Kept(ways, reads)
        own = _losses(kept.logits, some)
        for layer in range(model.layers):
            rows = kept.heads(layer)[:, :, 2]
            same = _losses(_without(ways, kept, reads, layer, 2, rows), some)
            none = _losses(_without(ways, kept, reads, layer, 2, 0 * rows), some)
            np.testing.assert_allclose(np.concatenate(same), np.concatenate(own), atol=1e-5)
            assert np.abs(np.concatenate(none) - np.concatenate(own)).max() > 1e-4
    with torch.inference_mode():  # everything is as it was
        np.testing.assert_allclose(
            np.concatenate(_losses(model.logits(reads), some)), np.concatenate(own), atol=1e-6
        )


def test_it_goes_on_where_it_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, passages = stories(10, 12)
    ways = ways_of(model)
    whole = matters(ways, passages, 8)
    monkeypatch.setattr(runs, "KEEP_EVERY", 0.0)
    monkeypatch.setattr(runs, "KEEP_SHARE", 1e9)
    run = runs.Run.create(tmp_path / "run", "effects", {})

    def stop(_: str, done: int, __: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        matters(ways, passages, 8, stages=run, on_progress=stop)
    steps: list[int] = []
    again = matters(ways, passages, 8, stages=run, on_progress=lambda *a: steps.append(a[1]))
    assert steps[0] == 4
    np.testing.assert_allclose(again.change.mean, whole.change.mean, atol=1e-12)


def test_a_silent_head_does_not_matter_nor_do_those_of_a_random_model() -> None:
    model, passages = stories(16, 24)
    found = matters(ways_of(model), passages, 8)
    assert found.change.mean.max() > 0.02
    weight = model.hf.model.layers[1].self_attn.o_proj.weight
    own = weight.detach().clone()
    with torch.no_grad():
        weight[:, 64:96] = 0
    found = matters(ways_of(model), passages, 8)
    with torch.no_grad():
        weight.copy_(own)
    head = found.heads.index((1, 2))
    assert np.abs(found.change.mean[:, head]).max() < 1e-6
    assert not found.flagged[:, head].any()
    torch.manual_seed(0)
    hf = type(model.hf)(model.hf.config).eval()
    found = matters(ways_of(hs.load((hf, model.tokenizer))), passages, 8)
    assert found.flagged.any(0).mean() <= 0.05
