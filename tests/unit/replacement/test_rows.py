"""Programs' rows: policies, and everything that is no attention."""

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.rows import Rows
from headscribe.core.visibility import CAUSAL, Visibility
from headscribe.replacement.cache import RowCache
from headscribe.replacement.causality import cut_of
from headscribe.replacement.plan import ZERO
from headscribe.replacement.rows import dense_rows
from tests.unit.replacement.tiny import PREVIOUS, UNIFORM, Handmade, passages, tiny

HEAD = HeadId(1, 2)


@pytest.fixture(scope="module")
def passage():
    return passages(tiny("llama"))[1]


def test_policies(passage):
    own = dense_rows(PREVIOUS, "exclude", HEAD, passage, CAUSAL)
    assert own.covered.tolist() == [False, True, True]
    for policy in ("sink", "self", "uniform"):
        rows = dense_rows(PREVIOUS, policy, HEAD, passage, CAUSAL)
        assert rows.covered is None
        assert rows.weight.tolist() == [[1, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert not dense_rows(ZERO, "exclude", HEAD, passage, CAUSAL).weight.any()


class Raw(Handmade):
    """Yields what it is given, unchecked."""

    def predict(self, passage, visibility):
        return self.matrix(passage, visibility)


def _rows(weight, query=(0, 1, 2), key=(0, 1, 2), length=3):
    pointer = np.searchsorted(query, np.arange(length + 1))
    return Rows(pointer, np.array(key), np.array(weight, np.float32))


@pytest.mark.parametrize(
    "yielded,message",
    [
        (_rows([1, np.nan, 1]), "yields NaN or infinity"),
        (_rows([1, -1, 1]), "yields a negative weight"),
        (_rows([1, 1], (0, 1), (0, 1), 2), "yields 2 rows, expected 3"),
        (_rows([1, 1, 1], key=(0, 1, 3)), r"yields a key outside 0\.\.2"),
        (_rows([1, 0.5, 1]), "yields a row that sums to"),
        (_rows([1, 1, 1], key=(0, 2, 2)), "sees the future: it attends from query 1 at key 2"),
        (np.eye(3), "yields ndarray, expected Rows"),
    ],
)
def test_what_is_no_attention_is_refused(passage, yielded, message):
    program = Raw(lambda p, v: yielded, "broken")
    with pytest.raises(UsageError, match=f"head 1.2, text text:1: broken {message}"):
        dense_rows(program, "exclude", HEAD, passage, CAUSAL)


@pytest.mark.parametrize("matrix", [np.ones((3, 2)), np.full((3, 3), np.nan), -np.eye(3)])
def test_failures_name_head_and_text(passage, matrix):
    program = Handmade(lambda p, v: matrix, "broken")
    with pytest.raises(UsageError, match=r"head 1.2, text text:1: broken fails: expected"):
        dense_rows(program, "exclude", HEAD, passage, CAUSAL)


def test_windows_count(passage):
    program = Raw(lambda p, v: _rows([1, 1, 1], key=(0, 0, 0)), "far")
    dense_rows(program, "exclude", HEAD, passage, Visibility(True, 3))
    with pytest.raises(UsageError, match=r"sees what the layer's window hides"):
        dense_rows(program, "exclude", HEAD, passage, Visibility(True, 2))


def test_the_cache_asks_once_and_forgets_what_does_not_fit(passage):
    asked = []
    program = Handmade(lambda p, v: asked.append(len(p)) or UNIFORM.matrix(p, v), "counted")
    cache = RowCache(budget=100)
    first = cache.rows(program, "exclude", HEAD, passage, CAUSAL)
    assert cache.rows(program, "exclude", HeadId(0, 0), passage, CAUSAL) is first
    assert asked == [cut_of(passage), 3]
    for other in range(4):
        cache.rows(Handmade(UNIFORM.matrix, str(other)), "exclude", HEAD, passage, CAUSAL)
    again = cache.rows(program, "exclude", HEAD, passage, CAUSAL)
    assert asked == [cut_of(passage), 3] * 2
    assert torch.equal(again.weight, first.weight)
