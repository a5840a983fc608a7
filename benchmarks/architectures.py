"""Every architecture of transformers, built small: surveyed as it attends, or refused.

    python benchmarks/architectures.py                 # the whole sweep, into the docs
    python benchmarks/architectures.py bert gpt2       # some, printed
    python benchmarks/architectures.py --page < LINES  # the page from lines that were printed

Each configuration class gives a tiny random model. What Headscribe shows of it is compared with
what the model itself returns under eager attention, text by text, texts of different lengths, one
longer than any window; what it shows of all texts as one batch is compared with what it shows of
each alone, in double precision where single is not enough: products of matrices of other sizes
round differently, and sharp attention amplifies that. A survey is run on it. Whatever raises
something else than `HeadscribeError` is a fault.
"""

import json
import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

import headscribe as hs
from headscribe.core.errors import HeadscribeError
from headscribe.models.calls import AttentionCall
from headscribe.models.model import Model
from headscribe.text.passages import Encoding

PAGE = Path(__file__).parents[1] / "docs/reference/architectures.md"
VOCABULARY = 64
LENGTHS = (41, 9, 23)
TOLERANCE = 1e-6
PARAMETERS = 30_000_000
"""Beyond it a model does not count as one that can be built small."""
SECONDS = 120

WIDTH, HEADS, LAYERS, WINDOW = 32, 4, 4, 6
_SIZES_OF = {
    WIDTH: """hidden_size d_model n_embd dim emb_dim embed_dim word_embed_proj_dim lru_width
        embedding_size projection_dim dim_model""",
    48: """intermediate_size ffn_dim d_ff n_inner hidden_dim d_inner encoder_ffn_dim dim_ff
        decoder_ffn_dim intermediate_size_mlp ffn_hidden_size""",
    HEADS: """num_attention_heads n_head n_heads num_heads encoder_attention_heads
        decoder_attention_heads mamba_n_heads num_hidden_layers n_layer n_layers num_layers
        num_experts num_local_experts n_routed_experts num_landmarks rotary_dim""",
    2: """num_key_value_heads num_kv_heads num_experts_per_tok num_experts_per_token
        linear_num_key_heads linear_num_value_heads type_vocab_size mamba_expand
        encoder_layers decoder_layers
        num_decoder_layers num_encoder_layers top_k_experts moe_topk eos_token_id""",
    8: """head_dim d_kv d_head qk_rope_head_dim qk_nope_head_dim v_head_dim state_size
        mamba_d_state ssm_state_size linear_key_head_dim linear_value_head_dim local_attention
        query_pre_attn_scalar dim_head""",
    16: """moe_intermediate_size q_lora_rank kv_lora_rank shared_expert_intermediate_size
        mamba_d_head""",
    128: "max_position_embeddings n_positions max_seq_len n_ctx",
    WINDOW: "sliding_window attention_window window_size",
    1: """n_group num_expert_group topk_group n_groups mamba_n_groups first_k_dense_replace
        bos_token_id
        decoder_start_token_id""",
    0: "pad_token_id",
    VOCABULARY: "vocab_size",
}
_SIZES = {name: size for size, names in _SIZES_OF.items() for name in names.split()}
_CHANGES: tuple[dict[str, Any], ...] = (
    {},
    {"num_key_value_heads": HEADS},
    {"head_dim": None},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 0]}},
    {"num_hidden_layers": None},
    {"attn_layer_indices": [1, 3]},
    {"default_language": "en_XX"},
    {"topk_group": 1, "n_group": 1, "num_key_value_heads": HEADS},
    {"qk_head_dim": 16, "head_dim": 8, "num_key_value_heads": HEADS},
    {"num_hidden_layers": None, "num_attention_heads": None, "num_key_value_heads": None},
    {"hidden_size": None, "intermediate_size": None, "head_dim": None},
    {"num_experts_per_tok": 2, "num_key_value_heads": HEADS},
    {"n_group": 1, "topk_group": 1, "num_experts_per_tok": 2},
    {"num_key_value_heads": HEADS, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8},
    {"linear_head_dim": 8, "linear_num_heads": HEADS, "num_key_value_heads": HEADS},
    {"attention_types": [[["global", "local"], 2]], "num_layers": 4},
    {"mamba_d_ssm": 64, "mamba_n_heads": 4, "mamba_d_head": 16},
    {"entity_vocab_size": 8, "entity_emb_size": 8},
    {"qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "head_dim": 16, "num_key_value_heads": HEADS},
    {"layer_types": ["linear_attention", "full_attention"] * 2},
    {"layer_types": ["linear_attention", "full_attention"] * 2, "num_key_value_heads": HEADS},
    {"layer_types": ["conv", "full_attention"] * 2},
    {
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "global_head_dim": 8,
    },
    {
        "vocab_size_per_layer_input": VOCABULARY,
        "hidden_size_per_layer_input": 8,
        "layer_types": ["full_attention"] * 4,
        "num_kv_shared_layers": 0,
        "activation_sparsity_pattern": [0.0] * 4,
    },
    {"moe_intermediate_size": [16, 16]},
    {"num_experts_per_tok": 1},
    {"num_heads": 8, "head_dim": 8, "expand": 2},
    {"is_decoder": True},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
    {
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e4},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
        }
    },
    {"qk_rope_head_dim": 0, "num_key_value_heads": HEADS},
    {
        "expert_ffn_hidden_size": 16,
        "zero_expert_num": 2,
        "n_routed_experts": 4,
        "ffn_hidden_size": 48,
        "num_key_value_heads": HEADS,
    },
    {"coordinate_size": 4, "shape_size": 8},
    {"channel_shrink_ratio": 4, "hidden_size": 96},
)
"""What is tried where the small sizes do not fit each other."""
_ALWAYS = ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id")


