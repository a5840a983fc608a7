"""Heads are ranked by effect where there is one."""

import numpy as np
import pytest

from headscribe.core.heads import HeadId
from headscribe.hinting.comparison import compare_heads
from headscribe.hinting.effects import pairs
from headscribe.hinting.measures import MEASURES
from headscribe.hinting.reading import Unit
from tests.unit.hinting import synthetic, tiny


def effects(rng, found, gate):
    """Head 2.3 moves the answers that change; all others next to nothing."""
    values = np.where(gate[:, None, None], rng.normal(0, 0.05, (len(found), 3, 4)), 0)
    values[gate, 2, 3] += 1
    return values


def test_the_head_that_moves_answers_comes_first():
    rng = np.random.default_rng(0)
    found, gate = synthetic.planted(rng)
    values, moved = synthetic.readings(rng, found, gate), effects(rng, found, gate)
    moved[np.flatnonzero(gate)[0]] = np.nan
    compared = compare_heads(found, values, lambda: moved)
    first, ranking = compared.findings[0], compared.ranking
    assert (first.head, first.flagged) == (HeadId(2, 3), True)
    assert first.effect[0] == pytest.approx(1, abs=0.02)
    assert first.effect[1] < 1 < first.effect[2]
    assert first.effect_p < 1e-10
    assert (ranking.order, ranking.tests) == ("effect", (len(MEASURES) + 1) * 12)
    assert {one.head for one in compared.findings if one.flagged} == {HeadId(1, 2), HeadId(2, 3)}


def test_without_effects_heads_are_ranked_by_what_they_read():
    rng = np.random.default_rng(1)
    found, gate = synthetic.planted(rng)
    values = synthetic.readings(rng, found, gate)
    nothing = np.full((len(found), 3, 4), np.nan)
    for given in (None, lambda: nothing):
        compared = compare_heads(found, values, given)
        assert compared.ranking.order == "t"
        assert compared.findings[0].head == HeadId(1, 2)
        assert all(np.isnan(one.effect[0]) for one in compared.findings)


def test_effects_are_not_asked_for_where_heads_are_not_ranked():
    rng = np.random.default_rng(2)
    found, gate = synthetic.planted(rng, presence=True)

    def unwanted():
        raise AssertionError

    compared = compare_heads(found, synthetic.readings(rng, found, gate), unwanted)
    assert compared.ranking.refused is not None


@pytest.mark.parametrize("behind", ["step Answer :", "step Answer : ("])
def test_letters_behind_what_was_written(behind):
    read = tiny.tokenizer()
    found = synthetic.outcomes([0, 0, 2], [1, 0, 1], [0] * 3, [0] * 3, [1, 1, 2], [0] * 3)
    forced = tuple(read(behind, add_special_tokens=False)["input_ids"])
    units = [Unit(asked, forced) for asked in found.asked]
    moved, same, hinted_before = pairs(read, units, found, None)
    assert read.convert_ids_to_tokens(moved) == ["B", "A"]
    assert same is hinted_before is None
