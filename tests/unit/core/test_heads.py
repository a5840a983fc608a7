import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId


@pytest.mark.parametrize("text", ["7.10", "L7H10", " l7h10 ", "(7, 10)", "(7,10)"])
def test_parse(text: str) -> None:
    head = HeadId.parse(text)
    assert head == (7, 10)
    assert str(head) == "7.10"
    assert head.prose == "L7H10"


@pytest.mark.parametrize("text", ["", "7", "7.", "-1.2", "7.10.1", "a.b", "٧.١٠x"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected a head such as 7\.10, L7H10 or \(7, 10\)"):
        HeadId.parse(text)


def test_heads_sort_by_layer_then_head() -> None:
    assert sorted([HeadId(2, 0), HeadId(1, 11), HeadId(1, 2)]) == [(1, 2), (1, 11), (2, 0)]


@pytest.mark.parametrize(
    "head", ["7.10", "L7H10", (7, 10), [7, 10], HeadId(7, 10), np.array([7, 10])]
)
def test_heads_as_people_write_them(head: object) -> None:
    if isinstance(head, np.ndarray):
        head = tuple(head)
    assert HeadId.of(head) == (7, 10)


@pytest.mark.parametrize("head", [7, 7.10, (7,), (7, 1, 0), (7, -1), (7, 1.5), None, {7, 10}])
def test_other_things_are_no_heads(head: object) -> None:
    with pytest.raises(UsageError, match=r"7\.10, L7H10 or \(7, 10\), got"):
        HeadId.of(head)
