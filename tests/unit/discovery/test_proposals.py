import json
from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.core.errors import RunError
from headscribe.discovery.evidence import evidence
from headscribe.discovery.prompting import (
    VERSION,
    Attempt,
    proposal_prompt,
    render,
    template,
)
from headscribe.discovery.proposals import (
    LONGEST_REPLY,
    ParseFailure,
    Proposal,
    parse_proposal,
)
from tests.unit.discovery.answers import answer

RELATION = "distance == -1"
PROGRAM = "def attention(p):\n    return np.eye(len(p))"


def kind(reply):
    found = parse_proposal(reply)
    assert isinstance(found, ParseFailure)
    assert found.message
    assert "\n" not in str(found)
    return found.kind


@pytest.mark.parametrize(
    "wrapped",
    [
        "{}",
        "Here is what I think, {{in short}}:\n{}\nI hope that helps.",
        "```json\n{}\n```",
        'First {{"a": 1}}.\n\n```\n{}\n```\nDone.',
    ],
)
def test_a_proposal_is_found_in_prose_and_fences(wrapped):
    found = parse_proposal(wrapped.format(answer(RELATION)))
    assert isinstance(found, Proposal)
    assert found.code.relations == (RELATION,)


def test_a_program_with_raw_line_breaks_is_read():
    reply = answer(program=PROGRAM).replace("\\n", "\n")
    found = parse_proposal(reply)
    assert isinstance(found, Proposal)
    assert found.code.program == PROGRAM


def test_the_last_of_several_answers_counts():
    found = parse_proposal(f"{answer(RELATION)} No: {answer('distance == 1')}")
    assert isinstance(found, Proposal)
    assert found.code.relations == ("distance == 1",)


def test_failures_are_typed():
    assert kind("I do not know.") == "no_json"
    assert kind("") == "no_json"
    assert kind("{" * 5000) == "bad_json"
    assert kind('{"a":' * 20_000) == "bad_json"
    assert kind(answer(RELATION)[:-2]) == "bad_json"
    assert kind(answer(RELATION).replace("1.0", "NaN")) == "bad_json"
    assert kind("x" * (LONGEST_REPLY + 1)) == "too_long"
    assert kind('{"hypotheses": []}') == "schema"


@pytest.mark.parametrize(
    "change",
    [
        {"hypotheses": []},
        {"chosen": 3},
        {"validation": ""},
        {"code": {"kind": "relations", "relations": []}},
        {"code": {"kind": "python", "program": "  "}},
        {"code": {"kind": "shell", "program": "ls"}},
        {"code": {"kind": "relations", "relations": ["distance == 1"] * 9}},
        {"example": {"text": "0", "cells": [[0, -1, 0.5]]}},
        {"example": {"text": "0", "cells": [[0, 1, 1.5]]}},
    ],
)
def test_another_shape_is_refused(change):
    assert kind(answer(RELATION, **change)) == "schema"


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_no_reply_breaks_the_parser(reply):
    assert isinstance(parse_proposal(reply), ParseFailure | Proposal)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda c: st.lists(c) | st.dictionaries(st.text(max_size=9), c),
        max_leaves=20,
    )
)
@settings(max_examples=60, deadline=None)
def test_no_other_json_becomes_a_program(document):
    assert isinstance(parse_proposal(json.dumps(document)), ParseFailure)


def test_every_prompt_renders(studies):
    shown = evidence(studies[0])
    text = proposal_prompt(shown, [Attempt("mine", "no {{mark}}")], python=True, rounds_left=2)
    assert f"\n# {VERSION} | made-up | head 0.0 | round 2\n" in text
    assert shown.text in text
    assert "no {{mark}}" in text  # what is filled in is not read again
    assert "`look" not in text
    assert "def attention(p)" in text
    without = proposal_prompt(shown, [], python=False, rounds_left=2)
    assert "def attention(p)" not in without
    folder = resources.files("headscribe.discovery") / "prompts"
    names = [file.name.removesuffix(".md") for file in folder.iterdir()]
    assert VERSION in names
    assert all(template(name).endswith("\n") for name in names)


def test_slots_and_values_must_match():
    with pytest.raises(RunError, match="differ in extra"):
        render("no-python-1", {"extra": "x"})
    with pytest.raises(RunError, match="found none"):
        template("propose-99")


def test_the_schema_is_what_the_prompt_says():
    assert all(f'"{name}"' in template(VERSION) for name in Proposal.model_fields)
