"""The name of an attention head."""

import re
from collections.abc import Iterable
from itertools import product
from typing import NamedTuple

from headscribe.core.errors import UsageError

_NUMBER = r"(\d{1,5})"
_FORMS = tuple(
    re.compile(form.replace("N", _NUMBER))
    for form in (r"N\.N", r"[Ll]N[Hh]N", r"\(\s*N\s*,\s*N\s*\)")
)


class HeadId(NamedTuple):
    """One attention head: `layer` and `head`, both counted from 0.

    Written `7.10` in tables and on the command line, `L7H10` in prose.
    """

    layer: int
    head: int

    @classmethod
    def of(cls, head: object) -> "HeadId":
        """A head as people write it: `"7.10"`, `"L7H10"`, `(7, 10)`, or a `HeadId`.

        >>> HeadId.of("L7H10") == HeadId.of("7.10") == HeadId.of((7, 10)) == HeadId(7, 10)
        True

        Raises:
            UsageError: it is none of these.
        """
        if isinstance(head, str):
            return cls.parse(head)
        pair = tuple(head) if isinstance(head, (tuple, list)) else ()
        # A bool is an int, and NumPy's integers are not: ask for what can be an index.
        if len(pair) == 2 and all(hasattr(n, "__index__") and n >= 0 for n in pair):
            return cls(int(pair[0]), int(pair[1]))
        raise UsageError(f"expected a head such as 7.10, L7H10 or (7, 10), got {head!r}")

    @classmethod
    def parse(cls, text: str) -> "HeadId":
        """Read `7.10`, `L7H10` or `(7, 10)`.

        Raises:
            UsageError: `text` is none of these.
        """
        for form in _FORMS:
            if match := form.fullmatch(text.strip()):
                return cls(int(match[1]), int(match[2]))
        raise UsageError(f"expected a head such as 7.10, L7H10 or (7, 10), got {text!r}")

    @property
    def prose(self) -> str:
        """The name in running text, `L7H10`."""
        return f"L{self.layer}H{self.head}"

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"


def every_head(layers: int, heads: int) -> list[HeadId]:
    """All heads of so many layers of so many heads, in order."""
    return [HeadId(*pair) for pair in product(range(layers), range(heads))]


def absent(head: HeadId, known: Iterable[tuple[int, int]], where: object) -> UsageError:
    """The error that a head is not there, with those that are.

    >>> print(absent(HeadId(9, 0), every_head(6, 4), "bundled:stories"))
    no head 9.0 in bundled:stories: it has 6 layers of 4 heads, 0.0 to 5.3
    >>> print(absent(HeadId(9, 0), [(0, 1), (2, 3)], "the fit"))
    no head 9.0 in the fit: it has 0.1, 2.3
    """
    heads = sorted({HeadId(*pair) for pair in known})
    listed = ", ".join(map(str, heads[:8])) + ", ..." * (len(heads) > 8) or "none"
    if heads:
        layers, width = heads[-1].layer + 1, heads[-1].head + 1
        if heads == every_head(layers, width):
            listed = f"{layers} layers of {width} heads, {heads[0]} to {heads[-1]}"
    return UsageError(f"no head {head} in {where}: it has {listed}")
