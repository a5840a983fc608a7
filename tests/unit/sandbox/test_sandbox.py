"""What the sandbox returns: matrices, typed failures, the rest after a death; its own health."""

import os
import resource
import signal
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from headscribe.core.errors import RunError
from headscribe.sandbox import Failure, Limits, Sandbox, Trusted, sandbox, status
from headscribe.sandbox.inside.failures import MESSAGE_CHARACTERS
from headscribe.text.passages import Passage
from tests.passages import make, random_passage

TEXTS = ["One.", "Two words.", "Bad here.", "And four more words."]
PASSAGES = [make(text, text_id=str(i)) for i, text in enumerate(TEXTS)]
PREVIOUS = """
def attention(p: Passage) -> np.ndarray:
    A = np.zeros((len(p), len(p)))
    for i in range(len(p)):
        A[i, max(i - 1, 0)] = 1
    return A
"""


def bad(body: str) -> str:
    """A program that does `body` on the third text only."""
    body = textwrap.indent(body, "        ")
    return f"def attention(p):\n    if 'Bad' in p.text:\n{body}\n    return np.eye(len(p))\n"


def kinds(results: tuple[object, ...]) -> list[str]:
    return [r.kind if isinstance(r, Failure) else "ok" for r in results]


def test_matrices_are_exact_and_in_order(warm: Sandbox) -> None:
    passages = [random_passage(seed, 3 + seed) for seed in range(8)]
    code = "def attention(p):\n    return np.abs(np.sin(p.ids[:, None] * 0.1 + p.ids[None]))\n"
    for got, passage in zip(warm.run(code, passages).results, passages, strict=True):
        wanted = np.abs(np.sin(passage.ids[:, None] * 0.1 + passage.ids[None]))
        np.testing.assert_array_equal(got, wanted.astype(np.float32))
    assert warm.run(code, []).results == ()


def test_sandboxed_and_trusted_agree(warm: Sandbox) -> None:
    for code in (PREVIOUS, bad("1 / 0"), bad("return 'no'"), "nonsense(", "x = 1"):
        for a, b in zip(
            warm.run(code, PASSAGES).results, Trusted().run(code, PASSAGES).results, strict=True
        ):
            np.testing.assert_array_equal(a, b) if isinstance(a, np.ndarray) else None
            assert isinstance(a, np.ndarray) or a == b


@pytest.mark.parametrize(
    "body, kind, message",
    [
        ("raise ValueError('odd')", "exception", "line 3: ValueError: odd"),
        ("raise SystemExit(0)", "exception", "line 3: SystemExit: 0"),
        ("raise KeyboardInterrupt", "exception", "line 3: KeyboardInterrupt"),
        ("def f(): f()\nf()", "exception", "RecursionError"),
        ("return np.ones((2, 2))", "shape", "expected shape (5, 5), got (2, 2)"),
        ("return None", "shape", "expected an array of numbers, got NoneType"),
        ("return [[1], [2, 3]]", "exception", "inhomogeneous"),
        ("return np.full((5, 5), 'a')", "shape", "got ndarray of <U1"),
        ("return np.full((5, 5), np.nan)", "not_finite", "query 0, key 0"),
        ("return np.full((5, 5), 1e300)", "not_finite", "query 0, key 0"),
        ("return -np.eye(5)", "negative", "query 0, key 0 is -1"),
        ("np.ones(10**11)", "memory", "Unable to allocate"),
        ("print('x' * 10**6)", "output", "printed more than 65536"),
        ("import os; os._exit(3)", "protocol", "exit status 3"),
        ("import ctypes; ctypes.string_at(0)", "signal", "SIGSEGV"),
        ("p.tokens = ()", "exception", "read-only"),
        ("p.word[0] = 1", "exception", "read-only"),
        ("p.upos", "exception", "a passage has no `upos`; it has ids"),
        ("p.by_token('upos')", "exception", "the words of this text have no `upos`"),
    ],
)
def test_one_bad_text_is_one_typed_failure(
    warm: Sandbox, body: str, kind: str, message: str
) -> None:
    outcome = warm.run(bad(body), PASSAGES)
    assert kinds(outcome.results) == ["ok", "ok", kind, "ok"]
    assert message in outcome.results[2].message
    assert outcome.failures == {kind: 1}
    assert outcome.first_failure is outcome.results[2]
    np.testing.assert_array_equal(outcome.results[3], np.eye(len(PASSAGES[3])))