@dataclass(frozen=True)
class Outcome:
    """What became of one configuration class.

    `kind` is `surveyed`, `refused`, `other` (no model of it can be built small), or `fault`.
    """

    name: str
    kind: str
    model: str = ""
    layers: int = 0
    heads: int = 0
    replacement: bool = False
    difference: float = 0.0
    in_a_batch: float = 0.0
    sentence: str = ""


KINDS = ("surveyed", "refused", "fault", "other")


class UnbuildableError(Exception):
    """No small model of this configuration class can be made here."""


def small(name: str) -> hf.PreTrainedModel:
    """A tiny random model of a configuration class, on the CPU, the same at every call.

    Raises:
        UnbuildableError: no small model of this class can be made here.
    """
    model, last = None, None
    try:
        text = hf.CONFIG_MAPPING[name]().get_text_config()
        known = text.to_dict()
    except Exception as error:
        raise UnbuildableError(_line(error)) from error
    sizes = {
        key: value
        for key, value in _SIZES.items()
        if key in known and (known[key] is not None or key in _ALWAYS)
    }
    for change in _CHANGES:
        if not change.keys() <= sizes.keys() | known.keys():
            continue
        tried = {
            key: value for key, value in (sizes | deepcopy(change)).items() if value is not None
        }
        try:
            config = type(text)(**tried)
            model = _built(_class_of(config), config)
            if _runs(model):
                return model
        except UnbuildableError as error:
            last = error
        except Exception as error:  # noqa: BLE001 as above
            last = UnbuildableError(f"{type(error).__name__}: {_line(error)}")
    if model is None:
        raise last or UnbuildableError("no size fits")
    return model  # it does not run on token ids, whatever its sizes


def _built(kind: type, config: hf.PretrainedConfig) -> hf.PreTrainedModel:
    with torch.device("meta"):
        count = sum(weight.numel() for weight in kind(config).parameters())
    if count > PARAMETERS:
        raise UnbuildableError(f"has {count / 1e6:.0f} million parameters however small")
    torch.manual_seed(7)
    model: hf.PreTrainedModel = kind(config).eval()
    return model


def _runs(model: hf.PreTrainedModel) -> bool:
    try:
        with torch.inference_mode():
            model.base_model(**_few(model))
    except Exception:  # noqa: BLE001 as above
        return False
    return True


def _few(model: hf.PreTrainedModel) -> dict[str, torch.Tensor]:
    ids = torch.arange(3, 11)[None]
    both = getattr(model.config, "is_encoder_decoder", False)
    return {"input_ids": ids} | ({"decoder_input_ids": ids} if both else {})


def _class_of(config: hf.PretrainedConfig) -> type:
    for automatic in (hf.AutoModelForCausalLM, hf.AutoModelForMaskedLM, hf.AutoModel):
        if type(config) in automatic._model_mapping:
            found = automatic._model_mapping[type(config)]
            return found[0] if isinstance(found, tuple) else found
    raise UnbuildableError("has no model class of its own")


def sharpened(model: hf.PreTrainedModel) -> None:
    """Larger weights: attention that is far from uniform."""
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1 and weight.dtype.is_floating_point:
                weight.mul_(2)


