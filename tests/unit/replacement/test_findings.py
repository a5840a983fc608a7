"""What a replacement says in words: no headline that the figures do not bear."""

import re

import numpy as np
import pytest

from headscribe.core.heads import HeadId
from headscribe.replacement.curves import Curves, Point
from headscribe.replacement.findings import findings, guessing
from headscribe.replacement.measure import Readings
from tests.unit.replacement.tiny import STORIES, passages, tiny

HEADS = tuple(HeadId(0, k) for k in range(4))


def curve(changes, *, per_text=0.01, unaltered=1.0, texts=12, kind="causal"):
    """A curve with a change of loss a token for each program, order and share; texts differ."""
    points = tuple(
        Point(program, order, False, share, HEADS[: round(4 * share)], None, 0)
        for program, order, share in changes
    )
    noise = (
        np.where(np.arange(texts) % 2, per_text, -per_text)
        * (1 + np.arange(len(changes)))[:, None]
        / 4
    )
    tokens = np.full(texts, 10.0)
    change = np.array(list(changes.values()))[:, None] + noise
    loss, shift = tokens * (unaltered + change), tokens * (1 - change)
    readings = Readings(
        kind, tuple(map(str, range(texts))), tokens, tokens, tokens * unaltered, loss, shift
    )
    return Curves(points, tuple(range(len(points))), readings)


def said(found, kind="llama", warnings=()):
    model = tiny(kind)
    texts = passages(model)
    return findings(model, found, texts, texts, warnings)


def test_the_untouched_model_comes_first_and_what_it_means():
    found = said(curve({("formula", "best_first", 1.0): 0.1}, unaltered=np.log(4)))
    assert found.lines[0].startswith("Untouched, the model has a perplexity of 4 on these texts")
    guess = guessing(tiny("llama"), *2 * [passages(tiny("llama"))])
    assert f"A guess that reads nothing has {guess:,.4g}" in found.untouched
    assert found.conclusions[0].startswith(
        "With 4 heads (100%) replaced by their programs the perplexity changes by +10.5%"
    )


@pytest.mark.parametrize("worse", [0.01, 5.0])
def test_outside_of_what_the_model_knows_nothing_is_concluded(worse):
    """Every control improves the model, and no sentence says so."""
    changes = {
        (program, "best_first", share): -0.3
        for program in ("formula", "profile", "zero")
        for share in (0.25, 1.0)
    }
    guess = guessing(tiny("llama"), *2 * [passages(tiny("llama"))])
    found = said(curve(changes, unaltered=np.log(guess) + worse))
    assert found.conclusions == ()
    assert "lie outside of what it knows" in found.lines[0]
    assert f"{np.exp(np.log(guess) + worse):,.4g}" in found.lines[0]
    assert said(curve(changes, unaltered=np.log(guess) - 0.01)).conclusions


def test_no_headline_from_an_interval_that_covers_zero():
    changes = {
        ("formula", "best_first", 0.25): 0.001,
        ("formula", "best_first", 1.0): 0.2,
        ("zero", "best_first", 0.25): 0.3,
        ("zero", "own_best_first", 0.25): 0.25,
        ("zero", "best_first", 1.0): 0.9,
    }
    small, all_heads = said(curve(changes, per_text=0.05)).conclusions
    assert "no change of the perplexity can be told from none (-" in small
    assert "changes by" not in small.partition(";")[0]
    assert "changes by +22.1%" in all_heads
    # paired, the difference from silence is nearly the same in every text
    assert "with the best control (silence, in their own order) by +28.4%" in small


def test_the_best_control_may_not_differ_from_the_programs():
    changes = {("formula", "best_first", 1.0): 0.2, ("profile", "best_first", 1.0): 0.2}
    (line,) = said(curve(changes, per_text=0.05)).conclusions
    assert "the best control (profiles +22.1% (" in line
    assert line.endswith("cannot be told from that.")


def test_one_group_of_texts_gives_no_conclusion():
    (line,) = said(curve({("formula", "best_first", 1.0): 0.2}, texts=1)).conclusions
    assert "one group of texts gives no interval" in line
    assert not re.search(r"[+-]\d", line)
    found = curve({("formula", "best_first", 1.0): 0.2}, per_text=0.0)
    (line,) = said(found).conclusions
    assert "the same change in every text gives no interval" in line
    assert not re.search(r"[+-]\d", line)
    (point,) = found.document()["curve"]
    assert (point["low"], point["high"]) == (None, None), "a width of 0 is no interval"
    assert point["increase"] == pytest.approx(np.expm1(0.2))


def test_encoders_have_a_cosine_and_no_world_to_be_outside_of():
    changes = {("formula", "best_first", 1.0): 0.1, ("zero", "best_first", 1.0): 0.5}
    found = said(curve(changes, kind="encoder"), "bert")
    assert found.untouched.startswith("Cosine of the last hidden states")
    assert "the cosine changes by -10.0%" in found.conclusions[0]
    assert "with the best control (silence) by -50.0%" in found.conclusions[0]


def test_warnings_stand_above_everything():
    found = said(curve({("formula", "best_first", 1.0): 0.1}), warnings=("another model",))
    assert found.lines[0] == "NOTE: another model"
    assert found.to_json()["lines"] == found.lines


def test_the_guess_is_the_best_of_three_by_hand():
    """All alike, as in the fit texts, as in the other measured texts: counts plus one."""
    model = tiny("llama")
    size = model.hf.config.vocab_size
    measured = passages(model, STORIES)
    fit = passages(model, ("w5 w9", "w40"))
    ids = [[int(i) for i in text.ids] for text in measured]
    elsewhere = [int(i) for text in fit for i in text.ids]

    def reached(known_of):
        nats = [
            -np.log((known_of(k).count(i) + 1) / (len(known_of(k)) + size))
            for k, text in enumerate(ids)
            for i in text
        ]
        return np.exp(np.mean(nats))

    others = reached(lambda k: [i for j, text in enumerate(ids) if j != k for i in text])
    expected = min(size, reached(lambda _: elsewhere), others)
    assert guessing(model, measured, fit) == pytest.approx(expected)
    assert expected < size
