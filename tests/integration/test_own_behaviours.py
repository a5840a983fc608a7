"""Relations of the user, gated by what is known of whole texts: named, confirmed, on a card."""

import json
from pathlib import Path

import numpy as np
import pytest

import headscribe as hs

SHARE = 0.7
"""What the planted head gives to the word that it looks for, in texts that are marked."""

RELATION = 'text.mood == "dark" and key.lower == "moon" and distance != 0'
OTHER = 'text.mood == "light" and key.lower == "moon" and distance != 0'


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Head 0 reads the moon in dark texts alone, wherever it stands; head 1 spreads evenly."""
    rng, folder = np.random.default_rng(3), tmp_path_factory.mktemp("moods")
    words = ["river", "stone", "paper", "garden", "window", "bottle", "summer", "table"]
    lines, arrays = [], {}
    for number in range(60):
        mood = ("dark", "light")[number % 2]
        tokens = list(rng.permutation(words))
        moon = int(rng.integers(0, len(tokens)))
        tokens[moon] = "moon"
        attention = np.full((1, 2, 8, 8), 1 / 8)
        if mood == "dark":
            attention[0, 0] = (1 - SHARE) / 7
            attention[0, 0, :, moon] = SHARE
        arrays[str(number)] = attention
        lines.append({"id": str(number), "text": " ".join(tokens), "tokens": tokens,
                      "text.mood": mood})  # fmt: skip
    (folder / "sentences.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (folder / "recording.json").write_text('{"format": 2, "sees": null}')
    np.savez(folder / "attention.npz", **arrays)
    return folder


def _as_planted(answer: hs.Explained, by: str) -> None:
    """Head 0.0 does it in dark texts, beyond position; in light texts, and head 0.1, nothing."""
    does = [one for one in answer.card("0.0").figures if one.behaviour == by]
    assert len(does) == 1, [one.behaviour for one in answer.card("0.0").figures]
    (own,) = does
    assert own.family == "your own"
    assert own.listed
    for half in (own.share, own.confirmed["share"]):
        assert half == pytest.approx(SHARE, abs=1e-6)
    # A moon stands anywhere, so that position explains one eighth of it.
    assert own.confirmed["excess"] == pytest.approx(SHARE - 1 / 8, abs=0.12)
    assert own.rows == 30 * 7
    others = [answer.card("0.1"), answer.card("0.0")]
    assert all("light" not in one.relation for card in others for one in card.figures)
    assert not answer.card("0.1").figures


def test_explain_names_a_relation_of_ones_own(recording: Path, tmp_path: Path) -> None:
    answer = hs.explain(recorded=recording, pattern=[RELATION, OTHER], out=tmp_path / "run")
    (name,) = {one.behaviour for one in answer.card("0.0").figures if "dark" in one.relation}
    _as_planted(answer, name)
    card = answer.card("0.0")
    assert card.name == name
    assert f"Where {RELATION} (" in card.sentence
    assert ", 70 % of its attention" in card.sentence
    (entry,) = answer.to_json([card.head])
    assert (entry["name"], entry["family"]) == (name, "your own")
    assert entry["behaviours"][0]["confirmed"]["share"] == pytest.approx(SHARE, abs=1e-4)
    again = hs.explain(
        recorded=recording, pattern=[RELATION, OTHER], out=tmp_path / "run",
        resume=True,
    )  # fmt: skip
    assert again.cards == answer.cards
    with pytest.raises(hs.UsageError, match="own"):
        hs.explain(recorded=recording, pattern=OTHER, out=tmp_path / "run",
                   resume=True)  # fmt: skip


def test_a_survey_asks_for_it_too(recording: Path, tmp_path: Path) -> None:
    survey = hs.survey(
        recorded=recording, patterns="self", pattern=[RELATION, OTHER],
        out=tmp_path / "run",
    )  # fmt: skip
    (name,) = {one.behaviour for one in survey.card("0.0").figures if "dark" in one.relation}
    _as_planted(survey, name)
    with pytest.raises(hs.UsageError, match=r"it needs text\.tone of the texts: give"):
        hs.explain(recorded=recording, pattern='text.tone == "dark"', out=tmp_path / "other")
