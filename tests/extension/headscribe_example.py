"""A package of somebody else: it adds one of everything by its entry points alone."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

import headscribe as hs
from headscribe.discovery.clients import Price, Reply
from headscribe.patterns.relational import relation_pattern
from headscribe.results.kinds import Kind
from headscribe.results.run import Run
from headscribe.text.passages import Words


def register(registry):
    """A pattern, and a baseline that every gain is compared with."""
    registry.register(
        relation_pattern(
            "two_back", "Every token attends to the one two places before it.", "distance == -2",
            "the example", "positional", "custom",
        )
    )  # fmt: skip
    registry.register(
        relation_pattern(
            "second_token", "Every token attends to the second one.",
            "otherwise(key.index == 1, first(key.index >= 0))", "the example", "positional",
            "baseline",
        )
    )  # fmt: skip


def register_metrics():
    """A metric: the attention off the keys that a pattern names."""
    from headscribe.core.metrics import over, register_metric

    @register_metric("outside", "attention off the predicted keys", higher_is_better=False)
    def outside(sums):
        return over(sums.row_sum - sums.mass, sums.weight)


@dataclass(frozen=True)
class Blanks:
    """Words are what lies between blanks."""

    name: str = "blanks"
    fingerprint: str = "blanks-1"
    provides: frozenset[str] = frozenset()
    cacheable: bool = False
    notes: tuple[str, ...] = ()

    def annotate(self, texts):
        """The words of every text."""
        for text in texts:
            forms = text.text.split(" ")
            ends = np.cumsum([len(form) + 1 for form in forms]) - 1
            starts = ends - [len(form) for form in forms]
            yield Words(tuple(forms), np.stack([starts, ends], axis=1).astype(np.int64))


WORDS = Blanks()


@dataclass
class Parrot:
    """A language model that always says the same; `parrot:WORDS` on the command line."""

    words: str
    max_output_tokens: int = 10
    price: Price | None = Price(0.0, 0.0)  # noqa: RUF009

    @property
    def name(self):
        """For the record."""
        return f"parrot:{self.words}"

    def ask(self, prompt):
        """The words."""
        return Reply(self.words)

    def stop(self):
        """Nothing waits."""


class Lengths(hs.View):
    """A run of another kind: how long texts are."""

    @property
    def longest(self):
        """Letters of the longest text."""
        return max(self.run.table("lengths")["letters"].to_pylist())


def about(run):
    """The part of a report."""
    return {"longest": Lengths(run).longest}


PARTS = {"lengths": about}
LENGTHS = Kind(
    "lengths", view="headscribe_example:Lengths", telling="lengths", subject="lengths",
    parts=("headscribe_example:PARTS",),
)  # fmt: skip


def measured(texts, out):
    """Make such a run."""
    run = Run.create(out, "lengths", {"texts": len(texts)}, model={"name": "no model"})
    run.write_table("lengths", pa.table({"letters": [len(text) for text in texts]}))
    run.finish()
    return Lengths(run)
