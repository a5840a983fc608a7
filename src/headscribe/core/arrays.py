"""The glossary of array types. `T` tokens, `W` words, `L` layers, `H` heads, `P` patterns."""

from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

Attention: TypeAlias = Float[np.ndarray, "T T"]
"""A head's attention on one text, `A[query, key]`; every admissible row sums to 1."""

Matrix: TypeAlias = Float[np.ndarray, "_ _"]
"""A head's attention on one of several texts, whose lengths differ."""

HeadsAttention: TypeAlias = Float[np.ndarray, "H T T"]
"""The attention of several heads on one text."""

TokenFlags: TypeAlias = Bool[np.ndarray, " T"]
"""One truth value a token."""

TokenIndex: TypeAlias = Int[np.ndarray, " T"]
"""One integer a token."""

Spans: TypeAlias = Int[np.ndarray, "_ 2"]
"""Half-open character spans `[start, end)` into the text; `(0, 0)` where there is none."""

PairFlags: TypeAlias = Bool[np.ndarray, "T T"]
"""A truth value for each (query, key) pair."""
