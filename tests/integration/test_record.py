"""A model's survey equals the survey of its recording."""

from pathlib import Path

import pytest

import headscribe as hs
from headscribe.core.errors import UsageError

TEXTS = [
    "Tom had a red ball. Tom gave the red ball to Mia.",
    "The cat sat on the mat. The cat saw a dog.",
    'Lily asked, "Where is my hat?"',
    "One day a bird sang in the tree all day.",
]


def test_a_recording_stands_for_its_model(tmp_path: Path) -> None:
    model = hs.load("bundled:stories")
    recording = hs.record(model, TEXTS, tmp_path / "recording")
    assert (recording.layers, recording.heads) == (model.layers, model.heads)
    assert recording.visibility(0) == model.visibility(0)
    live = hs.survey(model, TEXTS, out=tmp_path / "live")
    recorded = hs.survey(recording, out=tmp_path / "recorded")
    assert set(recorded.patterns) <= set(live.patterns)
    for pattern in ("previous_token", "repetition", "dependency", "uniform"):
        for metric in ("jsd", "iou"):
            one = dict(live.top(pattern, k=36, metric=metric))
            two = dict(recorded.top(pattern, k=36, metric=metric))
            assert one == pytest.approx(two, abs=2e-3)
    with pytest.raises(UsageError, match="holds a recording already"):
        hs.record(model, TEXTS, tmp_path / "recording")
