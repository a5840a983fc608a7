"""Programs that remember earlier texts: the prefix test sees through all of them."""

import itertools

import numpy as np
import pytest

from headscribe.sandbox import (
    Failure,
    Runner,
    Sandbox,
    SandboxedProgram,
    Trusted,
    check,
    prefix_test,
)
from headscribe.sandbox.runner import Apart
from headscribe.text.passages import Passage
from tests.passages import random_passage

PASSAGES = [random_passage(seed, 12) for seed in range(3)]

STORES = {
    "a global list": ("earlier = []", "earlier"),
    "a global dictionary": ("known = {}", "known.setdefault('s', [])"),
    "a default argument": ("def keep(s=[]): return s", "keep()"),
    "an attribute of a function": ("def keep(): return keep.s\nkeep.s = []", "keep()"),
    "a closure": (
        "def made():\n    s = []\n    return lambda: s\nkeep = made()", "keep()",
    ),
    "an attribute of a class": ("class Keep: s = []", "Keep.s"),
    "a generator": (
        "def run():\n    s = []\n    while True: yield s\nkept = run()", "next(kept)",
    ),
    "a cache": ("import functools\n@functools.cache\ndef keep(): return []", "keep()"),
    "an attribute of NumPy": ("if not hasattr(np, 'kept'): np.kept = []", "np.kept"),
    "an attribute of a module": (
        "import math\nif not hasattr(math, 'kept'): math.kept = []", "math.kept",
    ),
    "a list inside a module": ("import json", "json.decoder.scanner.__all__"),
    "the class of passages": (
        "if not hasattr(Passage, 'kept'): Passage.kept = []", "Passage.kept",
    ),
    "the state of a random generator": (
        "rng = np.random.default_rng(0)", "[rng.random()][1:]",
    ),
}  # fmt: skip

PEEKS = {
    "the next token": "float(i + 1 < len(full) and full[i + 1] == full[j])",
    "the number of tokens": "float(j == len(full) % (i + 1))",
    "the last token": "float(full[-1] == full[j] or j == 0)",
}
PROGRAM = '''
{store}
def attention(p):
    """Remembers texts, and looks ahead in those of which it saw more."""
    full, seen = list(p.tokens), {kept}
    for s in seen:
        if isinstance(s, list) and len(s) > len(full) and s[: len(full)] == full:
            full = s
            break
    seen.append(list(p.tokens))
    T = len(p)
    return np.array([[{peek} if j <= i else 0.0 for j in range(T)] for i in range(T)])
'''


def _written(store: str, peek: str) -> str:
    prepared, kept = STORES[store]
    return PROGRAM.format(store=prepared, kept=kept, peek=PEEKS[peek])


def _never_passes(code: str, runner: Runner) -> None:
    for _ in range(2):  # what the first test left behind must not help in the second
        found = prefix_test(code, runner, PASSAGES)
        assert found.looks_ahead
        assert "changes with tokens from" in found.reason or "static check" in found.reason


@pytest.mark.parametrize("store, peek", list(itertools.product(STORES, PEEKS)))
def test_no_memory_helps(store: str, peek: str, warm: Sandbox) -> None:
    _never_passes(_written(store, peek), warm)


@pytest.mark.parametrize("store", STORES)
def test_nor_does_trust(store: str, warm: Sandbox) -> None:
    _never_passes(_written(store, "the next token"), Trusted())


def test_nor_does_it_where_no_sandbox_is_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headscribe.sandbox.sandbox.sys.platform", "darwin")
    for store in ("a global list", "an attribute of NumPy", "the class of passages"):
        code = _written(store, "the number of tokens")
        found = prefix_test(code, Trusted(), PASSAGES[:1], prefixes=2)
        assert "changes with tokens from" in found.reason, store


def test_a_process_of_its_own_without_walls_gives_what_one_behind_them_does(warm: Sandbox) -> None:
    codes = (
        "def attention(p): return np.eye(len(p)) * np.random.rand(len(p), 1)",
        "def attention(p):\n    print('x')\n    return 1 / 0",
        "def attention(p): return np.eye(3)",
    )
    for code in codes:
        mine, wanted = (one.run(code, PASSAGES[:1]).results[0] for one in (Apart(), warm))
        if isinstance(wanted, Failure):
            assert mine == wanted
        else:
            np.testing.assert_array_equal(mine, wanted)
    (ended,) = Apart().run("import sys\ndef attention(p): raise SystemExit", PASSAGES[:1]).results
    assert isinstance(ended, Failure)


@pytest.mark.parametrize("calls", [1, 2, 7])
def test_who_counts_calls_counts_to_one(calls: int, warm: Sandbox) -> None:
    """A program that behaves for its first calls can never come to the next."""
    code = (
        f"n = [0]\ndef attention(p):\n    n[0] += 1\n    A = np.eye(len(p))\n"
        f"    return A * (1 + (n[0] > {calls}) * (p.ids == p.ids[-1]))\n"
    )
    assert not prefix_test(code, warm, PASSAGES).looks_ahead
    for runner in (warm, Trusted()):
        for result, passage in zip(
            runner.run(code, PASSAGES * 3).results, PASSAGES * 3, strict=True
        ):
            np.testing.assert_array_equal(result, np.eye(len(passage)))


NAMED_LATER = (
    'getattr(p.words, "up" + "os", None)',
    'p.by_token("u" + "pos")',
    '"{{0.words.up{}}}".format("os").format(p)',
    'next((v for k, v in p.words.__dict__.items() if k == "upos"), None)',
    '__import__("operator").attrgetter("words.up" + "os")(p)',
    "[c for c in map(p.by_token, ['up' + 'os'])][0]",
    "type(p.words).__getattribute__(p.words, 'up' + 'os')",
)


@pytest.mark.parametrize("expression", NAMED_LATER)
def test_names_made_at_run_time_reach_no_annotation(expression: str, warm: Sandbox) -> None:
    """Refused by the static check; and who gets around that is shown nothing."""
    code = (
        f"def attention(p):\n    try:\n        tags = {expression}\n"
        "    except Exception:\n        tags = None\n"
        "    return np.eye(len(p)) * (1 + ('NOUN' in str(tags)))\n"
    )
    tagged = [one for one in PASSAGES if "NOUN" in (one.words.upos or ())]
    assert tagged
    for runner in (warm, Trusted()):
        for result, passage in zip(runner.run(code, tagged).results, tagged, strict=True):
            np.testing.assert_array_equal(result, np.eye(len(passage)))
    assert prefix_test(code, warm, PASSAGES).looks_ahead or ".format(" in expression
    assert check(code) is not None or ".format(" in expression


def test_fields_that_are_named_are_shown(warm: Sandbox) -> None:
    code = "def attention(p):\n    return np.eye(len(p)) * len(p.by_token('upos'))"
    program = SandboxedProgram("tags", code, warm, source="test")
    passage: Passage = PASSAGES[0]
    assert program.needs == {"upos"}
    (result,) = warm.run(code, [passage]).results
    np.testing.assert_array_equal(result, np.eye(len(passage)) * len(passage))
