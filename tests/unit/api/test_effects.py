"""`hs.effects`: with a run of explain, of masked models, with requests that cannot be met."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

import headscribe as hs
from benchmarks.parts import parts_of
from headscribe.cli.probe import show as print_probed
from headscribe.influence.ways import ways_of
from headscribe.models.inputs import model_inputs
from tests.integration.families import build
from tests.unit.models.tokenizers import word_tokenizer


def test_reads_asks_for_what_a_run_of_explain_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = hs.corpus("bundled:samples", 24)
    asked = {"max_tokens": 32, "annotator": "plain"}
    named = hs.explain("bundled:stories", texts, out=tmp_path / "explain", **asked)
    found = hs.effects(
        "bundled:stories", texts, reads=14, explained=named.folder, out=tmp_path / "run", **asked
    )
    rows = found.run.table("reads_from").to_pylist()
    behaviours = {(row["layer"], row["head"]): row["behaviour"] for row in rows}
    assert len(set(behaviours.values())) > 2
    for head, behaviour in behaviours.items():
        assert named.cards[head].figures[0].behaviour == behaviour
    keys = [row for row in rows if (row["layer"], row["head"], row["input"]) == (3, 5, "key")]
    assert (keys[0]["from_layer"], keys[0]["from_head"]) == (1, 2)
    assert named.effects is not None
    assert "instead of" in named.effects.line("3.5")
    assert "without 1.2 in its keys" in named.writes(hs.HeadId(3, 5))
    probed = hs.probe("bundled:stories", probes="induction", pairs=8, out=tmp_path / "probe")
    flagged = [row for row in probed.top("induction", None) if row["flagged"]]
    assert len(flagged) > 5
    print_probed(probed, as_json=False)
    printed = capsys.readouterr().out
    assert f"{flagged[0]['layer']}.{flagged[0]['head']}" in printed
    assert re.search(rf"  and {len(flagged) - 5} more heads?, with --json", printed)
    for run in (probed, found):
        with pytest.raises(hs.UsageError, match=r"no head 9\.9 in .*6 layers of 6 heads"):
            run.line("9.9")
    again = hs.Explained.open(named.folder)
    assert again.writes(hs.HeadId(3, 5)).endswith("(control 1%).")
    assert again.writes(hs.HeadId(0, 0)).endswith("Probes: answers none.")


def test_of_masked_models_the_token_of_the_row_is_helped(tmp_path: Path) -> None:
    model = hs.load(build("bert"), word_tokenizer(mask_token="[UNK]"))
    words = ["the", "cat", "sat", "on", "mat", "."]
    chance = np.random.default_rng(0)
    texts = [" ".join(chance.choice(words, 9)) for _ in range(10)]
    found = hs.effects(model, texts, annotator="plain", matters=8, reads=8, out=tmp_path / "run")
    ways = ways_of(model)
    value, expected = np.zeros((2, model.layers, model.heads, 10))
    for at, text in enumerate(model_inputs(model, hs.corpus(texts), "plain").passages):
        content = ~text.is_special
        assert content.sum() == 9
        ids = torch.from_numpy(np.asarray(text.ids))
        parts = parts_of(ways, ids)
        centred = parts.unembedding - parts.unembedding.mean(0)
        grid = (parts.heads[:, :, content] @ centred[ids[content]].T).numpy()
        own = np.diagonal(grid, axis1=2, axis2=3)
        value[:, :, at] = own.mean(-1)
        expected[:, :, at] = ((grid.sum(-1) - own) / 8).mean(-1)
    for row in found.run.table("effects").to_pylist():
        if row["token"] == "current":
            at = row["layer"], row["head"]
            np.testing.assert_allclose(row["value"], value[at].mean(), atol=1e-5)
            np.testing.assert_allclose(row["expected"], expected[at].mean(), atol=1e-5)
        assert row["named"] is None or row["token"] != "next"
    rows = found.run.table("matters").to_pylist()
    assert {row["tokens"] for row in rows} == {16}  # two masked tokens a text
    assert max(abs(row["change"]) for row in rows) > 1e-5
    assert set(found.to_json()[0]) == {
        "head", "reads_token", "next_token", "current_token", "named", "loss_mean", "loss_profile",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"matters": 4}, "expected --matters 0, or at least 8"),
        ({"reads": 1}, "expected --reads 0, or at least 8"),
        ({"explained": "run"}, "expected --reads N with --explained"),
        ({"reads": 8, "explained": "nowhere"}, "nowhere"),
        ({"matters": 8}, "expected at least 8 texts to take heads out on, got 3"),
        ({"reads": 8}, "expected at least 8 texts to take heads out on, got 3"),
    ],
)
def test_requests_that_cannot_be_met_are_one_line(
    asked: dict[str, object], message: str, tmp_path: Path
) -> None:
    texts = hs.corpus("bundled:samples", 8 if "explained" in asked else 3)
    with pytest.raises(hs.UsageError, match=message):
        hs.effects("bundled:stories", texts, annotator="plain", out=tmp_path / "run", **asked)
    assert not (tmp_path / "run").exists()


def test_of_few_texts_it_is_said_that_none_can_have_a_name(tmp_path: Path) -> None:
    texts = hs.corpus("bundled:samples", 1)
    found = hs.effects("bundled:stories", texts, annotator="plain", out=tmp_path / "run")
    assert "on 1 text, to copy" in found.summary
    assert found.summary.endswith("of fewer than 8 none can be.")
