"""The benchmark of published programs: two tiny functions, adapted, run and scored."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.visibility import FULL
from headscribe.fitting.atlas import collect
from headscribe.models.calls import AttentionCall
from headscribe.patterns.registry import registry
from headscribe.sandbox import Sandbox, Trusted, status
from tests.unit.fitting.passages import passage

FILE = """
import numpy as np
import parser_of_nobody
from transformers import PreTrainedTokenizerBase
from typing import Tuple

SHIFT = 1
nlp = parser_of_nobody.load("en")

def helper(n, by=SHIFT):
    return np.eye(n, k=-by)

def previous(sentence: str, tokenizer: PreTrainedTokenizerBase) -> Tuple[str, np.ndarray]:
    toked = tokenizer([sentence], return_tensors="pt")
    out = helper(len(toked.input_ids[0]))
    out[0, 0] = 1
    return "Previous token", out

def separator(sentence: str, tokenizer: PreTrainedTokenizerBase) -> Tuple[str, np.ndarray]:
    ids = tokenizer.encode(sentence)
    out = np.zeros((len(ids), len(ids)))
    out[:, ids.index(tokenizer.sep_token_id)] = 2.0
    return "Separator", out

def parsed(sentence, tokenizer):
    return "Parse", nlp(sentence)
"""


@pytest.fixture(scope="module")
def benchmark_script():
    path = Path(__file__).parents[3] / "benchmarks" / "published_programs.py"
    spec = importlib.util.spec_from_file_location("published_programs", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_programs_are_adapted_run_and_chosen(benchmark_script):
    programs = benchmark_script.programs_of(FILE)
    assert list(programs) == ["previous", "separator", "parsed"]
    assert "parser_of_nobody" not in programs["previous"]
    passages = [passage(seed) for seed in range(40)]
    answered = [
        benchmark_script.answers(name, code, Trusted(), passages) for name, code in programs.items()
    ]
    assert [sum(one.failures.values()) for one in answered] == [0, 0, 40]
    assert "parser_of_nobody" in answered[2].first_failure
    last = answered[1].predict(passages[3], FULL).to_dense()
    np.testing.assert_array_equal(last[:, -1], 1)

    def items():
        for one in passages:
            n = len(one)
            first = 0.8 * np.eye(n, k=-1) + 0.2 / n
            first[0] = 1 / n
            second = np.full((n, n), 0.1 / n)
            second[:, -1] += 0.9
            yield one, np.stack([first, second]), FULL

    catalogue = [registry().get("next_token_only")]
    sample = collect(items(), pool=("key.is_special",), patterns=(*answered, *catalogue))
    best, other, profile = benchmark_script.compare(sample, len(answered))
    assert best["chosen"] == {"previous": 1, "separator": 1}
    assert best["iou"][0] > 0.6 > other["iou"][0]
    assert profile["rows"] == "profile"


def test_the_tokenizer_knows_its_passage(benchmark_script):
    source = """
def words(sentence, tokenizer):
    one = tokenizer(sentence, return_offsets_mapping=True)
    assert one.tokens() == tokenizer.convert_ids_to_tokens(one["input_ids"])
    assert tokenizer.tokenize(sentence) == one.tokens()[1:-1]
    assert tokenizer.decode(one.input_ids, skip_special_tokens=True) == sentence
    assert one.word_ids()[0] is None and one["offset_mapping"][1][0] == 0
    assert tokenizer.convert_tokens_to_ids(tokenizer.cls_token) == one.input_ids[0]
    assert len(tokenizer(sentence, add_special_tokens=False).input_ids) == len(one.tokens()) - 2
    return "ones", [[1.0] * len(one.tokens())] * len(one.tokens())
"""
    code = benchmark_script.programs_of(source)["words"]
    found = benchmark_script.answers("words", code, Trusted(), [passage(1)])
    assert found.first_failure is None


HELPERS = """
def helper(n, by=1):
    return np.eye(n, k=-2)

class nlp:
    def __init__(self, sentence):
        n = len(PASSAGE)
        self.matrix = np.zeros((n, n))
        for i, word in enumerate(PASSAGE.word):
            self.matrix[i, 0 if word < 0 else i] = 1

    def __array__(self, dtype=None, copy=None):
        return self.matrix
"""


def test_helpers_take_the_place_of_what_is_missing(benchmark_script):
    programs = benchmark_script.programs_of(FILE, HELPERS)
    assert "parser_of_nobody" not in programs["parsed"]
    assert "k=-2" in programs["previous"], "a helper handed in goes before the file's own"
    passages = [passage(seed) for seed in range(3)]
    found = benchmark_script.answers("parsed", programs["parsed"], Trusted(), passages)
    assert found.first_failure is None
    np.testing.assert_array_equal(np.diag(found.predict(passages[1], FULL).to_dense())[1:-1], 1)


@pytest.mark.parametrize("texts", [1, 3, 5])
def test_failures_come_first_and_few_texts_end_in_one_line(benchmark_script, texts):
    passages = tuple(passage(seed) for seed in range(texts))

    class Source:
        name, layers, heads = "made up", 1, 1

        def visibility(self, layer):
            return FULL

        def run(self, batch, observer):
            n = len(batch[0])
            observer.observe(Call(n))

    class Call(AttentionCall):
        def __init__(self, n):
            self.layer, self.n = 0, n

        def probabilities(self):
            return torch.full((1, 1, self.n, self.n), 1 / self.n)

    inputs = SimpleNamespace(source=Source(), passages=passages, provides=frozenset())
    told = benchmark_script.run(inputs, FILE, Trusted())
    first = next(told)
    assert (first["programs"], first["failed_on_all_texts"]) == (3, 1)
    assert "parser_of_nobody" in next(iter(first["why"]))
    assert [next(told)["failed"] for _ in range(3)] == [0, 0, texts]
    if texts < 4:
        with pytest.raises(UsageError, match=f"at least 4 texts.*got {texts}"):
            list(told)
    else:
        assert [line["rows"] for line in told] == ["best program", "best catalogue", "profile"]


def test_programs_run_in_the_sandbox(benchmark_script):
    if not status().in_force:
        pytest.skip(f"no sandbox here: {status().reason}")
    programs = benchmark_script.programs_of(FILE)
    passages = [passage(seed) for seed in range(3)]
    with Sandbox() as sandbox:
        found = benchmark_script.answers("previous", programs["previous"], sandbox, passages)
    assert found.first_failure is None
    dense = found.predict(passages[0], FULL).to_dense()
    np.testing.assert_array_equal(dense[1:, :-1], np.eye(len(dense) - 1))


def test_a_file_without_programs_is_refused(benchmark_script):
    with pytest.raises(UsageError, match="found none"):
        benchmark_script.programs_of("def f(p): return p")
    with pytest.raises(UsageError, match="line 1"):
        benchmark_script.programs_of("def f(")
