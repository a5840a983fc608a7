"""Try the walls: a child that raises them one by one and attempts what each must stop."""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
from collections.abc import Callable
from typing import Any

from headscribe.sandbox.inside import walls, wire

_PTRACE = {"x86_64": 101, "aarch64": 117}


def probe(reply: int, parent: int, address_space: int, seconds: int) -> None:
    """Raise and try every wall, then write what was found (JSON) and loop until killed.

    The findings map a wall to "" where it holds, else to what is wrong; the walls after one that
    could not be raised are missing.
    """
    found: dict[str, str] = {}
    trials: tuple[Callable[[], str], ...] = (
        lambda: _privileges(parent),
        _landlock,
        lambda: _limits(address_space, seconds),
        lambda: _seccomp(reply, parent),
    )
    for wall, trial in zip(wire.WALLS, trials, strict=True):
        try:
            found[wall] = trial()
        except OSError as error:
            found[wall] = f"the kernel refuses it: {error}"
        if found[wall]:
            break
    os.write(reply, json.dumps(found).encode("ascii"))
    while True:
        pass


def _privileges(parent: int) -> str:
    walls.drop_privileges(parent)
    return "" if walls.privileges_dropped() else "privileges can be won back"


def _landlock() -> str:
    os.close(os.open("/", os.O_RDONLY))
    walls.forbid_files()
    return _refused(errno.EACCES, {"open": lambda: os.open("/", os.O_RDONLY)})


def _limits(address_space: int, seconds: int) -> str:
    walls.limit(address_space, seconds)
    return _refused(errno.EMFILE, {"pipe": os.pipe}) or _refused(
        errno.ENOMEM, {"mmap": lambda: mmap.mmap(-1, address_space)}
    )


def _seccomp(reply: int, parent: int) -> str:
    machine = os.uname().machine
    walls.filter_calls(reply)
    trials: dict[str, Callable[[], Any]] = {
        "open": lambda: os.open("/", os.O_RDONLY),
        "fork": os.fork,
        "exec": lambda: os.execv("/bin/true", ["true"]),
        "kill": lambda: os.kill(parent, 0),
        "socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
        "unix socket": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM),
        "executable memory": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC),
        "shared memory": lambda: mmap.mmap(-1, 4096, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS),
        "ptrace": lambda: walls.system_call(_PTRACE[machine], 16, ctypes.c_int(parent)),
        "signal handler": lambda: signal.signal(signal.SIGXCPU, signal.SIG_IGN),
        "io_uring": lambda: walls.system_call(425, 1, None),
    }
    return _refused(errno.EPERM, trials)


def _refused(expected: int, trials: dict[str, Callable[[], Any]]) -> str:
    """Empty if every trial fails with the errno `expected`, else which did not."""
    for name, trial in trials.items():
        try:
            trial()
        except OSError as error:
            if error.errno != expected:
                name_of = errno.errorcode.get(error.errno or 0, "?")
                return f"{name} gave {name_of} instead of {errno.errorcode[expected]}"
        else:
            return f"{name} was allowed"
    return ""
