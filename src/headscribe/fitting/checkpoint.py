"""What a killed fit goes on from: the formulas of a finished stage, as JSON keeps them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from headscribe.core.errors import RunError
from headscribe.fitting.growth import Compound
from headscribe.fitting.stages import Fitted


def packed(found: Sequence[Fitted]) -> list[Any]:
    """Formulas for `Run.stage`; weights in full, so that an interrupted fit ends the same."""
    return [
        {
            "terms": [{"gate": term.gate, "sets": term.sets} for term in one.terms],
            "weights": one.weights.tolist(),
        }
        for one in found
    ]


def unpacked(kept: Any) -> list[Fitted]:  # noqa: ANN401
    """The formulas again.

    Raises:
        RunError: they are damaged.
    """
    try:
        return [_read(one) for one in kept]
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"expected the formulas of a finished stage, got {error}") from error


def _read(stored: dict[str, Any]) -> Fitted:
    terms = tuple(
        Compound(
            str(term["gate"]),
            tuple((str(name), tuple(values)) for name, values in term["sets"]),
        )
        for term in stored["terms"]
    )
    return Fitted(terms, np.array(stored["weights"], np.float64))
