"""Every hostile program works outside the sandbox, fails inside, and leaves nothing behind."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from headscribe.sandbox import Failure, Limits, Sandbox
from headscribe.sandbox.encoding import columns
from tests.passages import make
from tests.unit.sandbox.hostile import CASES, CLEAN, LASTING, Hostile, Lasting

PASSAGE = make("The cat sat.", text_id="a")
EXPECTED = np.eye(len(PASSAGE)) + np.arange(len(PASSAGE))
ROOT = os.geteuid() == 0


@dataclass
class Target:
    """What hostile programs aim at."""

    folder: Path
    tcp: socket.socket
    udp: socket.socket
    unix: socket.socket

    def fill(self) -> None:
        for name in ("secret", "victim", "removed", "renamed"):
            (self.folder / f"{name}.txt").write_text("secret")
        (self.folder / "planted.py").write_text("x = 1")
        np.save(self.folder / "evil.npy", np.array([{"a": 1}], object), allow_pickle=True)

    def clear(self) -> None:
        for path in self.folder.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()

    def state(self) -> dict[str, tuple[int, int, int]]:
        return {
            path.name: (s.st_size, s.st_mtime_ns, s.st_mode)
            for path in self.folder.iterdir()
            for s in [path.lstat()]
        }

    def touched(self) -> bool:
        """Whether a connection or a packet came in."""
        came = False
        for listener in (self.tcp, self.unix, self.udp):
            try:
                listener.recv(1) if listener is self.udp else listener.accept()[0].close()
                came = True
            except BlockingIOError:
                pass
        return came

    def code(self, case: Hostile, parent: int, many: int) -> str:
        return case.code(
            folder=self.folder,
            tcp=self.tcp.getsockname()[1],
            udp=self.udp.getsockname()[1],
            unix=self.unix.getsockname(),
            parent=parent,
            many=many,
        )


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("target")
    home = tmp_path_factory.mktemp("sockets")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(home / "u"))
        unix.listen()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", 0))
            for listener in (tcp, udp, unix):
                listener.setblocking(False)
            yield Target(folder, tcp, udp, unix)


@pytest.fixture(scope="module")
def outside() -> Iterator[subprocess.Popen]:
    script = Path(__file__).with_name("outside.py")
    environment = os.environ | {"HEADSCRIBE_SECRET": "secret", "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        text=True,
        start_new_session=True,
    ) as process:
        yield process
        process.stdin.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    os.environ["HEADSCRIBE_SECRET"] = "secret"
    with Sandbox(Limits(passage_seconds=1.0, deaths=1, memory=128 * 2**20)) as running:
        yield running
    del os.environ["HEADSCRIBE_SECRET"]


def without_walls(outside: subprocess.Popen, **job: object) -> str:
    """How the programs of a job end outside the sandbox."""
    print(json.dumps(job), file=outside.stdin, flush=True)
    return json.loads(outside.stdout.readline())


def test_there_are_many() -> None:
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) >= 60


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_works_outside(case: Hostile, target: Target, outside: subprocess.Popen) -> None:
    """What fails without walls too would show nothing by failing within them."""
    if case.root and not ROOT:
        pytest.skip("only root could do it: run the tests as root to see it work outside")
    target.fill()
    job = {"codes": [target.code(case, outside.pid, 1)], "columns": columns(PASSAGE)}
    ended = without_walls(outside, **job, seconds=0.2 if case.outside == "endless" else 20)
    target.touched()
    target.clear()
    if case.offered and "refused" in ended:  # by the kernel, not for a mistake of its own
        return
    assert ended == case.outside


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_contained_inside(case: Hostile, target: Target, sandbox: Sandbox) -> None:
    target.touched()
    target.clear()
    target.fill()

    before, zygote = target.state(), sandbox._zygote._process.pid
    outcome = sandbox.run(target.code(case, zygote, 10**9), [PASSAGE])
    (result,) = outcome.results
    assert isinstance(result, Failure), "the attack worked"
    assert result.kind in case.kinds, result
    assert target.state() == before
    assert not target.touched()
    assert sandbox._zygote._process.pid == zygote
    (clean,) = sandbox.run(CLEAN, [PASSAGE]).results
    np.testing.assert_array_equal(clean, EXPECTED.astype(np.float32))
    target.clear()


@pytest.mark.parametrize("case", LASTING, ids=lambda case: case.name)
def test_nothing_lasts(case: Lasting, outside: subprocess.Popen, sandbox: Sandbox):
    job = {"columns": columns(PASSAGE), "expected": EXPECTED.tolist(), "seconds": 20}
    assert without_walls(outside, codes=[case.then], **job) == "matrix"
    assert without_walls(outside, codes=[case.code, case.then], **job) != "matrix"

    sandbox.run(case.code, [PASSAGE])
    (result,) = sandbox.run(case.then, [PASSAGE]).results
    np.testing.assert_array_equal(result, EXPECTED.astype(np.float32))