def test_a_hang_costs_one_text_and_deaths_are_limited() -> None:
    with Sandbox(Limits(passage_seconds=0.6, deaths=2)) as running:
        outcome = running.run(bad("while True: pass"), PASSAGES)
        assert kinds(outcome.results) == ["ok", "ok", "timeout", "ok"]
        outcome = running.run("def attention(p):\n    import os; os._exit(0)", PASSAGES)
        assert kinds(outcome.results) == ["protocol"] * 4
        assert [r.message.startswith("not run") for r in outcome.results] == [False] * 2 + [
            True
        ] * 2


def test_a_call_has_a_deadline_of_its_own() -> None:
    with Sandbox(Limits(call_seconds=0.5)) as running:
        outcome = running.run("def attention(p):\n    while True: pass", PASSAGES)
        assert kinds(outcome.results) == ["timeout"] * 4
        assert "all passages together" in outcome.results[0].message


def record(passage: Passage, value: float) -> bytes:
    head = struct.pack("<4sIHH", b"HSr2", len(passage), 0, 0)
    return head + np.full(len(passage) ** 2, value, "<f4").tobytes()


def test_a_forged_reply_hurts_its_forger_only(warm: Sandbox) -> None:
    own = record(PASSAGES[0], 0.5)
    forged = f"import os\nos.write(3, {own!r})\nos._exit(0)\ndef attention(p): pass"
    (result,) = warm.run(forged, PASSAGES[:1]).results
    assert (result == 0.5).all()  # its own matrix, as if it had returned it

    surplus = (
        f"def attention(p):\n    import os\n    os.write(3, {own!r})\n    return np.eye(len(p))"
    )
    assert kinds(warm.run(surplus, PASSAGES[:2]).results) == ["output", "protocol"]
    for junk in (b"walls up", b"HSr2" + b"\xff" * 12, b"\0" * 4096):
        code = f"def attention(p):\n    import os\n    os.write(3, {junk!r})\n    return p"
        assert set(kinds(warm.run(code, PASSAGES).results)) == {"protocol"}

    loud = struct.pack("<4sIHH", b"HSr2", len(PASSAGES[0]), 2, 1200) + b"\x1b[31m\n\0\xff" * 150
    code = f"import os\nos.write(3, {loud!r})\nos._exit(0)"
    (failure,) = warm.run(code, PASSAGES[:1]).results
    assert failure.kind == "exception"
    assert failure.message.isprintable()
    assert len(failure.message) <= MESSAGE_CHARACTERS
    (clean,) = warm.run(PREVIOUS, PASSAGES[:1]).results
    assert clean.sum() == len(PASSAGES[0])


def test_the_same_program_gives_the_same_matrix() -> None:
    code = (
        "import random\ndef attention(p):\n    order = list({t for t in 'abcdef'})\n"
        "    np.random.shuffle(order)\n    k = ord(order[0]) + random.random()\n"
        "    return np.full((len(p), len(p)), k)"
    )
    found = []
    for _ in range(2):
        with Sandbox() as running:
            found += [running.run(code, PASSAGES[:1]).results[0] for _ in range(2)]
    for matrix in found[1:]:
        np.testing.assert_array_equal(matrix, found[0])


def test_no_descriptor_or_process_is_left_over(warm: Sandbox) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def children() -> list[str]:
        pid = warm._zygote._process.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()

    warm.run(PREVIOUS, PASSAGES)
    before = descriptors()
    for code in (PREVIOUS, bad("1/0"), bad("import os; os._exit(1)"), "def attention(p): 1/0"):
        warm.run(code, PASSAGES)
    assert descriptors() == before
    assert children() == []


