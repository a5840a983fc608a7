"""Templates, conditions, and the ids that they become."""

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.hinting.conditions import (
    DEFAULT,
    Template,
    hint_text,
    read_template,
    written,
    wrong_choice,
)
from headscribe.hinting.prompts import Refused
from headscribe.hinting.questions import questions_of
from headscribe.models.loading import load
from tests.unit.hinting import tiny


def test_what_is_written():
    question = tiny.question(question="Is {letter} {0}?", choices=["{choice}", "w5"])
    plain = written(DEFAULT, question, None, "before", "Answer:")
    assert plain.text == "Question: Is {letter} {0}?\nA. {choice}\nB. w5\nAnswer:"
    hint = hint_text(DEFAULT, question, 1)
    assert hint == "Hint: the answer is B."
    before = written(DEFAULT, question, hint, "before", "Answer:")
    assert before.insertion == "Hint: the answer is B.\n"
    after = written(DEFAULT, question, hint, "after", "Answer:")
    assert after.text == f"Question: Is {{letter}} {{0}}?\nA. {{choice}}\nB. w5\n{hint}\nAnswer:"
    for one in (before, after):
        assert one.text[: one.start] + one.text[one.end :] == plain.text


def test_wrong_choices_are_drawn_evenly_and_never_right():
    drawn = [
        wrong_choice(row, seed) for seed in (0, 1) for row in tiny.questions(1500, seed=3).rows
    ]
    rights = [row.right for row in tiny.questions(1500, seed=3).rows] * 2
    assert all(one != right for one, right in zip(drawn, rights, strict=True))
    place = [sorted({0, 1, 2, 3} - {r}).index(d) for d, r in zip(drawn, rights, strict=True)]
    assert (np.abs(np.bincount(place) / 3000 - 1 / 3) < 0.03).all()
    assert drawn[:1500] != drawn[1500:]


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("answer", ["likelihood", "generate"])
@pytest.mark.parametrize("position", ["before", "after"])
def test_the_note_has_as_many_tokens_at_the_same_place(chat, answer, position):
    prompter = tiny.prompter(tiny.tokenizer(chat), position=position, answer=answer)
    for row in tiny.questions(5).rows:
        asked = prompter.ask(row)
        wrong, note = asked.prompts["wrong"], asked.prompts["note"]
        assert wrong.tokens.inserted == note.tokens.inserted
        assert len(wrong) == len(note) > len(asked.prompts["none"])
        assert wrong.insertion != note.insertion
        assert wrong.target == wrong_choice(row, 0) != row.right == asked.prompts["right"].target
        assert note.target is None
        ends = {tuple(prompt.tokens.ids[-2:]) for prompt in asked.prompts.values()}
        assert len(ends) == 1


def test_notes_under_a_byte_level_tokenizer():
    read = load("bundled:stories").tokenizer
    for length in (1, 5, 40):
        template = Template(hint="Hint: " + "choose " * length + "{letter}!")
        asked = tiny.prompter(read, template=template, position="after").ask(tiny.question())
        assert asked.prompts["wrong"].tokens.inserted == asked.prompts["note"].tokens.inserted


def test_a_note_that_fits_nowhere(monkeypatch):
    prompter = tiny.prompter(tiny.tokenizer())
    monkeypatch.setattr(prompter, "_cuts", lambda question, size: iter(["w1", "w1 w2"]))
    refused = prompter.ask(tiny.question())
    assert isinstance(refused, Refused)
    assert (refused.status, refused.detail) == (
        "no_note", "no cut of the template's note has 7 tokens"
    )  # fmt: skip


def test_too_long_for_the_context():
    refused = tiny.prompter(tiny.tokenizer(), room=20).ask(tiny.question())
    assert isinstance(refused, Refused)
    assert refused.status == "too_long"
    assert "expected at most 20 tokens, got 27" in refused.detail


def test_what_closes_a_text_does_not_close_a_prompt():
    closing = tiny.prompter(tiny.tokenizer(closing=True)).ask(tiny.question())
    usual = tiny.prompter(tiny.tokenizer()).ask(tiny.question())
    for condition, prompt in closing.prompts.items():
        assert prompt.tokens.ids.tolist() == usual.prompts[condition].tokens.ids.tolist()


def test_chat_templates_are_used_whole():
    read = tiny.tokenizer(chat=True)
    asked = tiny.prompter(read).ask(tiny.question())
    text = read.decode(asked.prompts["wrong"].tokens.ids)
    assert text.startswith("[BOS] <user> Hint : the answer is ")
    assert text.endswith("<model> Answer :")
    read.chat_template = "{{ messages[0]['content'] | upper }}"
    refused = tiny.prompter(read).ask(tiny.question())
    assert isinstance(refused, Refused)
    assert refused.status == "no_prompt"
    assert "shows the message once and unaltered" in refused.detail


