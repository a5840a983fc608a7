"""The filter, run by a small obvious interpreter, against the list of what is allowed."""

import platform
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headscribe.sandbox.inside.seccomp import (
    ALLOW,
    INSTRUCTION,
    KILL_PROCESS,
    MACHINES,
    REFUSE,
    allowed,
    assemble,
)

REPLY = 3
FILTERS = {machine: assemble(machine, list(allowed(REPLY).values())) for machine in MACHINES}


def interpret(program: bytes, number: int, machine: int, arguments: list[int]) -> int:
    """Classic BPF over `struct seccomp_data`, by the book."""
    data = number.to_bytes(4, "little") + machine.to_bytes(4, "little") + bytes(8)
    data += b"".join(a.to_bytes(8, "little") for a in arguments)
    code = list(INSTRUCTION.iter_unpack(program))
    at, value = 0, 0
    while True:
        operation, if_true, if_false, constant = code[at]
        at += 1
        match operation:
            case 0x20:
                value = int.from_bytes(data[constant : constant + 4], "little")
            case 0x54:
                value &= constant
            case 0x15:
                at += if_true if value == constant else if_false
            case 0x45:
                at += if_true if value & constant else if_false
            case 0x06:
                return constant
            case _:
                raise AssertionError(operation)


def permitted(name: str | None, arguments: list[int]) -> bool:
    """What the filter should say, in words."""
    low = [a & 0xFFFFFFFF for a in arguments]
    match name:
        case None:
            return False
        case "write":
            return low[0] == REPLY
        case "mmap":
            anonymous_private = low[3] & 0x21 == 0x20 and low[3] & ~0x24032 == 0
            return not low[2] & 4 and anonymous_private
        case "mprotect":
            return not low[2] & 4
        case "madvise":
            return low[2] in (4, 8, 14, 15)
        case "futex":
            return low[1] in (128, 129, 137, 138, 128 + 9 + 256)
        case "clock_gettime":
            return low[0] < 8
        case _:
            return True


ARGUMENT = st.one_of(
    st.integers(0, 2**64 - 1),
    st.integers(0, 64),
    st.sampled_from([0x22, 0x32, 0x21, 0x20022, 0x4022, 0x100022, 128, 129, 137, 393, 1, 2, 3, 7]),
)


@pytest.mark.parametrize("machine", MACHINES)
@settings(max_examples=60, deadline=None)
@given(arguments=st.lists(ARGUMENT, min_size=6, max_size=6))
def test_filter_says_what_it_should(machine: str, arguments: list[int]) -> None:
    names = {getattr(call, machine): name for name, call in allowed(REPLY).items()}
    for number in (*range(600), 2**30 + 1, 2**32 - 1):
        verdict = interpret(FILTERS[machine], number, MACHINES[machine], arguments)
        expected = ALLOW if permitted(names.get(number), arguments) else REFUSE
        assert verdict == expected, (number, names.get(number))


@pytest.mark.parametrize("machine", MACHINES)
def test_other_architectures_are_killed(machine: str) -> None:
    for other in (0x40000003, 0x40000028, 0, *MACHINES.values()):
        if other != MACHINES[machine]:
            assert interpret(FILTERS[machine], 1, other, [REPLY] * 6) == KILL_PROCESS


@pytest.mark.parametrize(
    "machine, header",
    [
        ("x86_64", "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
        ("aarch64", "/usr/include/asm-generic/unistd.h"),
    ],
)
def test_numbers_are_those_of_the_kernel_headers(machine: str, header: str) -> None:
    if not Path(header).is_file():
        pytest.skip(f"needs the kernel's headers in {header}; this is {platform.machine()}")
    text = Path(header).read_text()
    numbers = {n: int(v) for n, v in re.findall(r"define __NR(?:3264)?_(\w+)\s+(\d+)", text)}
    for name, call in allowed(REPLY).items():
        assert getattr(call, machine) == numbers[name]
