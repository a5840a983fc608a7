import pytest

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId


@pytest.mark.parametrize("text", ["7.10", "L7H10", " l7h10 "])
def test_parse(text: str) -> None:
    head = HeadId.parse(text)
    assert head == (7, 10)
    assert str(head) == "7.10"
    assert head.prose == "L7H10"


@pytest.mark.parametrize("text", ["", "7", "7.", "-1.2", "7.10.1", "a.b", "٧.١٠x"])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"LAYER\.HEAD"):
        HeadId.parse(text)


def test_heads_sort_by_layer_then_head() -> None:
    assert sorted([HeadId(2, 0), HeadId(1, 11), HeadId(1, 2)]) == [(1, 2), (1, 11), (2, 0)]
