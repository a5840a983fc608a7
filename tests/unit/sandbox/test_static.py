"""The static check: clear words for honest mistakes."""

import pytest

from headscribe.sandbox.static import check, needed_fields, sentence_of

GOOD = '''
from __future__ import annotations
import math
import numpy as np
from numpy import linalg

def helper(a): return a

def attention(p: Passage) -> np.ndarray:
    """Looks at the head.

    At length.
    """
    heads = p.words.head
    tags = p.by_token("upos")
    return np.eye(len(p)) * helper(math.pi)
'''


def test_a_good_program_passes_and_is_read() -> None:
    assert check(GOOD) is None
    assert needed_fields(GOOD) == {"head", "upos"}
    assert sentence_of(GOOD) == "Looks at the head."
    assert sentence_of("def attention(p): pass") is None


@pytest.mark.parametrize("signature", ["p", "p, k=1", "*p", "p, /", "p=None", "p, *, k=1"])
def test_signatures_that_take_one(signature: str) -> None:
    assert check(f"def attention({signature}): return np.eye(1)") is None


@pytest.mark.parametrize(
    "code, message",
    [
        ("def attention(p:", "line 1: no valid Python"),
        ("def attention(p):\n  return 1\n 2", "line 3: no valid Python: unindent"),
        ("return 1", "line 1: no valid Python"),
        ("x = '\ud800'", "no valid Python text"),
        ("\0", "no valid Python"),
        ("-" * 9000 + "1", "nested too deeply"),
        ("x = 1" * 10000, "expected at most 20000 characters, got 50000"),
        ("x = 1", "expected `def attention(p)` at the top level"),
        ("class A:\n def attention(p): pass", "expected `def attention(p)` at the top level"),
        ("def attention(): pass", "line 1: expected `def attention(p)` with one parameter"),
        ("def attention(p, q): pass", "with one parameter"),
        ("def attention(p, *, q): pass", "with one parameter"),
        ("async def attention(p): pass", "with one parameter"),
        ("import os\ndef attention(p): pass", "line 1: `import os` is not at hand; it can import"),
        ("def attention(p):\n from scipy import x", "line 2: `from scipy import` is not at hand"),
        ("from . import x\ndef attention(p): pass", "`from . import` is not at hand"),
        ("from numpy import load\ndef attention(p): pass", "`load` needs files"),
        ("def attention(p):\n return np.memmap('x')", "line 2: `np.memmap` needs files"),
        ("def attention(p):\n open('x')", "line 2: `open` is not for programs"),
        ("def attention(p): return p.__class__", "`__class__` is not for programs"),
        ("def attention(p): return __builtins__", "`__builtins__` is not for programs"),
    ],
)
def test_mistakes_are_named(code: str, message: str) -> None:
    found = check(code)
    assert found is not None
    assert found.kind == "static"
    assert message in found.message
    assert found.message.isprintable()
