"""The walls around a child: privileges, files, limits, system calls. Linux, no root needed.

Each function raises OSError where the kernel refuses; the caller must then not go on.
"""

import ctypes
import errno
import os
import platform
import resource
from typing import Any

from headscribe.sandbox.inside.seccomp import INSTRUCTION, allowed, assemble

LANDLOCK_CREATE, LANDLOCK_RESTRICT = 444, 446
"""System call numbers, the same on every machine."""

_CAPSET = {"x86_64": 126, "aarch64": 91}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SIGKILL = 9
_PDEATHSIG, _GET_DUMPABLE, _SET_DUMPABLE = 1, 3, 4
_NO_NEW_PRIVS, _GET_NO_NEW_PRIVS = 38, 39
_CAPABILITY_VERSION_3 = 0x20080522

_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_FILE_RIGHTS_NEWEST = 0xFFFF
_TCP_BIND_CONNECT, _SCOPE_UNIX_SIGNAL = 0b11, 0b11

_libc: Any = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None
if _libc is not None:
    _libc.syscall.restype = ctypes.c_long


def system_call(number: int, *arguments: Any) -> int:  # noqa: ANN401 - ctypes values, None for a null pointer
    """Make a system call.

    Raises:
        OSError: it failed.
    """
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def _prctl(option: int, value: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    result = _libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def drop_privileges(parent: int) -> None:
    """No capability, none to be had, not to be inspected; dies with `parent`, which forked it."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    system_call(_CAPSET[platform.machine()], header, nothing)
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_SET_DUMPABLE, 0)
    _prctl(_PDEATHSIG, _SIGKILL)
    if os.getppid() != parent:
        raise ProcessLookupError(errno.ESRCH, "the process that forked this one is gone")


def privileges_dropped() -> bool:
    """Whether `drop_privileges` is in force."""
    return _prctl(_GET_NO_NEW_PRIVS) == 1 and _prctl(_GET_DUMPABLE) == 0


def landlock_version() -> int:
    """The version of Landlock that the kernel offers, from 1.

    Raises:
        OSError: ENOSYS (Linux before 5.13), EOPNOTSUPP (switched off at boot).
    """
    return system_call(LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1))


def forbid_files() -> None:
    """No file can be opened, made or changed; where offered no TCP, no signal to the outside."""
    version = landlock_version()
    rights = _FILE_RIGHTS.get(version, _FILE_RIGHTS_NEWEST)
    fields = [rights]
    if version >= 4:
        fields.append(_TCP_BIND_CONNECT)
    if version >= 6:
        fields.append(_SCOPE_UNIX_SIGNAL)
    rules = (ctypes.c_uint64 * len(fields))(*fields)
    size = ctypes.c_size_t(ctypes.sizeof(rules))
    ruleset = system_call(LANDLOCK_CREATE, rules, size, ctypes.c_uint32(0))
    system_call(LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def limit(address_space: int, seconds: int) -> None:
    """Limits on memory (bytes of address space) and processor time; none for anything new.

    No further descriptor, no process, no byte of a file, no core dump, no locked memory.
    """
    for what, value in (
        (resource.RLIMIT_AS, address_space),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_MEMLOCK, 0),
        (resource.RLIMIT_NOFILE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(what, (value, value))
        except ValueError as error:  # how Python reports EPERM here
            raise PermissionError(errno.EPERM, str(error)) from error


def filter_calls(reply: int) -> None:
    """Allow the system calls of `seccomp.allowed`, for good."""
    install(assemble(platform.machine(), list(allowed(reply).values())))


def install(program: bytes) -> None:
    """Install a seccomp filter in this process; it can never be removed."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    loaded = Program(len(program) // INSTRUCTION.size, program)
    mode, flags = ctypes.c_uint(1), ctypes.c_uint(0)
    system_call(_SECCOMP[platform.machine()], mode, flags, ctypes.byref(loaded))


def raise_all(reply: int, parent: int, address_space: int, seconds: int) -> None:
    """Every wall, in the order in which the earlier ones do not hinder the later."""
    drop_privileges(parent)
    forbid_files()
    limit(address_space, seconds)
    filter_calls(reply)
