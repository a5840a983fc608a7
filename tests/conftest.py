"""Fixtures of all tests, and the check of every array's shape.

Every module of Headscribe is imported under a hook (`support/shape_checker.py`): what an annotation
says of a shape, a dtype or a type is checked at every call. Left out are the compiled loops, which
Numba reads as they stand, and what runs inside the sandbox, which starts without site packages.
"""

import fcntl
import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import shape_checker

import headscribe

_UNCHECKED = (
    "headscribe.behaviours.compiled",
    "headscribe.scoring.compiled",
    "headscribe.sandbox.inside",
)


def _checked() -> list[str]:
    """The modules under the hook."""
    root = Path(headscribe.__file__).parent
    names = []
    for path in sorted(root.rglob("*.py")):
        parts = ("headscribe", *path.relative_to(root).with_suffix("").parts)
        name = ".".join(parts)
        if parts[-1] not in ("__init__", "__main__") and not name.startswith(_UNCHECKED):
            names.append(name)
    return names


shape_checker.install(_checked())


def pytest_configure() -> None:
    """Let commands that the tests start be interrupted, also where a shell started us ignoring it.

    What is ignored is inherited: in the background of a shell Ctrl-C would never arrive.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _runs_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Runs that are given no folder do not fill the checkout."""
    from headscribe.results import run

    run.RUNS = tmp_path_factory.mktemp("kept") / "runs"


@pytest.fixture(autouse=True)
def _patterns_of_the_test() -> Iterator[None]:
    """What a test registers is gone after it: the next one meets the catalogue alone."""
    from headscribe.patterns.registry import registry

    made = registry()
    before = dict(made._patterns), set(made._defined)
    yield
    made._patterns, made._defined = before


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`once(name, make)`: a folder that `make` fills, made once for all processes of the tests."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def folder(name: str, make: Callable[[Path], object]) -> Path:
        made = shared / name
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                make(shared / f"{name}.unfinished")
                (shared / f"{name}.unfinished").rename(made)
        return made

    return folder


@pytest.fixture(scope="session")
def story_fit(once: Callable[..., Path]) -> Path:
    """A small fit of the story model, to read."""
    import headscribe as hs

    texts = hs.corpus("bundled:samples", 20)
    few = {"terms": 1, "max_tokens": 12, "annotator": "plain"}
    return once("story_fit", lambda out: hs.fit("bundled:stories", texts, **few, out=out))


@pytest.fixture(scope="session")
def stories() -> Path:
    """The folder of the bundled story model: small, trained, and in every clone."""
    from headscribe.core.assets import asset

    return asset("stories")


@pytest.fixture(scope="session")
def story_lines() -> list[str]:
    """The 45 bundled stories, a line of JSON each."""
    from headscribe.core.assets import asset

    return (asset("samples") / "stories.jsonl").read_text(encoding="utf-8").splitlines(True)


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve questions with four choices in the fields of MMLU, the right one at every place."""
    rows = [
        {
            "question": f"What is {k + 3} plus 4?",
            "subject": "arithmetic",
            "choices": [str(k + 7 - k % 4 + j) for j in range(4)],
            "answer": k % 4,
        }
        for k in range(12)
    ]
    path = tmp_path_factory.mktemp("sums") / "sums.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The recorded data beside the checkout; tests that need it skip where it is absent.

    Only for figures that others published of these data: at most three tests. Everything else is
    tested on what is in every clone, such as `stories` and `tests/data`.
    """
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recorded data in {folder}")
    return folder
