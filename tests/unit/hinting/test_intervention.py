"""Heads that do not read the hint, or attend as without it: rows by loops, answers by hand."""

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.core.heads import HeadId
from headscribe.hinting.answering import scored, written_answers
from headscribe.hinting.causal import Causal, check, random_sets
from headscribe.hinting.intervention import Intervention, Target, altered
from headscribe.hinting.letters import Letters
from headscribe.hinting.outcomes import Outcomes
from headscribe.hinting.reading import Unit, read
from headscribe.hinting.run import _scored
from headscribe.models.calls import AttentionCall
from headscribe.models.tap import tap
from tests.oracles import hints as oracle
from tests.unit.hinting import tiny

HEADS = [HeadId(0, 1), HeadId(0, 3), HeadId(1, 2)]


class Both(Intervention):
    """Keeps the rows that it gives, and what they are made of."""

    def __init__(self, *given):
        super().__init__(*given)
        self.seen = {}

    def rows(self, call):
        made = super().rows(call)
        own = call.probabilities()[:, list(self.heads(call.layer))]
        self.seen.setdefault(call.layer, []).append((own.double().numpy(), made.double().numpy()))
        return made


def asked(model, position="before"):
    return tiny.prompter(model.tokenizer, position=position).ask(tiny.question())


@pytest.mark.parametrize("position", ["before", "after"])
@pytest.mark.parametrize("how", ["block", "unhinted"])
def test_rows_equal_the_loops(how, position):
    model = tiny.model()
    unit = Unit(asked(model, position), (30, 31))
    first, second, after = unit.shared("wrong")
    inserted = unit.asked.prompts["wrong"].tokens.inserted
    keys = np.stack([first, second])
    target = Target(1, inserted) if how == "block" else Target(
        1, inserted, 0, keys[:, len(first) - after :], keys)  # fmt: skip
    both = Both(HEADS, [target], [0, 0])
    model.logits([unit.text("none"), unit.text("wrong")], both)
    length = len(unit.text("none"))
    for layer, heads in ((0, 2), (1, 1)):
        ((own, made),) = both.seen[layer]
        for head in range(heads):
            plain, hinted = own[0, head, :length, :length], own[1, head]
            np.testing.assert_array_equal(made[0, head], own[0, head])
            pairs = list(zip(first, second, strict=True))
            expected = oracle.blocked(hinted, *inserted) if how == "block" else oracle.restored(
                plain, hinted, pairs[len(pairs) - after :], pairs, *inserted)  # fmt: skip
            np.testing.assert_allclose(made[1, head], expected, atol=1e-5)
            assert np.abs(expected - hinted).max() > 1e-3


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3_windows"])
def test_blocked_heads_write_alike_with_and_without_a_cache(family):
    model = tiny.model(family)
    prompts = [tiny.prompter(model.tokenizer, answer="generate").ask(row).prompts["wrong"].tokens
               for row in tiny.questions(3).rows]  # fmt: skip
    targets = [Target(n, one.inserted) for n, one in enumerate(prompts)]
    found = written_answers(
        model, [one.ids.tolist() for one in prompts], [4] * 3, 6,
        lambda mask: altered(model, HEADS, targets, mask),
    )  # fmt: skip
    for prompt, answer in zip(prompts, found, strict=True):
        ids = prompt.ids.tolist()
        for _ in range(6):
            with torch.inference_mode(), tap(
                model, None, Intervention(HEADS, [Target(0, prompt.inserted)], [0])
            ):  # fmt: skip
                logits = model.hf(torch.tensor([ids])).logits[0, -1]
            ids.append(int(logits.argmax()))
        written = model.tokenizer.decode(ids[len(prompt.ids) :], skip_special_tokens=True)
        assert written.startswith(answer.text)
        assert answer.text or answer.state == "unparsed"


