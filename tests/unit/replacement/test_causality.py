"""No program of a causal layer reads what follows: one hashed cut on every measured text."""

from dataclasses import replace

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.replacement.apply import Substituted, apply
from headscribe.replacement.cache import RowCache
from headscribe.replacement.causality import cut_of
from headscribe.replacement.curves import Arm, curves
from headscribe.replacement.measure import measure
from headscribe.replacement.plan import Plan
from tests.unit.replacement.tiny import SAME, STORIES, Handmade, every_head, passages, tiny

WORDS = [f"w{5 + (7 * k) % 40}" for k in range(40)]
TEXTS = (*STORIES, *(" ".join(WORDS[: n + 3]) for n in range(9)), " ".join(WORDS[:24]))
RARE = len(WORDS[:24])


def _peeking(passage, visibility, peeks):
    """To equal tokens; where it may peek, from each query to a key that equals the next token."""
    ids, n = passage.ids, len(passage)
    matrix = np.eye(n)
    if peeks(passage):
        for i in range(n - 1):
            matrix[i, : i + 1][ids[: i + 1] == ids[i + 1]] += 1
            matrix[i, 0] += ids[i + 1] % 3
    return matrix * visibility.dense(n)


def seer(peeks):
    """A program that says it does not look ahead, and does on some texts."""
    return Handmade(lambda p, v: _peeking(p, v, peeks), "seer")


ONLY_LONG = seer(lambda p: len(p) == RARE)
ONLY_ODD = seer(lambda p: len(p) > 4 and len(p) % 2 == 1)
ONLY_A_WORD = seer(lambda p: "w12" in p.tokens)
LAST_WORD = Handmade(
    lambda p, v: (np.eye(len(p)) + (p.ids % 3 == p.ids[-1] % 3)) * v.dense(len(p)), "last word"
)


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
@pytest.mark.parametrize(
    "program", [ONLY_LONG, ONLY_ODD, ONLY_A_WORD, LAST_WORD], ids=["long", "odd", "word", "last"]
)
def test_a_program_that_peeks_in_some_texts_only_is_refused(family, program):
    model = tiny(family)
    texts = passages(model, TEXTS)
    plan = Plan({HeadId(1, 1): program})
    with pytest.raises(UsageError, match=r"head 1.1, text text:\d+: .* sees the future: row \d+"):
        list(measure(model, [plan], texts))
    with pytest.raises(UsageError, match="sees the future"):
        curves(model, [Arm("formula", plan.programs)], [HeadId(1, 1)], texts)


def test_the_one_text_that_it_peeks_in_may_stand_anywhere():
    model = tiny("llama")
    texts = passages(model, TEXTS)
    (rare,) = [text for text in texts if len(text) == RARE]
    others = [text for text in texts if len(text) != RARE]
    plan = Plan({HeadId(0, 2): ONLY_LONG})
    assert len(dict(measure(model, [plan], others))) == len(others)
    for place in (0, 5, len(others)):
        with pytest.raises(UsageError, match=rf"text {rare.text_id}: seer sees the future"):
            list(measure(model, [plan], [*others[:place], rare, *others[place:]]))


def test_every_way_into_a_model_is_watched():
    model = tiny("llama")
    texts = [text for text in passages(model, TEXTS) if len(text) == RARE]
    plan = Plan({HeadId(0, 2): ONLY_LONG})
    with pytest.raises(UsageError, match="sees the future"):
        model.logits(texts, Substituted(plan, model))
    with apply(model, plan), pytest.raises(UsageError, match="sees the future"):
        model.hf(**model.inputs(texts))


def test_encoders_may_look_both_ways_and_what_does_not_look_passes():
    encoder = tiny("bert")
    every = Plan(dict.fromkeys(every_head(encoder), ONLY_LONG))
    assert dict(measure(encoder, [every], passages(encoder, TEXTS[:3]), positions=1))
    model = tiny("llama")
    every = Plan(dict.fromkeys(every_head(model), SAME))
    assert len(dict(measure(model, [every], passages(model, TEXTS)))) == len(TEXTS)


def test_a_text_is_cut_anywhere_but_always_at_one_place():
    model = tiny("llama")
    text = passages(model, (" ".join(WORDS),))[0]
    names = [f"{k}" for k in range(400)]
    cuts = {name: cut_of(replace(text, text_id=name)) for name in names}
    assert set(cuts.values()) == set(range(1, len(text)))
    assert cuts == {name: cut_of(replace(text, text_id=name)) for name in names}


def test_rows_are_asked_for_once_a_text_and_once_for_its_beginning():
    asked = []
    watched = Handmade(lambda p, v: asked.append(len(p)) or np.eye(len(p)), "watched")
    model, cache = tiny("llama"), RowCache()
    text = passages(model, (" ".join(WORDS),))[0]
    for head in every_head(model):
        cache.rows(watched, "exclude", head, text, model.visibility(head.layer))
    assert asked == [cut_of(text), len(text)]


def test_a_program_with_a_memory_is_asked_for_the_beginning_first():
    """It keeps to the text that it has seen, so that every beginning of it would agree."""
    seen = []

    def remembers(passage, visibility):
        ids = list(map(int, passage.ids))
        whole = next((known for known in seen if known[: len(ids)] == ids), ids)
        seen.append(ids)
        later = np.array([*whole, -1])[1 : len(ids) + 1]
        return (np.eye(len(ids)) + (passage.ids[None, :] == later[:, None])) * visibility.dense(
            len(ids)
        )

    model = tiny("llama")
    texts = passages(model, ("w5 w6 w5 w7 w5 w6 w7 w5",))
    with pytest.raises(UsageError, match="sees the future"):
        list(measure(model, [Plan({HeadId(0, 1): Handmade(remembers, "remembers")})], texts))
