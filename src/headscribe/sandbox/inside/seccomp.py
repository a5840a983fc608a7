"""The system calls that a program may make, as a seccomp filter in classic BPF.

The list is what Python and NumPy need to compute in memory they have: memory without execution, the
clock, futexes of the own process, writing to the one pipe, ending. Whatever is not on it fails
with EPERM; a call in another architecture's numbering kills the process.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

INSTRUCTION = struct.Struct("<HBBI")
"""`struct sock_filter`: operation, jump if true, jump if false, constant."""

LOAD, EQUAL, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x45, 0x54, 0x06
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`; arguments are 8 bytes each, little-endian."""

ALLOW, KILL_PROCESS, REFUSE = 0x7FFF0000, 0x80000000, 0x00050001
"""Verdicts; `REFUSE` is SECCOMP_RET_ERRNO with EPERM."""

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH of the machines whose numbers are known."""

PROT_EXEC = 0x4
MAP_ANONYMOUS = 0x20
MAP_PLAIN = 0x02 | 0x10 | MAP_ANONYMOUS | 0x4000 | 0x20000
"""MAP_PRIVATE, _FIXED, _ANONYMOUS, _NORESERVE, _STACK."""
MADVICE = (4, 8, 14, 15)
"""MADV_DONTNEED, _FREE, _HUGEPAGE, _NOHUGEPAGE."""
FUTEX_PRIVATE_OPS = (128, 129, 137, 138, 393)
"""WAIT, WAKE, WAIT_BITSET, WAKE_BITSET, WAIT_BITSET by the wall clock; all process-private."""
CLOCKS = tuple(range(8))
"""CLOCK_REALTIME to CLOCK_BOOTTIME: no other process's, no device's."""


@dataclass(frozen=True, slots=True)
class Condition:
    """What the low 32 bits of an argument must be.

    Attributes:
        argument: which, from 0.
        without: none of these bits.
        having: all of these bits.
        among: one of these values; empty for any.
    """

    argument: int
    without: int = 0
    having: int = 0
    among: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """A system call that is allowed where all conditions hold; its number on each machine."""

    x86_64: int
    aarch64: int
    conditions: tuple[Condition, ...] = ()


def allowed(reply: int) -> dict[str, Call]:
    """The allow-list of a process whose only descriptor is `reply`."""
    return {
        "write": Call(1, 64, (Condition(0, among=(reply,)),)),
        "mmap": Call(
            9,
            222,
            (
                Condition(2, without=PROT_EXEC),
                Condition(3, without=~MAP_PLAIN & 0xFFFFFFFF, having=MAP_ANONYMOUS),
            ),
        ),
        "mprotect": Call(10, 226, (Condition(2, without=PROT_EXEC),)),
        "munmap": Call(11, 215),
        "mremap": Call(25, 216),
        "brk": Call(12, 214),
        "madvise": Call(28, 233, (Condition(2, among=MADVICE),)),
        "futex": Call(202, 98, (Condition(1, among=FUTEX_PRIVATE_OPS),)),
        "clock_gettime": Call(228, 113, (Condition(0, among=CLOCKS),)),
        "rt_sigreturn": Call(15, 139),
        "exit": Call(60, 93),
        "exit_group": Call(231, 94),
    }


def assemble(machine: str, calls: Sequence[Call]) -> bytes:
    """The filter that allows `calls` on `machine` (a key of `MACHINES`) and refuses the rest."""
    code = [
        _op(LOAD, ARCHITECTURE),
        _op(EQUAL, MACHINES[machine], 1, 0),
        _op(RETURN, KILL_PROCESS),
        _op(LOAD, NUMBER),
    ]
    for call in calls:
        body = [op for condition in call.conditions for op in _condition(condition)]
        body.append(_op(RETURN, ALLOW))
        code += [_op(EQUAL, getattr(call, machine), 0, len(body)), *body]
    code.append(_op(RETURN, REFUSE))
    return b"".join(code)


def _condition(condition: Condition) -> list[bytes]:
    """Go on if it holds, else refuse."""
    code = []
    load = _op(LOAD, ARGUMENTS + 8 * condition.argument)
    if condition.without:
        code += [load, _op(ANY_BIT, condition.without, 0, 1), _op(RETURN, REFUSE)]
    if condition.having:
        code += [load, _op(AND, condition.having), _op(EQUAL, condition.having, 1, 0)]
        code.append(_op(RETURN, REFUSE))
    if condition.among:
        code.append(load)
        for left, value in zip(range(len(condition.among), 0, -1), condition.among, strict=True):
            code.append(_op(EQUAL, value, left, 0))
        code.append(_op(RETURN, REFUSE))
    return code


def _op(operation: int, constant: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return INSTRUCTION.pack(operation, if_true, if_false, constant)
