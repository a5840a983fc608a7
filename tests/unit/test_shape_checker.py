"""The hook that checks shapes in all other tests finds what is wrong and lets pass the rest."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float
from shape_checker import checked

from headscribe.core.metrics import metric
from headscribe.results.run import Run


@checked
def outer(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n n"]:
    return np.outer(a, b) if a.size else np.ones((1, 2))


@checked
def rows(n: int) -> Iterator[Float[np.ndarray, " k"]]:
    yield from np.ones((n, 3))


@checked
@dataclass
class Pair:
    left: Float[np.ndarray, " n"]
    right: Float[np.ndarray, " n"]


def test_shapes_of_one_call_belong_together():
    assert outer(np.ones(2), np.ones(2)).shape == (2, 2)
    assert outer(np.ones(3), np.ones(3)).shape == (3, 3)
    assert len(list(rows(2))) == 2
    Pair(np.ones(2), np.ones(2))
    for wrong in (
        lambda: outer(np.ones(2), np.ones(3)),
        lambda: outer(np.ones(0), np.ones(0)),
        lambda: outer(np.ones(2, int), np.ones(2)),
        lambda: Pair(np.ones(2), np.ones(3)),
        lambda: rows("2"),
    ):
        with pytest.raises(BeartypeCallHintViolation):
            wrong()


def test_the_package_is_under_the_hook():
    with pytest.raises(BeartypeCallHintViolation):
        metric(3)
    with pytest.raises(BeartypeCallHintViolation):
        Run("a folder as text", {})
