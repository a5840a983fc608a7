"""The sweep over all architectures of transformers: a few each time, all in the slow tier."""

import importlib.util
import sys
from pathlib import Path

import pytest
from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

_PATH = Path(__file__).parents[2] / "benchmarks/architectures.py"
_spec = importlib.util.spec_from_file_location("architectures", _PATH)
assert _spec is not None
assert _spec.loader is not None
architectures = importlib.util.module_from_spec(_spec)
sys.modules["architectures"] = architectures
_spec.loader.exec_module(architectures)

SURVEYED = {
    "big_bird": (4, False),  # full attention in short texts
    "convbert": (4, False),  # texts of another length change each other
    "cpmant": (4, False),
    "deepseek_v3": (4, True),
    "dpr": (4, True),
    "falcon": (4, False),  # bypasses the interface
    "gemma3_text": (4, True),
    "gpt_neo": (4, False),
    "lfm2": (4, True),
    "llama4_text": (4, True),
    "minimax": (2, True),  # a hybrid
    "modernbert": (4, True),
    "t5": (4, True),  # its encoder
    "xglm": (4, False),
}
REFUSED = {
    "longformer": "no attention of every token over every token",
    "squeezebert": "no attention of every token over every token",  # but scores
    "vit": "no vocabulary",
    "wav2vec2": "token ids alone",
    "rwkv": "nothing of it reaches the attention interface",
}


@pytest.mark.parametrize("name", SURVEYED)
@pytest.mark.filterwarnings("ignore")
def test_some_that_are_surveyed(name):
    found = architectures.outcome(name)
    assert found.kind == "surveyed", found.sentence
    assert (found.layers, found.replacement) == SURVEYED[name]
    assert found.difference <= 1e-6


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.filterwarnings("ignore")
def test_some_that_are_refused(name):
    found = architectures.outcome(name)
    assert found.kind == "refused"
    assert REFUSED[name] in found.sentence
    assert "\n" not in found.sentence


@pytest.mark.slow
def test_every_architecture_is_surveyed_as_it_attends_or_refused():
    found = list(architectures.sweep(list(CONFIG_MAPPING_NAMES)))
    assert len(found) == len(CONFIG_MAPPING_NAMES)
    assert [one for one in found if one.kind == "fault"] == []
    assert sum(one.kind == "surveyed" for one in found) > 250
    assert all("\n" not in one.sentence for one in found)
