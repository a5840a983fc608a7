"""Heads drawn around formulas that are known, on made-up texts."""

import numpy as np
import pytest

from headscribe.core.heads import HeadId
from headscribe.core.visibility import FULL
from headscribe.discovery.material import gather
from headscribe.discovery.study import study_heads
from headscribe.fitting.formula import Formula, Term
from headscribe.fitting.selection import Budget
from headscribe.patterns.registry import registry
from tests.unit.fitting.passages import drawn, passage

HEADS = (HeadId(0, 0), HeadId(0, 1))

LINK = "key.head == query.head and distance != 0"

POOL = ("key.is_special", "distance == -1", "distance == 1", LINK)

SECRET = f'query.dep in {{"case", "det"}} and {LINK}'
"""What the second head does: neither in the pool nor among what a fit can grow."""

FORMULAS = (
    Formula("previous", (Term("distance == -1", 4.0), Term("key.is_special", 1.0))),
    Formula("secret", (Term(SECRET, 6.0), Term("key.is_special", 1.0))),
)

BUDGET = Budget(terms=3, extra=1, grown=0)


def items(texts=100, visibility=FULL, formulas=FORMULAS):
    rng = np.random.default_rng(5)
    for seed in range(texts):
        one = passage(seed)
        attention = np.stack([drawn(f, one, visibility, rng, 60.0) for f in formulas])
        yield one, attention.astype(np.float32), visibility


def made(heads=HEADS, visibility=FULL, formulas=FORMULAS, **changes):
    options = {"model": "made-up", "look_ahead": True, "pool": POOL} | changes
    patterns = registry().select(["previous_token", "next_token"])
    return gather(
        lambda: items(visibility=visibility, formulas=formulas),
        HEADS,
        heads,
        patterns=patterns,
        **options,
    )


@pytest.fixture(scope="session")
def material():
    return made()


@pytest.fixture(scope="session")
def studies(material):
    return study_heads(material, BUDGET)
