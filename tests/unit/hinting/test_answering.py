"""What a model writes, parsed strictly; nothing that it writes is lost."""

import numpy as np
import pytest
import torch

from headscribe.core.errors import UsageError
from headscribe.hinting.answering import check_answering, parsed, scored, written_answers
from headscribe.models.loading import load
from tests.integration.families import FAMILIES
from tests.unit.hinting import tiny

READ = tiny.tokenizer()


def ids_of(text):
    return READ(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(
    ("text", "ended", "choice", "state", "forced"),
    [
        ("w1 w2 . Answer: B", True, 1, "answered", "w1 w2 . Answer:"),
        ("Answer: A w3 Answer: B", False, 0, "answered", "Answer:"),
        ("Answer: D", True, None, "unparsed", "Answer: D"),  # of three choices
        ("Answer: D", False, None, "unparsed", "Answer: D"),
        ("the answer is B", True, None, "unparsed", "the answer is B"),
        ("the answer is B", False, None, "unended", "the answer is B"),
        ("Answer: w1", True, None, "unparsed", "Answer: w1"),
        ("", True, None, "unparsed", ""),
    ],
)
def test_answers_are_parsed_strictly(text, ended, choice, state, forced):
    found = parsed(READ, ids_of(text), ended, 3)
    assert (found.choice, found.state) == (choice, state)
    assert list(found.forced) == ids_of(forced)
    assert found.scores is None


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("So.\nAnswer: (C)", 2), ("Answer:D.", 3), ("Answer : A", 0), ("Answer: Both", None),
        ("Answer: A1", None), ("myAnswer: A", None), ("answer: A", None), ("Answer: a", None),
        ("Answer: E", None), ("Answer: A or B", 0),
    ],
)  # fmt: skip
def test_formats(text, choice):
    read = load("bundled:stories").tokenizer
    found = parsed(read, read(text, add_special_tokens=False)["input_ids"], True, 4)
    assert found.choice == choice
    assert found.state == ("unparsed" if choice is None else "answered")
    assert found.text == text


def test_the_first_of_equal_letters():
    found = scored(np.array([-2.0, -1.0, -1.0]))
    assert (found.choice, found.scores) == (1, (-2.0, -1.0, -1.0))


def speaking(monkeypatch, scripts):
    """A model whose predictions behind prompt `n` follow script `n`, told apart by its first id."""
    model = tiny.model()
    inner = model.hf.forward
    width = []

    def forward(input_ids=None, past_key_values=None, **rest):
        result = inner(input_ids=input_ids, past_key_values=past_key_values, **rest)
        done = past_key_values.get_seq_length() if past_key_values is not None else 0
        if input_ids.shape[1] > 1:
            width[:] = [done]
        step = done - width[0]
        result.logits = torch.full_like(result.logits, -9.0)
        for row, script in enumerate(scripts):
            result.logits[row, -1, script[min(step, len(script) - 1)]] = 9.0
        return result

    monkeypatch.setattr(model.hf, "forward", forward)
    return model


def test_states_of_a_batch(monkeypatch):
    never = ids_of("w1")
    scripts = [
        [*ids_of("w1 Answer: B w2"), 2],
        [*ids_of("w3 w4"), 2],
        never,
        [*ids_of("w5 w6 w7 Answer: A"), 2],
    ]
    model = speaking(monkeypatch, scripts)
    prompts = [[1, 30], [1, 31, 32], [1, 33], [1, 34, 35, 36]]
    found = written_answers(model, prompts, [4, 4, 4, 4], 12)
    assert [(one.choice, one.state) for one in found] == [
        (1, "answered"), (None, "unparsed"), (None, "unended"), (0, "answered"),
    ]  # fmt: skip
    assert list(found[0].forced) == ids_of("w1 Answer:")
    assert list(found[1].forced) == ids_of("w3 w4")
    assert list(found[2].forced) == never * 12
    assert found[3].text == "w5 w6 w7 Answer : A"


@pytest.mark.parametrize("family", ["llama", "qwen3_windows", "gpt2"])
def test_batches_change_no_answer(family):
    model = tiny.model(family)
    prompter = tiny.prompter(model.tokenizer, answer="generate")
    asked = [prompter.ask(row) for row in tiny.questions(5).rows]
    prompts = [one.prompts["none"].tokens.ids.tolist() for one in asked]
    together = written_answers(model, prompts, [4] * 5, 10)
    alone = [written_answers(model, [prompt], [4], 10)[0] for prompt in prompts]
    assert together == alone
    assert all(len(one.text.split()) > 0 for one in together)


def test_who_cannot_answer():
    check_answering(tiny.model())
    bert = load((FAMILIES["bert"].build(), tiny.tokenizer()))
    with pytest.raises(UsageError, match="is a masked model: only causal models answer"):
        check_answering(bert)
