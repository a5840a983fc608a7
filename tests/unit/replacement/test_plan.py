"""Plans: what is refused before the model is touched."""

import pytest

from headscribe.api.replace import policy_of
from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.replacement.plan import ZERO, Plan
from tests.unit.replacement.tiny import ITSELF, UNIFORM, Handmade


class Sized:
    layers = 2
    heads = 3

    def __init__(self, *seen):
        self._seen = seen

    def visibility(self, layer):
        return self._seen[layer]


def test_heads_by_layer():
    plan = Plan({HeadId(1, 2): UNIFORM, HeadId(1, 0): ZERO, HeadId(0, 1): ITSELF})
    assert [plan.heads_of(layer) for layer in range(3)] == [(1,), (0, 2), ()]
    assert len(plan.only([HeadId(1, 0)])) == 1
    plan.check(Sized(CAUSAL, FULL))


@pytest.mark.parametrize("head", [HeadId(2, 0), HeadId(0, 3)])
def test_an_unknown_head_is_refused(head):
    said = rf"no head {head} in the model: it has 2 layers of 3 heads, 0\.0 to 1\.2"
    with pytest.raises(UsageError, match=said):
        Plan({head: UNIFORM}).check(Sized(CAUSAL, CAUSAL))


def test_looking_ahead_is_refused_in_causal_layers_only():
    ahead = Handmade(UNIFORM.matrix, "peeking", looks_ahead=True)
    Plan({HeadId(1, 0): ahead}).check(Sized(CAUSAL, FULL))
    with pytest.raises(UsageError, match=r"head 0.0: peeking looks ahead"):
        Plan({HeadId(0, 0): ahead}).check(Sized(CAUSAL, FULL))
    later = Handmade(UNIFORM.matrix, "next", needs_later_keys=True)
    with pytest.raises(UsageError, match=r"head 0.0: next points at later keys only"):
        Plan({HeadId(0, 0): later}).check(Sized(CAUSAL, FULL))


def test_unknown_policies_and_heads_without_a_program():
    with pytest.raises(UsageError, match=r"expected a row policy of exclude, sink"):
        policy_of("nothing")
    with pytest.raises(UsageError, match=r"expected a program for head 0.1"):
        Plan({HeadId(0, 0): UNIFORM}).only([HeadId(0, 1)])
