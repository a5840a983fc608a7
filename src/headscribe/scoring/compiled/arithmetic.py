"""What the compiled loops share: how they are compiled, and a logarithm that they can vectorise.

A compiled function is kept on disk and found again as long as its own file is unchanged; it does
not notice changes of another file. What stands here is therefore put into its callers.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np

_F = TypeVar("_F", bound=Callable[..., Any])

FLAGS = {"contract", "nsz"}
"""Products and sums may be fused; nothing is reordered, so that a row's score does not depend on
where it stands."""


def compiled(function: _F) -> _F:
    """Compile for the types of the first call; other threads go on while it runs."""
    return _jit(function, FLAGS)


def reducing(function: _F) -> _F:
    """The same, and sums and maxima may be taken in any order; NaN may be overlooked in maxima."""
    return _jit(function, FLAGS | {"reassoc", "nnan"})


def _jit(function: _F, flags: set[str]) -> _F:
    try:
        return numba.njit(cache=True, nogil=True, fastmath=flags)(function)
    except RuntimeError:  # no folder to keep compiled code in
        return numba.njit(nogil=True, fastmath=flags)(function)


def inlined(function: _F) -> _F:
    """Compile into every caller."""
    return numba.njit(nogil=True, fastmath=FLAGS)(function)


# log2(1 + f) / f between sqrt(1/2) - 1 and sqrt(2) - 1, to 5e-8: a Chebyshev fit of degree 8.
_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = (
    np.float32(c)
    for c in (
        1.4426950216293335, -0.7213473320007324, 0.48091059923171997, -0.36070483922958374,
        0.2879183292388916, -0.23892034590244293, 0.21566985547542572, -0.20742103457450867,
        0.12614846229553223,
    )
)  # fmt: skip
_ROOT = np.int32(0x3F3504F3)
"""The bits of sqrt(1/2)."""
_MANTISSA = np.int32(23)
_ONE = np.float32(1)


@inlined
def log2(x: np.float32) -> np.float32:
    """The binary logarithm of a positive number, to 1e-7; of 0, a finite number."""
    bits = np.float32(x).view(np.int32)
    exponent = np.int32(np.int32(bits - _ROOT) >> _MANTISSA)
    f = np.int32(bits - np.int32(exponent << _MANTISSA)).view(np.float32) - _ONE
    p = _C8 * f + _C7
    p = p * f + _C6
    p = p * f + _C5
    p = p * f + _C4
    p = p * f + _C3
    p = p * f + _C2
    p = p * f + _C1
    p = p * f + _C0
    return np.float32(exponent) + f * p


# 2**f between 0 and 1, to 2e-7 of it: a Chebyshev fit of degree 6.
_E0, _E1, _E2, _E3, _E4, _E5, _E6 = (
    np.float32(c)
    for c in (
        1.0, 0.6931469440460205, 0.2402305006980896, 0.05548042804002762,
        0.009684580378234386, 0.0012387821916490793, 0.00021877505059819669,
    )
)  # fmt: skip
_LEAST, _MOST = np.float32(-126), np.float32(126)
_BIAS = np.int32(127)


@inlined
def exp2(x: np.float32) -> np.float32:
    """Two to the power of a number of at most 126, to 3e-7 of it; 0 below the power of -126."""
    bounded = min(max(x, _LEAST), _MOST)
    whole = np.floor(bounded)
    f = bounded - whole
    p = _E6 * f + _E5
    p = p * f + _E4
    p = p * f + _E3
    p = p * f + _E2
    p = p * f + _E1
    p = p * f + _E0
    power = np.int32(np.int32(np.int32(whole) + _BIAS) << _MANTISSA).view(np.float32)
    return power * p if x > _LEAST else np.float32(0)
