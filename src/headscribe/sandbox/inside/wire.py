"""The bytes between the processes: requests, replies. Fixed layouts, JSON for passages."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscribe.sandbox.inside.failures import KINDS, MESSAGE_CHARACTERS, Failure, printable

REQUEST = struct.Struct("<?QI")
"""Caller to zygote, with the job's and the reply's pipe: a probe?, bytes, seconds of processor."""

ENDED = struct.Struct("<ii")
"""Zygote to caller when a child has ended: `si_code` and `si_status` of `waitid`."""

JOB = struct.Struct("<QQ")
"""Caller to child: bytes of source, bytes of passages (JSON), which follow."""

READY = b"walls up"
"""Child to caller: every wall stands. Nothing of the program was looked at before."""

RECORD = struct.Struct("<4sIIHH")
"""Child to caller, per passage: mark, index, tokens T, code, message bytes; then T*T float32 if
the code is 0, else the message."""

FAILED = 70
"""Exit status of a child that failed before the walls stood."""

OUT_OF_MEMORY = 71
"""Exit status of a child that had no memory left to write its reply."""

WALLS = ("privileges", "landlock", "limits", "seccomp")
"""What a probe tries, in this order; a fifth, `deadline`, is tried by its caller."""

MARK = b"HSr1"
MESSAGE_BYTES = 4 * MESSAGE_CHARACTERS


class BadReplyError(Exception):
    """The reply is not what this side of the wire writes: the program wrote it."""


@dataclass(frozen=True, slots=True)
class Header:
    """The fixed part of a reply: `body` bytes follow."""

    code: int
    body: int


def pack_job(source: str, passages: Sequence[Mapping[str, Any]]) -> bytes:
    """A program and its passages."""
    code = source.encode("utf-8", "surrogatepass")
    data = json.dumps(list(passages), separators=(",", ":")).encode("ascii")
    return b"".join((JOB.pack(len(code), len(data)), code, data))


def unpack_job(job: bytes) -> tuple[str, list[dict[str, Any]]]:
    """The inverse of `pack_job`."""
    size, _ = JOB.unpack_from(job)
    code, data = job[JOB.size : JOB.size + size], job[JOB.size + size :]
    return code.decode("utf-8", "surrogatepass"), json.loads(data)


def pack_reply(index: int, length: int, result: NDArray[np.float32] | Failure) -> bytes:
    """The record of passage `index` of `length` tokens."""
    if isinstance(result, Failure):
        message = result.message.encode("utf-8", "replace")[:MESSAGE_BYTES]
        code = 1 + KINDS.index(result.kind)
        return RECORD.pack(MARK, index, length, code, len(message)) + message
    return RECORD.pack(MARK, index, length, 0, 0) + result.astype("<f4").tobytes()


def unpack_header(header: bytes, index: int, length: int) -> Header:
    """What follows the header of passage `index` of `length` tokens.

    Raises:
        BadReplyError: the header is of another passage, or none.
    """
    mark, at, tokens, code, size = RECORD.unpack(header)
    if (mark, at, tokens) != (MARK, index, length) or code > len(KINDS) or size > MESSAGE_BYTES:
        raise BadReplyError("a reply that the sandbox did not write")
    return Header(code, size if code else 4 * length * length)


def unpack_body(header: Header, body: bytes, length: int) -> NDArray[np.float32] | Failure:
    """The matrix, or the failure, of a reply."""
    if header.code:
        return Failure(KINDS[header.code - 1], printable(body.decode("utf-8", "replace")))
    return np.frombuffer(body, "<f4").astype(np.float32).reshape(length, length)