def test_threads_take_turns(warm: Sandbox) -> None:
    found: dict[int, float] = {}

    def ask(k: int) -> None:
        code = f"def attention(p): return np.full((len(p), len(p)), {k})"
        found[k] = float(warm.run(code, PASSAGES[:1]).results[0].mean())

    threads = [threading.Thread(target=ask, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {k: k for k in range(6)}


def test_it_starts_again_after_its_process_was_killed() -> None:
    with Sandbox() as running:
        os.kill(running._zygote._process.pid, signal.SIGKILL)
        running._zygote._process.wait()
        assert kinds(running.run(PREVIOUS, PASSAGES).results) == ["ok"] * 4
        os.kill(running._zygote._process.pid, signal.SIGSTOP)
        running._zygote._socket.settimeout(0.2)
        with pytest.raises(RunError, match="did not answer"):
            running.run(PREVIOUS, PASSAGES)
        assert kinds(running.run(PREVIOUS, PASSAGES).results) == ["ok"] * 4


def test_its_processes_end_with_their_owner() -> None:
    script = """
import os, sys, threading, time
from headscribe.sandbox import Sandbox
from tests.passages import make
running = Sandbox()
code = "def attention(p):\\n    while True: pass"
threading.Thread(target=running.run, args=(code, [make("x")]), daemon=True).start()
pid = running._zygote._process.pid
while not (children := open(f"/proc/{pid}/task/{pid}/children").read().split()):
    time.sleep(0.01)
print(pid, *children, flush=True)
os._exit(0)
"""
    said = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=True,
    )
    deadline = time.monotonic() + 10
    for pid in said.stdout.split():
        while time.monotonic() < deadline and running_still(pid):
            time.sleep(0.02)
        assert not running_still(pid)


def running_still(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_it_is_in_force_here(warm: Sandbox) -> None:
    found = status()
    assert found.in_force
    assert {wall.name for wall in found.walls} == {
        "privileges",
        "landlock",
        "limits",
        "seccomp",
        "deadline",
    }


@pytest.mark.parametrize(
    "refuse, wall",
    [
        ("Call(444, 444)", "landlock"),
        ("Call(446, 446)", "landlock"),
        ("Call(317, 277)", "seccomp"),
        ("Call(302, 261)", "limits"),
        ("Call(126, 91)", "privileges"),
        ("Call(434, 434)", "the sandbox cannot fork a process"),
    ],
)
def test_it_fails_closed_where_the_kernel_refuses(warm: Sandbox, refuse: str, wall: str) -> None:
    script = f"""
import platform
from headscribe.core.errors import RunError
from headscribe.sandbox import Sandbox, status
from headscribe.sandbox.inside import seccomp, walls
from headscribe.sandbox.inside.seccomp import Call
# A filter that refuses one call and allows the rest: the verdicts change places.
seccomp.ALLOW, seccomp.REFUSE = seccomp.REFUSE, seccomp.ALLOW
walls._prctl(38, 1)
walls.install(seccomp.assemble(platform.machine(), [{refuse}]))
found = status()
assert not found.in_force, found
print(found.reason)
try:
    Sandbox()
except RunError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    reason, error = run.stdout.splitlines()
    assert reason.startswith(f"{wall}: ")
    assert "not permitted" in reason
    assert reason in error
    assert "--trust" in error


def test_other_systems_are_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox.sys, "platform", "darwin")
    monkeypatch.setattr(sandbox.platform, "system", lambda: "Darwin")
    assert "needs Linux with Landlock and seccomp, this is Darwin" in status().reason
    with pytest.raises(RunError, match=r"not in force.*--trust"):
        Sandbox()
    monkeypatch.undo()
    monkeypatch.setattr(sandbox.platform, "machine", lambda: "riscv64")
    assert "this machine is riscv64" in status().reason


def test_nothing_of_the_project_is_inside(warm: Sandbox) -> None:
    code = (
        "import sys\ndef attention(p):\n"
        "    raise ValueError(sorted(m for m in sys.modules if 'headscribe' in m or "
        "'jaxtyping' in m or 'torch' in m))"
    )
    names = warm.run(code, PASSAGES[:1]).first_failure.message
    assert "headscribe.sandbox.inside.view" in names
    assert "core" not in names
    assert "torch" not in names
    assert "jaxtyping" not in names


def test_an_interrupted_call_leaves_it_usable() -> None:
    with Sandbox() as running:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            running.run("def attention(p):\n    while True: pass", PASSAGES)
        timer.join()
        assert kinds(running.run(PREVIOUS, PASSAGES).results) == ["ok"] * 4


def test_a_caller_short_of_descriptors_gets_an_error_and_the_next_call_works() -> None:
    with Sandbox() as running:
        before = os.listdir("/proc/self/fd")
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        for more in range(1, 9):
            held = [os.dup(0) for _ in range(64)]
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(held) + 1, hard))
            for handle in held[:more]:
                os.close(handle)
            try:
                found = kinds(running.run(PREVIOUS, PASSAGES).results)
            except RunError as error:
                found = str(error)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
                for handle in held[more:]:
                    os.close(handle)
            assert found == ["ok"] * 4 or "descriptor" in found or "open files" in found
            assert kinds(running.run(PREVIOUS, PASSAGES).results) == ["ok"] * 4
        assert len(os.listdir("/proc/self/fd")) == len(before)
