"""The warm parent: has imported NumPy, forks one child per passage, never looks at a program.

It receives a request and two pipes (job in, reply out), forks, hands back the child's pidfd, waits
for the end, tells how it came. Program and passage go through the pipe straight to the child, so
that nothing of them stays here for the next one. When its caller is gone it kills and ends.
"""

import gc
import importlib
import os
import random
import select
import signal
import socket
import sys
import warnings
from typing import NoReturn

import numpy as np

from headscribe.sandbox.inside import execute, view, walls, wire
from headscribe.sandbox.inside.failures import Failure
from headscribe.sandbox.inside.given import MODULES
from headscribe.sandbox.inside.probe import probe

REPLY = 3
"""The one descriptor of a child, write-only."""

LONGEST_REQUEST = 64


def main(control: str) -> None:
    """Serve requests from the socket of descriptor `control` until it is closed."""
    warm_up()
    with socket.socket(fileno=int(control)) as caller:
        caller.send(b"warm")
        while True:
            request, pipes, _, _ = socket.recv_fds(caller, LONGEST_REQUEST, 2)
            if not request:
                return
            serve(caller, request, pipes)


def warm_up() -> None:
    """Import all that a program may import, use what initialises itself, forget the way to more."""
    warnings.simplefilter("ignore")
    for name in (*MODULES, "encodings.ascii", "encodings.latin_1", "encodings.utf_16"):
        importlib.import_module(name)
    matrix = np.random.default_rng(0).random((4, 4))
    np.linalg.svd(np.einsum("ij,jk->ik", matrix, np.exp(matrix)))
    np.sort(np.unique(np.array(["a", "b"]))).tolist()
    repr(np.fft.fft(matrix))
    sys.path.clear()
    sys.stdin = sys.__stdin__ = None  # type: ignore[misc]
    gc.collect()
    gc.freeze()


def serve(caller: socket.socket, request: bytes, pipes: list[int]) -> None:
    """Fork a child for one request, hand its pidfd over, wait for its end."""
    with open("/proc/self/statm", "rb") as statm:
        size = int(statm.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    zygote, child = os.getpid(), -1
    try:
        child = os.fork()
        if not child:
            run_child(request, pipes, size, zygote)
        handle = os.pidfd_open(child)
    except OSError as error:
        if child > 0:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        caller.send(str(error).encode("ascii", "replace"))
        return
    finally:
        for pipe in pipes:
            os.close(pipe)
    try:
        socket.send_fds(caller, [wire.FORKED], [handle])
        status = wait(caller, handle)
        caller.send(wire.ENDED.pack(*status))
    except OSError:  # the caller is gone
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        raise SystemExit(0) from None
    finally:
        os.close(handle)


def wait(caller: socket.socket, handle: int) -> tuple[int, int]:
    """Wait until the child has ended; return `si_code` and `si_status`.

    Raises:
        BrokenPipeError: the caller closed its socket meanwhile.
    """
    events = select.poll()
    events.register(handle, select.POLLIN)
    events.register(caller, select.POLLIN)
    ready = [descriptor for descriptor, _ in events.poll()]
    if handle not in ready:
        raise BrokenPipeError
    ended = os.waitid(os.P_PIDFD, handle, os.WEXITED)
    if ended is None:
        raise BrokenPipeError
    return ended.si_code, ended.si_status


def run_child(request: bytes, pipes: list[int], size: int, zygote: int) -> NoReturn:
    """Read the job, keep nothing open but the reply, raise the walls, run the program."""
    try:
        is_probe, memory, seconds = wire.REQUEST.unpack(request)
        job = receive(pipes[0])
        os.close(pipes[0])
        if pipes[1] != REPLY:
            os.dup2(pipes[1], REPLY, inheritable=False)
        os.closerange(0, REPLY)
        os.closerange(REPLY + 1, os.sysconf("SC_OPEN_MAX"))
        limit = size + memory + len(job)
        if is_probe:
            probe(REPLY, zygote, limit, seconds)
        walls.raise_all(REPLY, zygote, limit, seconds)
        answer(job)
    except MemoryError:
        os._exit(wire.OUT_OF_MEMORY)
    finally:
        os._exit(wire.FAILED)


def answer(job: bytes) -> NoReturn:
    """Run the program on the passage and write the record of it."""
    send(wire.READY)
    np.random.seed(0)  # noqa: NPY002 - programs may use the old global generator
    random.seed(0)
    source, columns = wire.unpack_job(job)
    sys.stdout = sys.__stdout__ = execute.Discarded()  # type: ignore[misc, assignment]
    sys.stderr = sys.__stderr__ = execute.Discarded()  # type: ignore[misc, assignment]
    attention, passage = execute.load(source), view.Passage(columns)
    found = attention if isinstance(attention, Failure) else execute.call(attention, passage)
    send(wire.pack_reply(len(passage), found))
    os._exit(0)


def send(data: bytes) -> None:
    """Write all of `data` to the reply pipe."""
    left = memoryview(data)
    while left:
        left = left[os.write(REPLY, left) :]


def receive(pipe: int) -> bytes:
    """Read a job of `wire.pack_job` from a pipe.

    Raises:
        EOFError: the pipe ends before the job.
    """
    job = bytearray()
    size = wire.JOB.size
    while len(job) < size:
        part = os.read(pipe, min(size - len(job), 1 << 20))
        if not part:
            raise EOFError
        job += part
        if len(job) == wire.JOB.size:
            size += sum(wire.JOB.unpack(job))
    return bytes(job)
