"""What can be fitted: few texts, one document, mixed windows, two recordings, given formulas."""

import json
from copy import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers, processors

import headscribe as hs
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.fitting.fit import Material, fit_source
from headscribe.fitting.selection import Budget
from headscribe.fitting.sources import layers_by_view
from headscribe.models.model import Model
from headscribe.patterns.registry import registry
from headscribe.results.examples import read_examples
from tests.commands import headscribe, wrong

WORDS = [
    "<pad>",
    "<s>",
    "</s>",
    "<unk>",
    "the",
    "cat",
    "sat",
    "on",
    "mat",
    "dog",
    "ran",
    "a",
    "bird",
    "sang",
    "in",
    "tree",
    "and",
    "saw",
    "it",
    ".",
]
SENTENCES = (
    "the cat sat on the mat .", "a dog ran .", "the bird sang in a tree .",
    "the dog saw the cat and it ran .", "a bird saw it .", "it sat in the tree and sang .",
    "the cat and the dog ran on a mat .", "a cat saw a bird in the tree .",
)  # fmt: skip
TEXTS = [f"{one} {two}" for one in SENTENCES for two in SENTENCES[:3]]
HALF = len(TEXTS) // 2
SIZE = {
    "vocab_size": len(WORDS), "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip


def tokenizer() -> hf.PreTrainedTokenizerFast:
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>",
    )  # fmt: skip


def mixed(window: int) -> Model:
    """A model whose first layer has a sliding window, and the second none."""
    torch.manual_seed(0)
    config = hf.Gemma3TextConfig(
        **SIZE, head_dim=8, query_pre_attn_scalar=8, sliding_window=window,
        layer_types=["sliding_attention", "full_attention"],
    )  # fmt: skip
    return hs.load((hf.Gemma3ForCausalLM(config).eval(), tokenizer()))


def fitted(model, texts=TEXTS, **options):
    return hs.fit(model, texts, annotator="plain", terms=2, patterns="default", **options)


def means(found, what="formula") -> dict[HeadId, float]:
    return {one.head: one.scores[what, "raw", "iou"].mean for one in found.heads}


def parts_of(found) -> set[str]:
    return {part["pattern"] for parts in found.mixtures.values() for part in parts}


