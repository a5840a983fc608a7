"""From names to files: revisions, sentence-transformers, several GGUF files, adapters."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from headscribe.core.errors import RunError, UsageError
from headscribe.models.loading import load
from headscribe.models.places import place_of
from tests.integration.families import build
from tests.unit.models.tokenizers import word_tokenizer

TEXTS = ["the cat sat.", "cat"]


def saved(folder: Path, family: str = "llama", seed: int = 0) -> Path:
    torch.manual_seed(seed)
    hf = build(family)
    with torch.no_grad():
        for weight in hf.parameters():
            weight.add_(torch.randn_like(weight) * 0.02)
    hf.save_pretrained(folder)
    word_tokenizer().save_pretrained(folder)
    return folder


def hub(tmp_path: Path, repository: str, revisions: dict[str, Path]) -> Path:
    """A cache of the hub's shape with some revisions of one repository."""
    root = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
    for k, (name, folder) in enumerate(revisions.items()):
        commit = f"{k:040x}"
        shutil.copytree(folder, root / "snapshots" / commit)
        (root / "refs").mkdir(exist_ok=True)
        (root / "refs" / name).write_text(commit)
    return tmp_path / "hub"


def test_a_revision_of_a_hub_model(tmp_path: Path) -> None:
    cache = hub(
        tmp_path, "me/tiny",
        {"main": saved(tmp_path / "a"), "step-1": saved(tmp_path / "b", seed=1)},
    )  # fmt: skip
    code = """
import headscribe as hs
newest, early = hs.load("me/tiny"), hs.load("me/tiny", revision="step-1")
print(newest.name, early.name, hs.load("me/tiny@step-1").fingerprint == early.fingerprint)
print(newest.fingerprint, early.fingerprint)
try:
    hs.load("me/tiny@step-2")
except hs.UsageError as error:
    print("usage", error)
except hs.RunError as error:
    print("run", error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env={"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin"},
    )  # fmt: skip
    names, prints, missing = done.stdout.splitlines()
    assert names == "me/tiny me/tiny@step-1 True"
    assert prints.split() == [load(tmp_path / one).fingerprint for one in "ab"]
    assert missing.startswith("run the hub cannot be reached and me/tiny@step-2 is not in")


def test_a_revision_is_of_a_name() -> None:
    with pytest.raises(UsageError, match="revision and gguf_file are of models that are named"):
        load((build("llama"), word_tokenizer()), revision="main")


def test_a_folder_here_has_no_revision(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is on this machine, revisions are of the hub"):
        load(saved(tmp_path), revision="main")


@pytest.mark.parametrize(
    "source", ["./me/tiny@v1", "me/tiny/weights.bin", "me/tiny/model.safetensors@v1", "a\\b"]
)
def test_what_is_neither_folder_nor_hub_id(source: str) -> None:
    with pytest.raises(UsageError, match="expected a model folder or a hub id"):
        place_of(source)


def test_a_folder_of_sentence_transformers(tmp_path: Path) -> None:
    saved(tmp_path / "0_Transformer", "bert")
    of = "sentence_transformers.models"
    modules = [
        {"idx": 0, "name": "0", "path": "0_Transformer", "type": f"{of}.Transformer"},
        {"idx": 1, "name": "1", "path": "1_Pooling", "type": f"{of}.Pooling"},
    ]
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    model = load(tmp_path)
    assert model.name == tmp_path.name
    assert model.fingerprint == load(tmp_path / "0_Transformer").fingerprint


@pytest.mark.parametrize("damage", ["[", '{"path": 1}', "[]", '[{"type": "x.Transformer"}]'])
def test_modules_that_say_nothing(tmp_path: Path, damage: str) -> None:
    (tmp_path / "modules.json").write_text(damage)
    with pytest.raises(UsageError, match=r"expected a model folder with a config\.json"):
        load(tmp_path)


def test_one_of_several_gguf_files(tmp_path: Path) -> None:
    for name in ("b.gguf", "a.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(UsageError, match=r"holds 2 GGUF files; name one: .*a\.gguf"):
        load(tmp_path)
    with pytest.raises(RunError, match=r"b\.gguf is damaged"):
        load(tmp_path, gguf_file="b.gguf")
    with pytest.raises(UsageError, match=r"no file .*c\.gguf; in .* there is a\.gguf, b\.gguf"):
        load(tmp_path, gguf_file="c.gguf")
    with pytest.raises(UsageError, match=r"no file nothing\.gguf; expected a model folder"):
        place_of("nothing.gguf")


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    saved(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"has no model\.safetensors\. A pytorch_model\.bin is"):
        load(tmp_path)


peft = pytest.importorskip("peft", reason="needs the package peft")
# What PEFT asks of transformers while it makes an adapter; reading one is not touched by it.
making = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def adapter(tmp_path: Path, **options: object) -> tuple[Path, torch.nn.Module]:
    """A LoRA over a base in a folder beside it, with weights that change something; both stored."""
    base = saved(tmp_path / "base")
    whole = peft.get_peft_model(
        load(base).hf, peft.LoraConfig(r=2, target_modules=["q_proj", "k_proj"], **options)
    )
    torch.manual_seed(3)
    with torch.no_grad():
        for name, weight in whole.named_parameters():
            if "lora_" in name:
                weight.normal_(std=0.5)
    whole.peft_config["default"].base_model_name_or_path = str(base)
    whole.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", whole.eval()


@making
def test_an_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    folder, whole = adapter(tmp_path)
    model, base = load(folder), load(tmp_path / "base")
    assert (model.name, model.heads, model.support.replacement) == ("adapter", base.heads, True)
    batch = model.encode(TEXTS)
    together = load((whole.base_model.model, word_tokenizer())).logits(batch)
    assert torch.allclose(model.logits(batch), together, atol=1e-5)
    assert (model.logits(batch) - base.logits(batch)).abs().max() > 0.01
    assert model.fingerprint != base.fingerprint


@making
def test_an_adapter_of_the_hub(tmp_path: Path) -> None:
    folder, _ = adapter(tmp_path)
    cache = hub(tmp_path, "me/lora", {"main": folder})
    (tmp_path / "hub" / "models--me--lora" / ".no_exist" / f"{0:040x}").mkdir(parents=True)
    (tmp_path / "hub" / "models--me--lora" / ".no_exist" / f"{0:040x}" / "config.json").touch()
    done = subprocess.run(
        [sys.executable, "-c", "import headscribe as hs; print(hs.load('me/lora').fingerprint)"],
        capture_output=True, text=True, check=False,
        env={"HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin"},
    )  # fmt: skip
    assert done.stdout.strip() == load(folder).fingerprint, done.stderr


@making
def test_an_adapter_with_words_of_its_own(tmp_path: Path) -> None:
    base = saved(tmp_path / "base")
    hf, tokenizer = load(base).hf, word_tokenizer()
    rows = hf.get_input_embeddings().weight.shape[0]
    tokenizer.add_tokens([f"extra{k}" for k in range(rows + 3 - len(tokenizer))])
    hf.resize_token_embeddings(rows + 3)
    whole = peft.get_peft_model(hf, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    whole.peft_config["default"].base_model_name_or_path = str(base)
    whole.save_pretrained(tmp_path / "adapter", save_embedding_layers=True)
    tokenizer.save_pretrained(tmp_path / "adapter")
    model = load(tmp_path / "adapter")
    assert model.hf.get_input_embeddings().weight.shape[0] == rows + 3
    last = tokenizer.convert_ids_to_tokens(rows + 2)
    batch = model.encode([f"the {last}"])
    assert max(batch[0].ids) == rows + 2
    assert torch.isfinite(model.logits(batch)).all()


@making
def test_adapters_that_cannot_be_read(tmp_path: Path) -> None:
    folder, _ = adapter(tmp_path)
    settings = json.loads((folder / "adapter_config.json").read_text())

    def said(kind: type[Exception], text: str, **changed: object) -> None:
        (folder / "adapter_config.json").write_text(json.dumps(settings | changed))
        with pytest.raises(kind, match=text):
            load(folder)

    said(RunError, "names no base model", base_model_name_or_path=None)
    said(
        UsageError,
        "the base model of the adapter adapter: no folder",
        base_model_name_or_path="./x",
    )
    said(UsageError, "is an adapter itself", base_model_name_or_path=str(folder))
    weights = load_file(folder / "adapter_model.safetensors")
    save_file(dict(list(weights.items())[1:]), folder / "adapter_model.safetensors")
    said(RunError, "the adapter adapter does not fit its base model")
    (folder / "adapter_model.safetensors").unlink()
    torch.save(weights, folder / "adapter_model.bin")
    said(UsageError, r"has no adapter_model\.safetensors")
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(RunError, match=r"adapter_config\.json is damaged"):
        load(folder)


@making
def test_a_prompt_is_no_change_of_weights(tmp_path: Path) -> None:
    base = saved(tmp_path / "base")
    whole = peft.get_peft_model(
        load(base).hf, peft.PromptTuningConfig(num_virtual_tokens=2, task_type="CAUSAL_LM")
    )
    whole.peft_config["default"].base_model_name_or_path = str(base)
    whole.save_pretrained(tmp_path / "adapter")
    with pytest.raises(UsageError, match=r"PROMPT_TUNING\) changes the input, not the weights"):
        load(tmp_path / "adapter")
