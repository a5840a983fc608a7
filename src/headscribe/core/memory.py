"""Memory that is free but not given back to the system."""

import ctypes
import sys


def give_back() -> None:
    """Let the C library give freed memory back to the system, where it can (glibc).

    Once an array of some size was freed, glibc takes later ones of up to that size (at most 32 MB)
    from its heap, and what is freed in the middle of a heap stays resident: 100 MB and more after
    the plan of a long text. Elsewhere nothing happens.
    """
    if sys.platform != "linux":
        return
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
