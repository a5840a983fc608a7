"""A program as a pattern: rows, failures, what it needs, whether it looks ahead."""

import numpy as np
import pytest

from headscribe.core.errors import UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.patterns.contract import Pattern
from headscribe.sandbox import (
    ProgramFailureError,
    Sandbox,
    SandboxedProgram,
    Trusted,
    prefix_test,
)
from tests.passages import make, random_passage, split

BOTH_WAYS = '''
def attention(p):
    """Attends to both neighbours."""
    T = len(p)
    A = np.eye(T, k=1) + 3 * np.eye(T, k=-1)
    A[0] = 0
    return A
'''
PASSAGES = [random_passage(seed, 9) for seed in range(3)]


def test_it_is_a_pattern(warm: Sandbox) -> None:
    program = SandboxedProgram("both", BOTH_WAYS, warm, source="test")
    pattern: Pattern = program
    assert pattern.sentence == "Attends to both neighbours."
    assert (pattern.family, pattern.looks_ahead, pattern.needs) == ("custom", True, frozenset())
    for passage in PASSAGES:
        T = len(passage)
        matrix = np.eye(T, k=1) + 3 * np.eye(T, k=-1)
        matrix[0] = 0
        for visibility in (FULL, CAUSAL):
            rows = program.predict(passage, visibility)
            wanted = Rows.from_dense(matrix).visible(visibility).to_dense()
            np.testing.assert_allclose(rows.to_dense(), wanted, atol=1e-6)
            assert not rows.covered[0]


def test_prepared_predictions_are_the_same(warm: Sandbox) -> None:
    program = SandboxedProgram("both", BOTH_WAYS, warm, source="test")
    fresh = [program.predict(passage, CAUSAL).to_dense() for passage in PASSAGES]
    program.prepare(PASSAGES)
    for passage, wanted in zip(PASSAGES, fresh, strict=True):
        np.testing.assert_array_equal(program.predict(passage, CAUSAL).to_dense(), wanted)


def test_failures_name_program_text_and_kind() -> None:
    program = SandboxedProgram("bad", "def attention(p): return 1 / 0", Trusted(), source="test")
    with pytest.raises(ProgramFailureError, match="program bad failed on text 7: exception: line"):
        program.predict(make("x", text_id="7"), FULL)
    with pytest.raises(UsageError, match="program bad: line 1: `open` is not for programs"):
        SandboxedProgram("bad", "def attention(p): open('x')", Trusted(), source="test")


def test_missing_fields_are_the_callers_mistake() -> None:
    code = "def attention(p): return np.eye(len(p)) * (len(p.by_token('upos')) + len(p.words.dep))"
    program = SandboxedProgram("tags", code, Trusted(), source="test")
    assert program.needs == {"upos", "dep"}
    with pytest.raises(UsageError, match="reads dep, upos, which the words of text 0 do not have"):
        program.predict(make("no tags"), FULL)
    program.predict(PASSAGES[0], FULL)
    program.prepare([make("no tags"), PASSAGES[0]])


@pytest.mark.parametrize(
    "code, ahead, reason",
    [
        ("return np.eye(len(p), k=-1) + np.eye(len(p))", False, "prefixes gave the rows"),
        ("return np.tril(p.ids[:, None] == p.ids[None]) * 1", False, "prefixes gave the rows"),
        ("return np.eye(len(p), k=1)", False, "prefixes gave the rows"),  # never within a prefix
        ("return np.tril(np.ones((len(p),) * 2)) * (p.ids == p.ids[-1])", True, "changes with"),
        ("return np.eye(len(p)) * (len(p) % 2)", True, "changes with tokens from"),
        ("return np.eye(len(p)) * p.text.endswith('zz') + np.eye(len(p), k=-len(p.text) // 9)",
         True, "changes with"),
        ("p.words.upos; return np.eye(len(p))", True, "it reads upos, and annotators read"),
        ("return np.eye(3)", True, "it failed on text"),
    ],
)  # fmt: skip
def test_prefixes_tell_who_looks_ahead(code: str, ahead: bool, reason: str) -> None:
    found = prefix_test(f"def attention(p):\n    {code}", Trusted(), PASSAGES)
    assert found.looks_ahead is ahead
    assert reason in found.reason


@pytest.mark.parametrize(
    "value, ahead",
    [
        ("np.array([float(len(p.text[a:b])) for a, b in p.spans])", False),
        ("np.array([float(p.text[b:b + 1] == '!') for a, b in p.spans])", True),
        ("(p.word >= 0) * 1.0", True),
    ],
)
def test_spans_show_a_character_to_its_last_piece_alone(value: str, ahead: bool) -> None:
    """The annotator's words are another matter: all pieces touch them."""
    texts = [split("\U0001f600!\U0001f600\U0001f600! a é!", seed) for seed in range(4)]
    code = f"def attention(p):\n    return np.tril(np.ones((len(p),) * 2)) * (1 + {value})"
    assert prefix_test(code, Trusted(), texts, prefixes=12).looks_ahead is ahead


def test_nothing_to_compare_is_no_pass() -> None:
    code = "def attention(p): return np.eye(len(p))"
    assert prefix_test(code, Trusted(), []).looks_ahead
