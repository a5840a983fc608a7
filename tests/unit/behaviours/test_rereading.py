"""What is kept of a model's attention between two readings is what it would give again."""

from tempfile import TemporaryFile

import numpy as np
import pytest

from headscribe.api.replace import opened_model
from headscribe.behaviours import rereading
from headscribe.models.recorded import attention_of


@pytest.mark.parametrize(("room", "kept"), [(0, 0), (300_000, 2), (1 << 30, 4)])
def test_a_second_reading_is_the_first(stories, room: int, kept: int, monkeypatch) -> None:
    monkeypatch.setattr(rereading, "KEPT", room)
    model = opened_model("bundled:stories")
    passes = []
    run = model.run
    monkeypatch.setattr(
        type(model), "run", lambda self, batch, seen: (passes.append(len(batch)), run(batch, seen))
    )
    passages = [stories[0][number] for number in (0, 5, 9, 11)]
    with TemporaryFile() as file:
        source = rereading.Rereading(model, file)
        first = [(passage.text_id, seen.copy()) for passage, seen in attention_of(source, passages)]
        second = [(one.text_id, seen.copy()) for one, seen in attention_of(source, passages)]
    assert [name for name, _ in second] == [passage.text_id for passage in passages]
    for (_, before), (_, after) in zip(first, second, strict=True):
        np.testing.assert_array_equal(before, after)
    # 36 heads, the lower half of 40 tokens squared in single precision: 118,080 bytes a text.
    assert sum(passes) == 8 - kept
