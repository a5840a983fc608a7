"""Adapters of PEFT (LoRA and its kin): small changes of a base model, merged into its weights."""

import json
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import snapshot_download
from safetensors import safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers import PreTrainedModel as HuggingFaceModel
from transformers.utils.peft_utils import find_adapter_config_file

from headscribe.core.errors import RunError, UsageError
from headscribe.models.places import Place, place_of

_SETTINGS = "adapter_config.json"
_WEIGHTS = "adapter_model.safetensors"
_FILES = ["adapter_*.json", _WEIGHTS, "*token*", "vocab*", "merges.txt", "chat_template*"]


@dataclass(frozen=True)
class Adapter:
    """An adapter's files, on this machine, and where its base model is.

    Attributes:
        folder: with its configuration, its weights, perhaps a tokenizer.
        name: what the adapted model is called.
        base: the place of the model that it changes.
    """

    folder: Path
    name: str
    base: Place

    def tokenizer(self) -> PreTrainedTokenizerBase | None:
        """The tokenizer that comes with it, None where it brings none."""
        if not (self.folder / "tokenizer_config.json").is_file():
            return None
        found: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(self.folder), trust_remote_code=False
        )
        return found

    def merged(self, hf: HuggingFaceModel) -> HuggingFaceModel:
        """The base model with the changes in its weights.

        It computes what the two did together, so that heads are those of the adapted model and
        everything works on it that works on any model.

        Raises:
            UsageError: it cannot be merged (prompts, prefixes).
            RunError: its weights are not those of this base model.
        """
        from peft import PeftModel

        _resize(hf, self.folder / _WEIGHTS)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            whole = PeftModel.from_pretrained(hf, str(self.folder))
        missing = [str(one.message) for one in said if "missing adapter keys" in str(one.message)]
        if missing:
            raise RunError(f"the adapter {self.name} does not fit its base model: {missing[0]}")
        if not hasattr(whole.base_model, "merge_and_unload"):
            raise UsageError(
                f"the adapter {self.name} ({whole.active_peft_config.peft_type.value}) changes the "
                "input, not the weights, and cannot be merged into its base model; LoRA can"
            )
        merged: HuggingFaceModel = whole.merge_and_unload()
        return merged


def adapter_of(place: Place) -> Adapter | None:
    """The adapter that lies in a folder; None for what is none.

    Raises:
        UsageError: it is one, but PEFT is missing, it is not stored as safetensors, or its base
            cannot be found.
        RunError: its configuration is damaged.
    """
    folder = Path(place.where)
    if not _is_adapter(folder):
        return None
    if find_spec("peft") is None:
        raise UsageError(
            f'{place.name} is an adapter, which needs: pip install "headscribe[adapters]"'
        )
    try:
        base = json.loads((folder / _SETTINGS).read_text(encoding="utf-8"))[
            "base_model_name_or_path"
        ]
        if not isinstance(base, str) or not base:
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{folder / _SETTINGS} is damaged: it names no base model") from error
    if not (folder / _WEIGHTS).is_file():
        raise UsageError(f"the adapter {place.name} has no {_WEIGHTS}; other formats are not read")
    try:
        found = place_of(str(folder / base) if (folder / base).is_dir() else base)
    except UsageError as error:
        raise UsageError(f"the base model of the adapter {place.name}: {error}") from error
    if _is_adapter(Path(found.where)):
        raise UsageError(f"{base}, the base of the adapter {place.name}, is an adapter itself")
    return Adapter(folder, place.name, found)


def fetched(place: Place) -> Place | None:
    """The files of an adapter on the hub, after a download; None if the repository is none."""
    revision = place.revision or "main"
    if find_adapter_config_file(place.where, revision=revision) is None:
        return None
    folder = snapshot_download(place.where, revision=revision, allow_patterns=_FILES)
    return Place(folder, place.name)


def _is_adapter(folder: Path) -> bool:
    """Whether an adapter lies in a folder; with a whole model beside it, it is that model."""
    return (folder / _SETTINGS).is_file() and not (folder / "config.json").is_file()


def _resize(hf: HuggingFaceModel, weights: Path) -> None:
    """Make room for words that came with an adapter: their rows are stored in it."""
    embedding = hf.get_input_embeddings().weight
    own = next(name for name, one in hf.named_parameters() if one is embedding)
    with safe_open(weights, "pt") as stored:
        rows = [stored.get_slice(k).get_shape()[0] for k in stored.keys() if k.endswith(own)]  # noqa: SIM118
    if rows and rows[0] != embedding.shape[0]:
        hf.resize_token_embeddings(rows[0])
