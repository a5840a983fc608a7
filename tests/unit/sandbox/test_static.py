"""The static check: clear words for honest mistakes."""

import resource
import time

import pytest

from headscribe.core.errors import RunError
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
    named = "w = p.words\n match w:\n  case object(dep=d): pass\n return getattr(w, 'lemma', None)"
    assert needed_fields(f"def attention(p):\n {named}") == {"dep", "lemma"}
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
        ("def attention(p): return getattr(p, 'wo' + 'rds')", "`getattr` needs a name that is"),
        ("def attention(p): return map(getattr, [p], ['x'])", "`getattr` needs a name that is"),
        ("def attention(p, g=getattr): return g(p, 'x')", "line 1: `getattr` needs a name that"),
        ("def attention(p): return getattr(*[p, 'x'])", "`getattr` needs a name that is written"),
        ("def attention(p): return getattr(p, '__class__')", "`__class__` is not for programs"),
        ("def attention(p): return p.by_token('up' + 'os')", "`by_token` needs a name that is"),
        ("def attention(p): return [p.by_token(f) for f in 'ab']", "`by_token` needs a name"),
        ("def attention(p): f = p.by_token; return f('upos')", "`by_token` needs a name that is"),
        (
            "import operator\ndef attention(p): return operator.attrgetter('upos')(p)",
            "line 2: `attrgetter` needs a name",
        ),
        ("from operator import methodcaller\ndef attention(p): pass", "`methodcaller` needs"),
    ],
)
def test_mistakes_are_named(code: str, message: str) -> None:
    found = check(code)
    assert found is not None
    assert found.kind == "static"
    assert message in found.message
    assert found.message.isprintable()


def _finally(levels: int, returns: int) -> str:
    """Bodies of `finally` are copied once for every way out of their `try`."""
    lines = ["def attention(p):"]
    for level in range(levels):
        lines += [" " * (level + 1) + "try:", *[" " * (level + 2) + "if p:return"] * returns]
        lines.append(" " * (level + 1) + "finally:")
    return "\n".join([*lines, " " * (levels + 1) + "p"])


BOMBS = {
    "finally": _finally(10, 30),
    "finally, 800 characters": _finally(16, 1),
    "sums of strings": "def attention(p): pass\nx = " + "+".join(["'a'*4096"] * 2100),
    "sums of tuples": "def attention(p): pass\nx = " + "+".join(["(1,)*256"] * 2100),
    "brackets": "(" * 9000 + ")" * 9000,
    "negatives": "def attention(p): pass\nx = " + "-" * 15000 + "1",
    "attributes": "def attention(p): pass\nx = p" + ".a" * 9900,
    "sums": "def attention(p): pass\nx = 1" + "+p" * 9900,
    "loops": "def attention(p): pass\nx = " + "[" * 150 + "p" + " for p in p]" * 150,
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_cannot_be_compiled_costs_the_caller_nothing(name: str) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    found = check(BOMBS[name])
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert time.monotonic() - began < 60
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
    assert after.ru_maxrss - before.ru_maxrss < 32 * 1024
    assert found is None or found.message.isprintable()
    assert "finally" not in name or "to compile" in found.message or "to be" in found.message


def test_a_caller_without_descriptors_is_told() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(RunError, match="reads programs did not start"):
            check("def attention(p): return np.eye(len(p)) * 7")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert check("def attention(p): return np.eye(len(p)) * 7") is None