def test_a_head_that_reads_nothing_else_reads_evenly():
    model = tiny.model()
    own = torch.zeros(1, 1, 5, 5)
    own[..., 1:, 1] = 1  # every row reads the insertion, token 1, alone
    own[..., 0, 0] = 1

    call = AttentionCall(0, torch.tensor([5]), (), lambda: own, None)
    made = Intervention([HeadId(0, 0)], [Target(0, (1, 2))], [0]).rows(call)[0, 0]
    np.testing.assert_allclose(made[3], [1 / 3, 0, 1 / 3, 1 / 3, 0])
    np.testing.assert_allclose(made[1], [0, 1, 0, 0, 0])
    assert model.heads == 4


@pytest.fixture(scope="module")
def following():
    """A random model, questions, and the answers that it gives; some follow the hint."""
    model = tiny.model(seed=3)
    prompter = tiny.prompter(model.tokenizer, position="after")
    letters = Letters.of(prompter.letter_ids(4))
    units = [Unit(prompter.ask(row), letters.common) for row in tiny.questions(60).rows]
    answers = [_scored(one) for one in read(model, units, letters)]
    outcomes = Outcomes([unit.asked for unit in units], answers)
    assert outcomes.kept("wrong").sum() >= 5
    return Causal(model, outcomes, units, letters, 0, 512)


@pytest.mark.parametrize("how", ["block", "unhinted"])
def test_restored_answers_are_counted(following, how):
    found = following.restored(HEADS, how)
    back = []
    for at in following.questions:
        unit = following.units[at]
        first, second, after = unit.shared("wrong")
        keys = np.stack([first, second])
        target = Target(1, unit.asked.prompts["wrong"].tokens.inserted)
        if how == "unhinted":
            target = Target(1, target.inserted, 0, keys[:, len(first) - after :], keys)
        texts = [unit.text("none"), unit.text("wrong")]
        logits = following.model.logits(texts, Intervention(HEADS, [target], [0, 0]), last=True)
        letters = [rest[0] for rest in following.letters.rests]
        answer = scored(torch.log_softmax(logits[1], -1)[letters].numpy()).choice
        back.append(answer == following.outcomes.choice("none")[at])
    assert found.each.tolist() == back
    assert (found.n, found.back) == (len(back), sum(back))
    assert found.low <= found.share <= found.high


def test_all_heads_attending_as_without_the_hint_bring_all_answers_back(following):
    every = [HeadId(layer, head) for layer in range(2) for head in range(4)]
    assert following.restored(every, "unhinted").share >= following.restored(every, "block").share
    # In a model with absolute places nothing else could be expected; here the keys keep theirs.
    assert following.restored(every, "unhinted").share > 0.8


def test_the_check(following):
    told = []
    lines = check(following, [HeadId(0, 1), HeadId(1, 2)], 0, lambda *now: told.append(now))
    assert told == [(n, 12) for n in range(1, 13)]
    for how in ("block", "unhinted"):
        mine = [one for one in lines if one.how == how]
        top = next(one for one in mine if one.set == "top")
        drawn = [one for one in mine if one.set == "random" and one.draw >= 0]
        mean = next(one for one in mine if one.set == "random" and one.draw < 0)
        apart = next(one for one in mine if one.set == "difference")
        assert top.share == following.restored(top.heads, how).share
        assert mean.share == pytest.approx(np.mean([one.share for one in drawn]))
        assert apart.share == pytest.approx(top.share - mean.share)
        assert apart.low <= apart.share <= apart.high
        for one in drawn:
            assert [head.layer for head in one.heads] == [0, 1]
            assert not {*one.heads} & {*top.heads}


def test_random_sets_where_a_layer_has_no_others():
    model = tiny.model()
    whole = [HeadId(0, head) for head in range(4)]
    assert random_sets(model, whole, 0) == []
    assert all(len(one) == 1 for one in random_sets(model, [*whole, HeadId(1, 0)], 0))


def test_wrong_use(following):
    with pytest.raises(UsageError, match=r"expected heads 0.0 to 1.3, got 2.0"):
        following.restored([HeadId(2, 0)])
    with pytest.raises(UsageError, match="expected heads to alter, got none"):
        following.restored([])