@pytest.fixture(autouse=True)
def runs_here(tmp_path, monkeypatch):
    """Runs without `out` are kept in the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def wide() -> Model:
    return mixed(64)


@pytest.fixture(scope="module")
def live(wide, tmp_path_factory):
    """A fit to the first half of the texts, scored on the others."""
    out = tmp_path_factory.mktemp("live") / "run"
    return fitted(wide, TEXTS[:HALF], test=TEXTS[HALF:], out=out)


def test_a_window_that_no_text_reaches_hides_nothing(live) -> None:
    assert len(live.heads) == 8
    assert len(live.frame("similarity")) == 28
    assert np.isfinite(list(means(live).values())).all()


def test_layers_with_windows_are_fitted_by_themselves(tmp_path) -> None:
    """Each kind as if it were alone; likeness over all heads, on the same rows."""
    model, texts = mixed(4), TEXTS[::2]
    whole = fitted(model, texts)
    assert [one.head for one in whole.heads] == [HeadId(i, k) for i in (0, 1) for k in range(4)]
    encodings = model.encode(texts, None)
    assert max(map(len, encodings)) > 4
    passages = _passages(model, texts)
    kinds = layers_by_view(model, passages)
    assert sorted(kinds.values()) == [(0,), (1,)]
    patterns = registry().select(["default"])
    for layer in (0, 1):
        alone = fit_source(
            Material(_OneLayer(model, layer), passages), patterns, Budget(terms=2), look_ahead=False
        )
        for one in alone.heads:
            own = whole[HeadId(layer, one.head.head)]
            assert own.formula.terms == one.formula.terms
            assert own.scores["gain", "raw", "iou"] == one.scores["gain", "raw", "iou"]
    assert (whole.frame("similarity")["jsd"] > 0).all()
    covers = whole.frame("covers")
    own = [means(whole)[HeadId(row.layer, row.head)] for row in covers.itertuples()]
    np.testing.assert_allclose(covers["own_iou"], own, atol=0.05)
    assert all(len(one.formulas) == 8 for one in read_examples(whole.run).values())


@pytest.mark.parametrize(
    "own",
    [
        lambda: hf.GPTNeoForCausalLM(hf.GPTNeoConfig(
            vocab_size=24, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4,
            attention_types=[[["global", "local"], 1]], window_size=256)),
        lambda: hf.GptOssForCausalLM(hf.GptOssConfig(
            **SIZE, head_dim=8, num_local_experts=2, num_experts_per_tok=1, sliding_window=128,
            layer_types=["sliding_attention", "full_attention"])),
        lambda: hf.ModernBertForMaskedLM(hf.ModernBertConfig(
            vocab_size=24, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, local_attention=128, pad_token_id=0)),
    ],
    ids=["GPT-Neo", "gpt-oss", "ModernBERT"],
)  # fmt: skip
def test_every_family_with_mixed_windows_is_fitted_and_recorded(own, tmp_path) -> None:
    torch.manual_seed(0)
    model = hs.load((own().eval(), tokenizer()))
    found = hs.fit(model, TEXTS[:6], annotator="plain", terms=1, patterns=["previous_token"])
    assert len(found.heads) == 8
    assert np.isfinite(list(means(found).values())).all()
    hs.record(model, TEXTS[:3], tmp_path / "recorded", annotator="plain")
    assert len(hs.Recording(tmp_path / "recorded").passages) == 3


class _OneLayer:
    """A model that seems to have one of its layers."""

    def __init__(self, model: Model, layer: int) -> None:
        self._model, self._layer = model, layer
        self.layers, self.heads, self.name = 1, model.heads, model.name

    def visibility(self, layer):
        return self._model.visibility(self._layer)

    def run(self, passages, observer):
        class Shifted:
            def observe(_, call):  # noqa: N805
                if call.layer == self._layer:
                    shifted = copy(call)
                    shifted.layer = 0
                    observer.observe(shifted)

        self._model.run(passages, Shifted())


def _passages(model, texts):
    from headscribe.models.inputs import model_inputs

    return model_inputs(model, hs.corpus(texts), annotator_name="plain").passages


def test_a_fit_scored_on_another_recording(wide, live, tmp_path) -> None:
    """`fit --recorded A --test B` scores what the live model scores, but for the rounding."""
    recordings = [
        hs.record(wide, texts, tmp_path / name, annotator="plain")
        for name, texts in (("a", TEXTS[:HALF]), ("b", TEXTS[HALF:]))
    ]
    assert live.to_json()["folds"] == 0
    recorded = hs.fit(recordings[0], test=recordings[1], terms=2, patterns="default")
    assert recorded.mean("formula").mean == pytest.approx(live.mean("formula").mean, abs=0.02)
    again = hs.fit(recordings[1], formulas=live, patterns="default")
    for what in ("formula", "profile"):
        for head, value in means(live, what).items():
            assert means(again, what)[head] == pytest.approx(value, abs=0.005)
    done = headscribe(
        "fit", "--recorded", "a", "--test", "b", "--terms", 2, "--patterns", "default", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["folds"] == 0
    assert document["test"]["iou"]["mean"] == pytest.approx(recorded.mean("formula").mean)
    assert "another recording" in wrong(
        tmp_path, "fit", "--recorded", "a", "--test", str(Path(__file__))
    )


def test_given_formulas_are_scored_as_the_fit_scores_them(wide, live, tmp_path) -> None:
    """A fit tested on other texts, and the same formulas scored there later: the same numbers."""
    for source in (live, live.folder, str(live.folder)):
        again = fitted(wide, TEXTS[HALF:], formulas=source)
        for what in ("formula", "profile", "gain"):
            assert means(again, what) == pytest.approx(means(live, what), abs=1e-5)
        assert [str(one.formula) for one in again.heads] == [str(o.formula) for o in live.heads]
    few = tmp_path / "formulas.txt"
    few.write_text("L0H1\n   +2.0  key.is_bos\n\nL1H2\n   -0.5  log1p(abs(distance))\n")
    some = fitted(wide, formulas=few)
    assert [str(one.head) for one in some.heads] == ["0.1", "1.2"]
    assert min(means(some, "profile").values()) > 0, "the profile comes from the other texts"
    few.write_text("L7H1\n   +2.0  key.is_bos\n")
    with pytest.raises(UsageError, match=r"head 7\.1"):
        fitted(wide, formulas=few)


@pytest.mark.parametrize("groups", ["one", "three", "texts"])
def test_any_groups_can_be_fitted(wide, tmp_path, groups) -> None:
    """One document, three, or none: formulas are the same, folds are filled, and it is said."""
    name = {"one": lambda i: "book", "three": lambda i: f"book {i % 3}", "texts": str}[groups]
    lines = [{"text": t, "id": f"t{i}", "group": name(i)} for i, t in enumerate(TEXTS[::2])]
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    found = hs.fit(wide, file, annotator="plain", terms=1, patterns="previous_token")
    assert found.to_json()["folds"] == 5
    assert min(means(found, "profile").values()) > 0
    assert np.isfinite([one.scores["gain", "raw", "iou"].low for one in found.heads]).all()
    notes = found.run.manifest["notes"]
    assert bool(notes) == (groups != "texts")
    if groups != "texts":
        assert "document" in notes[0]


def test_few_texts_make_fewer_folds(wide) -> None:
    found = fitted(wide, TEXTS[:3])
    assert found.to_json()["folds"] == 3
    assert "3 folds" in found.run.manifest["notes"][-1]
    with pytest.raises(UsageError, match=r"at least 2 texts.*--test"):
        fitted(wide, TEXTS[:1])
    one = fitted(wide, TEXTS[:1], test=TEXTS[1:4])
    assert len(one.heads) == 8


def test_labels_and_mixtures_come_from_the_patterns_asked_for(wide, tmp_path) -> None:
    asked = "previous_token_only,same_token_only"
    found = hs.fit(wide, TEXTS, annotator="plain", terms=1, patterns=asked)
    baselines = {one.name for one in registry().select(["baseline"])}
    known = {"previous_token_only", "same_token_only", *baselines}
    labels = {label.pattern for one in found.heads for label in one.labels}
    assert labels <= known
    assert parts_of(found) <= known
    assert {one.pattern[0] for one in found.heads} <= known
    with pytest.raises(UsageError, match="previous_token"):
        hs.fit(wide, TEXTS, annotator="plain", terms=1, patterns="previous_tokn")