def tokenizer() -> hf.PreTrainedTokenizerFast:
    """Words w3, w4, ... and a begin of sequence."""
    words = {w: i for i, w in enumerate(["<pad>", "<s>", "</s>"])}
    words |= {f"w{i}": i for i in range(3, VOCABULARY)}
    own = Tokenizer(models.WordLevel(words, unk_token="w3"))
    own.pre_tokenizer = pre_tokenizers.Whitespace()
    return hf.PreTrainedTokenizerFast(tokenizer_object=own, pad_token="<pad>", bos_token="<s>")


def texts(lengths: Sequence[int] = LENGTHS) -> list[str]:
    """Random words."""
    random = np.random.default_rng(3)
    return [" ".join(f"w{i}" for i in random.integers(3, VOCABULARY, length)) for length in lengths]


class _Seen:
    def __init__(self) -> None:
        self.layers: list[torch.Tensor] = []

    def observe(self, call: AttentionCall) -> None:
        self.layers.append(call.weights.clone())


def by_eager(model: Model, own: hf.PreTrainedModel) -> float:
    """How far what is shown of each text alone is from what `own`, its eager twin, returns."""
    encoded = model.encode(texts())
    if len(encoded[1]) < min(LENGTHS):
        raise AssertionError(f"texts are cut at {len(encoded[1])} tokens")
    apart = 0.0
    for text in encoded:
        alone, expected, length = _Seen(), returned(model, own, text), len(text)
        model.run([text], alone)
        if len(expected) != len(alone.layers):
            raise AssertionError(f"{len(alone.layers)} layers shown, {len(expected)} returned")
        for layer, right in enumerate(expected):
            if bool((right < 0).any()) or float(right.sum(-1).max()) > 1 + TOLERANCE:
                raise AssertionError(f"layer {layer} returns no attention")
            hidden = ~torch.from_numpy(model.visibility(layer).dense(length))
            if bool(right[:, hidden].any()):
                raise AssertionError(f"layer {layer} sees more than it is said to see")
            apart = max(apart, float((alone.layers[layer][0] - right).abs().max()))
    return apart


def by_batch(model: Model) -> float:
    """How far what is shown of texts that share a batch is from what is shown of each alone."""
    encoded = model.encode(texts())
    together, mixed = _Seen(), 0.0
    model.run(encoded, together)
    for row, text in enumerate(encoded):
        alone, length = _Seen(), len(text)
        model.run([text], alone)
        for one, many in zip(alone.layers, together.layers, strict=True):
            mixed = max(mixed, float((many[row, :, :length, :length] - one[0]).abs().max()))
    return mixed


def doubled(model: hf.PreTrainedModel) -> hf.PreTrainedModel:
    """The model itself, in double precision."""
    model.set_experts_implementation("eager")  # others multiply in single precision alone
    return model.double()


def eager_twin(model: hf.PreTrainedModel) -> hf.PreTrainedModel:
    """The same model, made with eager attention: some do not take it up later."""
    twin: hf.PreTrainedModel = type(model)._from_config(model.config, attn_implementation="eager")
    twin.load_state_dict(model.state_dict())
    with torch.inference_mode():  # BigBird puts other modules in place when it meets a short text
        twin.eval().base_model(**_few(twin))
    return twin


def returned(model: Model, own: hf.PreTrainedModel, text: Encoding) -> list[torch.Tensor]:
    """What the model itself returns for one text, `(H, T, T)` a layer."""
    ids = torch.as_tensor(text.ids)[None]
    arguments: dict[str, Any] = {"input_ids": ids, "output_attentions": True, "return_dict": True}
    if model.support.stack is not None:
        arguments["decoder_input_ids"] = ids
    with torch.inference_mode():
        try:
            result = own.base_model(**arguments, use_cache=False)
        except TypeError:
            result = own.base_model(**arguments)
    encoder = model.support.stack == "encoder"
    found = result.get("encoder_attentions" if encoder else "attentions") or ()
    square = (len(text), len(text))
    return [item[0] for item in found if item is not None and item.shape[-2:] == square]


