"""The name of an attention head."""

import re
from typing import NamedTuple, Self

from headscribe.core.errors import UsageError

_SHORT = re.compile(r"(\d{1,5})\.(\d{1,5})")
_PROSE = re.compile(r"[Ll](\d{1,5})[Hh](\d{1,5})")


class HeadId(NamedTuple):
    """One attention head: `layer` and `head`, both counted from 0.

    Written `7.10` in tables and on the command line, `L7H10` in prose.
    """

    layer: int
    head: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `7.10` or `L7H10`.

        Raises:
            UsageError: `text` is neither.
        """
        match = _SHORT.fullmatch(text.strip()) or _PROSE.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"expected a head as LAYER.HEAD such as 7.10, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    @property
    def prose(self) -> str:
        """The name in running text, `L7H10`."""
        return f"L{self.layer}H{self.head}"

    def __str__(self) -> str:
        return f"{self.layer}.{self.head}"
