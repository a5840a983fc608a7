"""The page of the real run is made of run directories alone, findings first."""

import pytest

from benchmarks.discovery_run import Runs, page
from headscribe.core.errors import UsageError
from headscribe.sandbox import Trusted
from tests.unit.discovery.answers import answer
from tests.unit.discovery.conftest import SECRET
from tests.unit.discovery.mock import Queued
from tests.unit.discovery.test_describe import Scripted
from tests.unit.discovery.test_describe import made as described
from tests.unit.discovery.test_run import HEADS, found

ABOUT = {
    "config": {},
    "model": {"name": "made-up", "layers": 1, "heads": 2},
    "corpus": {"name": "texts", "texts": 100, "tokens": 1000},
    "annotator": {"name": "gold"},
    "notes": ["a note"],
}


def test_the_page_begins_with_what_was_found(tmp_path, studies):
    client = Queued(answer("key.index == 3"), "none", answer(SECRET))
    result = found(tmp_path / "model", client=client, runner=Trusted(), about=ABOUT)
    found(tmp_path / "blinded", client=Queued(*["none"] * 4), runner=Trusted(), about=ABOUT)
    scripted = Scripted(studies)
    described(tmp_path / "described", writer=scripted, judge=scripted)
    folders = [str(tmp_path / name) for name in ("model", "blinded", "blinded", "described")]
    text = page([Runs.open(folders)])
    lines = text.split("\n")
    assert len(lines) <= 300
    assert lines[2].startswith("- **Language model**: 1 of 2 heads (50%) have an accepted program")
    assert lines[3].startswith("- **Offline search**: 0 of 2 heads (0%)")
    assert lines[5].startswith("- **Power, made-up on texts**: of 1 head without, none had a ")
    assert (
        "- **Descriptions by the language model** beat those of another head on unseen rows for "
        "2 of 2 heads (100%; surely for 2): 100% of the questions right against 0%, +100 points, "
        "95 % interval +100 to +100 over heads." in lines
    )
    mean, low, high = result["0.1"].gains["formula"]
    assert f"{mean:+.4f} ({low:+.4f} to {high:+.4f})" in text
    assert "It reads the previous token." in text
    assert str(tmp_path) not in text
    with pytest.raises(UsageError, match="run of a language model first"):
        Runs.open(["-", "-", "-", "-"])
    found(tmp_path / "one", heads=HEADS[:1], client=Queued("none", "none"), about=ABOUT)
    with pytest.raises(UsageError, match="same heads and texts"):
        Runs.open([folders[0], str(tmp_path / "one"), "-", "-"])
