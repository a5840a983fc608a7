import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from headscribe.core.errors import UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import CAUSAL, FULL, Visibility

lengths = st.integers(0, 7)
matrices = lengths.flatmap(
    lambda n: arrays(np.float64, (n, n), elements=st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0]))
)


@given(matrices)
@settings(max_examples=60, deadline=None)
def test_dense_and_back(matrix: np.ndarray) -> None:
    rows = Rows.from_dense(matrix)
    total = matrix.sum(axis=1, keepdims=True)
    expected = np.divide(matrix, total, out=np.zeros_like(matrix), where=total > 0)
    np.testing.assert_allclose(rows.to_dense(), expected, atol=1e-6)
    np.testing.assert_array_equal(rows.covered, matrix.sum(axis=1) > 0)
    assert rows.length == len(matrix)
    assert (rows.weight > 0).all()
    for i in range(len(matrix)):
        keys = rows.key[rows.query_ptr[i] : rows.query_ptr[i + 1]]
        assert (np.diff(keys) > 0).all()


def test_cells_that_occur_twice_are_added() -> None:
    rows = Rows.from_cells(np.array([1, 0, 1]), np.array([0, 0, 0]), 2, np.array([1.0, 2.0, 3.0]))
    np.testing.assert_array_equal(rows.to_dense(), [[1, 0], [1, 0]])


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_must_be_finite_and_positive(weight: float) -> None:
    with pytest.raises(UsageError, match="finite weights"):
        Rows.from_cells(np.array([0]), np.array([0]), 1, np.array([weight]))
    with pytest.raises(UsageError, match="finite weights"):
        Rows.from_dense(np.array([[weight]]))


def test_indices_must_lie_in_the_text() -> None:
    with pytest.raises(UsageError, match=r"within 0\.\.1"):
        Rows.from_cells(np.array([0]), np.array([2]), 2)
    with pytest.raises(UsageError, match="square"):
        Rows.from_dense(np.zeros((2, 3)))


@given(matrices, st.sampled_from([FULL, CAUSAL, Visibility(True, 2), Visibility(False, 2)]))
@settings(max_examples=60, deadline=None)
def test_visible_keys_only(matrix: np.ndarray, seen: Visibility) -> None:
    expected = Rows.from_dense(matrix * seen.dense(len(matrix)))
    np.testing.assert_allclose(
        Rows.from_dense(matrix).visible(seen).to_dense(), expected.to_dense(), atol=1e-6
    )


@pytest.mark.parametrize(
    "policy, row",
    [
        ("exclude", [0, 0, 0, 0]),
        ("sink", [0, 1, 0, 0]),
        ("self", [0, 0, 1, 0]),
        ("uniform", [0, 0.5, 0.5, 0]),
    ],
)
def test_row_policies_stay_within_the_window(policy, row) -> None:
    rows = Rows.from_cells(np.array([0]), np.array([0]), 4)
    filled = rows.filled(policy, Visibility(causal=True, window=2)).to_dense()
    np.testing.assert_array_equal(filled[2], row)
    np.testing.assert_array_equal(filled[0], [1, 0, 0, 0])


def test_unknown_policy() -> None:
    with pytest.raises(UsageError, match="row policy"):
        Rows.empty(2).filled("nothing", FULL)  # type: ignore[arg-type]


def test_otherwise_fills_uncovered_rows_only() -> None:
    one = Rows.from_cells(np.array([0]), np.array([1]), 2)
    two = Rows.from_cells(np.array([0, 1]), np.array([0, 0]), 2)
    np.testing.assert_array_equal(one.otherwise(two).to_dense(), [[0, 1], [1, 0]])
    with pytest.raises(UsageError, match="length 2"):
        one.otherwise(Rows.empty(3))


def test_only_and_prefix() -> None:
    rows = Rows.from_dense(np.tril(np.ones((3, 3))))
    np.testing.assert_array_equal(rows.only(np.array([True, False, True])).covered, [1, 0, 1])
    np.testing.assert_allclose(rows.prefix(2).to_dense(), [[1, 0], [0.5, 0.5]])