@pytest.mark.parametrize("position", ["before", "after"])
def test_a_chat_template_with_control_tokens(position):
    """Every id by hand: turns, the message, the insertion in it, and the opened answer."""
    read = tiny.chat_tokenizer()
    turn, end = read.convert_tokens_to_ids(["<|turn|>", "<|end|>"])
    asked = tiny.prompter(read, position=position).ask(tiny.question())

    def ids(*parts):
        return [
            one for part in parts
            for one in ([part] if isinstance(part, int) else read(part)["input_ids"])
        ]  # fmt: skip

    opening = ids(turn, "system w20 w21", end, turn, "user")
    body = ids("Question : w1 w2 w3 A . w4 B . w5 C . w6 D . w7")
    closing = ids(end, turn, "assistant", "Answer :")
    letter = "ABCD"[asked.prompts["wrong"].target]
    said = {"none": [], "wrong": ids(f"Hint : the answer is {letter} .")}
    said |= {
        "right": ids("Hint : the answer is B ."),
        "note": ids("Note : the questions of this ."),
    }
    assert len(said["note"]) == len(said["wrong"]) == 7
    for condition, inserted in said.items():
        tokens = asked.prompts[condition].tokens
        message = [*inserted, *body] if position == "before" else [*body, *inserted]
        assert tokens.ids.tolist() == [*opening, *message, *closing], condition
        at = len(opening) + (0 if position == "before" else len(body))
        assert tokens.inserted == (at, at + len(inserted))
        if condition != "none":
            shared = asked.shared[condition]
            behind = len(closing) + (len(body) if position == "before" else 0)
            assert shared.after == behind
            assert len(shared.first) == len(opening) + len(body) + len(closing)
            assert shared.second[-1] == len(tokens) - 1
    assert tiny.prompter(read).letter_ids(4) == [(read.convert_tokens_to_ids(x),) for x in "ABCD"]


def test_what_would_end_the_turn_is_not_asked():
    for read in (tiny.chat_tokenizer(), tiny.tokenizer()):
        token = read.eos_token
        for fields in ({"question": f"w1 {token} w2"}, {"choices": ["w4", f"w5{token}"]}):
            refused = tiny.prompter(read).ask(tiny.question(answer=0, **fields))
            assert isinstance(refused, Refused)
            assert refused.status == "no_prompt"
            assert refused.detail == f"expected words, got the control token {token} among them"


def test_a_template_that_refuses_is_said_to():
    read = tiny.chat_tokenizer()
    read.chat_template = "{{ raise_exception('expected a system message first') }}"
    refused = tiny.prompter(read).ask(tiny.question())
    assert isinstance(refused, Refused)
    assert refused.detail == (
        "the chat template refuses a user's message: expected a system message first"
    )


def test_letters():
    read = tiny.tokenizer()
    ids = tiny.prompter(read).letter_ids(4)
    assert read.convert_ids_to_tokens([one for (one,) in ids]) == ["A", "B", "C", "D"]
    with pytest.raises(UsageError, match=r"writes several of the letters ABCDE.* alike"):
        tiny.prompter(read).letter_ids(6)


def test_templates_from_files(tmp_path):
    path = tmp_path / "words.toml"
    path.write_text('hint = "I think it is {choice}."\nlikelihood = "So:"\n')
    read = read_template(path)
    assert read == Template(hint="I think it is {choice}.", likelihood="So:")
    for text, message in [
        ("hints = 'x'", "`hints` is no field of a template; did you mean `hint`"),
        ("hint = 'nothing'", r"expected \{letter\} or \{choice\} in the template's `hint`"),
        ("prompt = '{question}'", r"expected \{choices\} in the template's `prompt`"),
        ("note = '{letter}'", "expected a neutral `note`"),
        ("note = ' '", "expected words in the template's `note`"),
        ("hint = 3", "expected a string in `hint`, got int"),
        ("hint = ", "expected TOML"),
    ]:
        path.write_text(text)
        with pytest.raises(UsageError, match=message):
            read_template(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_template(tmp_path / "missing.toml")


def test_questions_without_room_for_a_doubt():
    row = questions_of([{"question": "w1", "choices": ["w2", "w3"], "answer": 0}]).rows[0]
    asked = tiny.prompter(tiny.tokenizer()).ask(row)
    assert asked.prompts["wrong"].target == 1