@contextmanager
def _limited(seconds: int) -> Iterator[None]:
    def stop(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def outcome(name: str) -> Outcome:
    """Build, load, compare and survey one configuration class."""
    try:
        with _limited(SECONDS):
            own = small(name)
    except (UnbuildableError, TimeoutError) as error:
        return Outcome(name, "other", sentence=str(error))
    kind = type(own).__name__
    try:
        with _limited(SECONDS):
            sharpened(own)
            model = hs.load(own, tokenizer())
            apart = by_eager(model, eager_twin(own))
            with TemporaryDirectory() as folder:
                hs.survey(model, texts(), out=Path(folder) / "run", annotator="plain")
            mixed = by_batch(model)
            if mixed > TOLERANCE:  # by rounding, or by what it is shown
                mixed = by_batch(hs.load(doubled(own), tokenizer()))
    except HeadscribeError as error:
        return Outcome(name, "refused", kind, sentence=str(error))
    except Exception as error:  # noqa: BLE001 what this sweep is for
        return Outcome(name, "fault", kind, sentence=f"{type(error).__name__}: {_line(error)}")
    facts = (kind, model.layers, model.heads, model.support.replacement, apart, mixed)
    if apart > TOLERANCE or mixed > TOLERANCE:
        return Outcome(name, "fault", *facts, f"differs by {apart:.1e}, in a batch {mixed:.1e}")
    return Outcome(name, "surveyed", *facts, "; ".join(model.support.notes))


def _line(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def sweep(names: Sequence[str]) -> Iterator[Outcome]:
    """The outcomes, each batch of classes in a process of its own, since some crash."""
    waiting = list(names)
    while waiting:
        command = [sys.executable, __file__, "--lines", *waiting[:40]]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = [Outcome(**json.loads(line)) for line in done.stdout.splitlines()]
        yield from found
        if len(found) < len(waiting[:40]):
            broken = waiting[len(found)]
            last = (done.stderr.strip() or "no message").splitlines()[-1]
            found.append(Outcome(broken, "fault", sentence=f"the process ended: {last}"))
            yield found[-1]
        waiting = waiting[len(found) :]


HEADER = """# Architectures

What Headscribe does with every configuration class of transformers {version}, each built as a tiny
random model with sharpened weights (`python benchmarks/architectures.py`). *Surveyed*: its
attention, shown for texts of 9, 23 and 41 tokens, equals what the model itself returns under eager
attention for each text alone to {tolerance:.0e} (*differs by*); where the texts share a batch it
equals that of each alone to {tolerance:.0e} (*in a batch*; in double precision where it does not in
single, in which products of matrices of other sizes round differently); no key has weight outside
of what the layer is said to see; and a survey ran. *Refused*: `hs.load` says why, in the sentence
given.

{surveyed} model classes are surveyed (in {replaced} of them heads can be replaced too), {refused}
are refused, {faults} are at fault. Of the {names} configuration classes {other} give no model of
their own, none that can be built small, or need a package that is not installed.

"""


def page(found: Sequence[Outcome]) -> str:
    """The outcomes as a page of the documentation."""
    kinds = {kind: [one for one in found if one.kind == kind] for kind in KINDS}
    shown = {
        kind: sorted({one.model: one for one in kinds[kind]}.values(), key=lambda one: one.model)
        for kind in KINDS
    }
    text = HEADER.format(
        version=hf.__version__,
        tolerance=TOLERANCE,
        surveyed=len(shown["surveyed"]),
        names=len(found),
        replaced=sum(one.replacement for one in shown["surveyed"]),
        refused=len(shown["refused"]),
        faults=len(shown["fault"]),
        other=len(kinds["other"]),
    )
    text += "| class | layers x heads | replaced | differs by | in a batch | remarks |\n"
    text += "|---|---|---|---|---|---|\n"
    for one in shown["surveyed"]:
        replaced = "yes" if one.replacement else "no"
        text += (
            f"| {one.model} | {one.layers} x {one.heads} | {replaced} | {one.difference:.0e} | "
            f"{one.in_a_batch:.0e} | {_cell(one.sentence)} |\n"
        )
    for kind, title in (("refused", "Refused"), ("fault", "At fault")):
        if shown[kind]:
            text += f"\n## {title}\n\n| class | |\n|---|---|\n"
            text += "".join(f"| {one.model} | {_cell(one.sentence)} |\n" for one in shown[kind])
    return text


def _cell(sentence: str) -> str:
    return sentence.replace("|", "/").replace("<", "&lt;")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    hf.utils.logging.set_verbosity(hf.utils.logging.CRITICAL)
    if "--lines" in sys.argv:
        for name in sys.argv[2:]:
            print(json.dumps(asdict(outcome(name))), flush=True)
    elif "--page" in sys.argv:  # of the lines that were printed before
        PAGE.write_text(page([Outcome(**json.loads(line)) for line in sys.stdin]))
    else:
        everything = []
        for found in sweep(sys.argv[1:] or list(CONFIG_MAPPING_NAMES)):
            print(json.dumps(asdict(found)), flush=True)
            everything.append(found)
        if not sys.argv[1:]:
            PAGE.write_text(page(everything))
