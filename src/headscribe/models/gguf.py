"""Models in GGUF files, as llama.cpp and Ollama keep them.

A file is dequantised once, by transformers, and kept in the user's cache as an ordinary folder with
safetensors, a configuration and a tokenizer, under a hash of its content: the second start reads
that folder. What the numbers mean does not change by it: the weights are those that llama.cpp
computes with, rounded to bfloat16 unless another type is asked for.
"""

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

from headscribe.core.errors import RunError, UsageError, first_line
from headscribe.core.files import replacing
from headscribe.text.cache import cache_folder

MAGIC = b"GGUF"
"""The first four bytes of every such file."""

FACTS = "gguf.json"
"""The file, beside the dequantised weights, that says what they were made of."""

NEEDS = 'reading GGUF files needs the packages gguf and accelerate: pip install "headscribe[gguf]"'

_FORMAT = 1
"""Part of the cache's key: raised when the same file has to be dequantised anew."""


@dataclass(frozen=True)
class Header:
    """What a GGUF file says of itself.

    Attributes:
        architecture: `llama`, `qwen2`, ...
        quantisation: the types of its numbers with the share of them, as in `Q4_1 79%, Q8_0 21%`.
    """

    architecture: str
    quantisation: str


def is_gguf(path: Path) -> bool:
    """Whether a file is in this format: by its first bytes, or by its name if they are damaged."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC or path.suffix.lower() == ".gguf"


def header(path: Path) -> Header:
    """Read what the file says of itself; every tensor must lie within the file.

    Raises:
        UsageError: the package `gguf` is missing, or transformers cannot read the architecture.
        RunError: the file is damaged or cut off.
    """
    if find_spec("gguf") is None or find_spec("accelerate") is None:
        raise UsageError(NEEDS)
    from gguf import GGUFReader

    try:
        read = GGUFReader(str(path))
        field = read.get_field("general.architecture")
        architecture = str(field.contents()) if field is not None else ""
        sizes: Counter[str] = Counter()
        for tensor in read.tensors:
            sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    # What the reader raises for bytes that mean nothing is not its own kind of error: a size that
    # does not fit, a type that is no type, a name that is no text.
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise RunError(
            f"{path.name} is damaged or cut off ({path.stat().st_size:,} bytes are here): get it "
            f"again (its reader says: {first_line(error)})"
        ) from error
    if not architecture or not sizes:
        raise RunError(f"{path.name} is damaged: it names no architecture or holds no weights")
    if architecture not in GGUF_SUPPORTED_ARCHITECTURES:
        known = ", ".join(sorted(GGUF_SUPPORTED_ARCHITECTURES))
        raise UsageError(
            f"{path.name} holds a model of the architecture {architecture!r}, which transformers "
            f"{version('transformers')} cannot read from GGUF; it can read {known}"
        )
    whole = sum(sizes.values())
    shares = [f"{name} {n / whole:.0%}" for name, n in sizes.most_common() if n >= whole / 200]
    return Header(architecture, ", ".join(shares))


def dequantised(path: Path, dtype: torch.dtype | None) -> Path:
    """The folder with the file's weights as safetensors; made if it is not in the cache yet.

    Args:
        dtype: of the weights in the folder; None: bfloat16.

    Raises:
        UsageError, RunError: as `header`; or the file lacks what its architecture needs.
    """
    kind = torch.bfloat16 if dtype is None else dtype
    folder = cache_folder() / "models" / f"{path.stem}-{_key(path, kind)}"
    if (folder / FACTS).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with replacing(folder) as unfinished, _read_once():
            found = header(path)
            _convert(path, kind, unfinished)
            facts = {"file": path.name, "architecture": found.architecture}
            facts["quantisation"] = found.quantisation
            (unfinished / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    except RunError:
        # Another process was faster; its folder is as good as ours.
        if not (folder / FACTS).is_file():
            raise
    return folder


def quantisation_of(folder: str | Path) -> str | None:
    """How the weights of a folder that `dequantised` made were stored before; else None."""
    try:
        facts = json.loads((Path(folder) / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return str(facts["quantisation"]) if isinstance(facts, dict) else None


def only_file(folder: Path) -> Path | None:
    """The GGUF file of a folder that holds one, and no ordinary model."""
    files = sorted(folder.glob("*.gguf"))
    return files[0] if len(files) == 1 and not (folder / "config.json").is_file() else None


@contextmanager
def _read_once() -> Iterator[None]:
    """Within, a file's fields are read once, and the names of layers are made once.

    transformers reads all fields four times, and asks for the names of all layers anew for every
    module. The package's reader, which indexes a memory map for every word of a vocabulary, takes
    seconds each time; on a plain array it takes a third.
    """
    if find_spec("gguf") is None:
        yield  # `header` says what is missing
        return
    import gguf

    class Reader(gguf.GGUFReader):  # type: ignore[misc]
        @property
        def data(self) -> np.ndarray:
            return self._plain

        @data.setter
        def data(self, mapped: np.ndarray) -> None:
            self._plain = np.asarray(mapped)

    before = gguf.GGUFReader, gguf.get_tensor_name_map
    gguf.GGUFReader, gguf.get_tensor_name_map = cache(Reader), cache(gguf.get_tensor_name_map)
    try:
        yield
    finally:
        gguf.GGUFReader, gguf.get_tensor_name_map = before


def _convert(path: Path, dtype: torch.dtype, folder: Path) -> None:
    where, name = str(path.parent), path.name
    config = AutoConfig.from_pretrained(where, gguf_file=name, trust_remote_code=False)
    causal = type(config) in AutoModelForCausalLM._model_mapping
    automatic = AutoModelForCausalLM if causal else AutoModel
    # transformers draws bars of its own, also where nobody watches.
    quiet = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
    with quiet:
        hf = automatic.from_pretrained(
            where, config=config, gguf_file=name, dtype=dtype, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=name, trust_remote_code=False)
        # The weights are plain by now, but remember that they were not, and would not be saved.
        for holder, note in ((hf, "hf_quantizer"), (hf.config, "quantization_config")):
            if hasattr(holder, note):
                delattr(holder, note)
        hf.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def _key(path: Path, dtype: torch.dtype) -> str:
    """A hash of the content, the type, and what dequantises it: newer code may read more of it."""
    digest = blake2b(f"{_FORMAT} {dtype} {version('transformers')}".encode(), digest_size=12)
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()
