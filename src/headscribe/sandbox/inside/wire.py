"""The bytes between the processes: requests, replies. Fixed layouts, JSON for passages."""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headscribe.sandbox.inside.failures import KINDS, MESSAGE_CHARACTERS, Failure

REQUEST = struct.Struct("<?QI")
"""Caller to zygote, with the job's and the reply's pipe: a probe?, bytes, seconds of processor."""

FORKED = b"forked"
"""Zygote to caller, with the child's pidfd."""

ENDED = struct.Struct("<ii")
"""Zygote to caller when a child has ended: `si_code` and `si_status` of `waitid`."""

JOB = struct.Struct("<QQ")
"""Caller to child: bytes of source, bytes of the passage (JSON), which follow."""

READY = b"walls up"
"""Child to caller: every wall stands. Nothing of the program was looked at before."""

RECORD = struct.Struct("<4sIHH")
"""Child to caller: mark, tokens T, code, message bytes; then T*T float32 if the code is 0, else the
message."""

FAILED = 70
"""Exit status of a child that failed before the walls stood."""

OUT_OF_MEMORY = 71
"""Exit status of a child that had no memory left to write its reply."""

WALLS = ("privileges", "landlock", "limits", "seccomp")
"""What a probe tries, in this order; a fifth, `deadline`, is tried by its caller."""

MARK = b"HSr2"
MESSAGE_BYTES = 4 * MESSAGE_CHARACTERS


class BadReplyError(Exception):
    """The reply is not what this side of the wire writes: the program wrote it."""


def pack_job(source: str, passage: Mapping[str, Any]) -> bytes:
    """A program and a passage."""
    code = source.encode("utf-8", "surrogatepass")
    data = json.dumps(passage, separators=(",", ":")).encode("ascii")
    return b"".join((JOB.pack(len(code), len(data)), code, data))


def unpack_job(job: bytes) -> tuple[str, dict[str, Any]]:
    """The inverse of `pack_job`."""
    size, _ = JOB.unpack_from(job)
    code, data = job[JOB.size : JOB.size + size], job[JOB.size + size :]
    return code.decode("utf-8", "surrogatepass"), json.loads(data)


def pack_reply(length: int, result: NDArray[np.float32] | Failure) -> bytes:
    """The record of a passage of `length` tokens."""
    if isinstance(result, Failure):
        message = result.message.encode("utf-8", "replace")[:MESSAGE_BYTES]
        code = 1 + KINDS.index(result.kind)
        return RECORD.pack(MARK, length, code, len(message)) + message
    return RECORD.pack(MARK, length, 0, 0) + result.astype("<f4").tobytes()


def read_reply(read: Callable[[int], bytes], length: int) -> NDArray[np.float32] | Failure:
    """The matrix, or the failure, of a passage of `length` tokens.

    Args:
        read: gives so many bytes of the reply.

    Raises:
        BadReplyError: it is no reply.
    """
    mark, tokens, code, size = RECORD.unpack(read(RECORD.size))
    if (mark, tokens) != (MARK, length) or code > len(KINDS) or size > MESSAGE_BYTES:
        raise BadReplyError("a reply that the sandbox did not write")
    if code:
        return Failure(KINDS[code - 1], read(size).decode("utf-8", "replace"))
    body = read(4 * length * length)
    return np.frombuffer(body, "<f4").astype(np.float32).reshape(length, length)
