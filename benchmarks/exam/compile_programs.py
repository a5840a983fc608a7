"""Compiles RASP programs of our own to transformers and keeps what their heads attend to.

Needs the package `tracr-pypi`, which brings JAX, in an environment of its own:

    python -m venv ../tracr && ../tracr/bin/pip install tracr-pypi
    ../tracr/bin/python benchmarks/exam/compile_programs.py src/headscribe/exam

Every selector stands beside the relation that says the same. Which head of the compiled model came
of which selector is found by comparing what it attends to with what RASP itself says of the
selector, on every text: the relations are not looked at. Written are `compiled.npz`, with the
attention of every head in units of 1/250, and `compiled.json`, with texts and relations.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from tracr.compiler import compiling
from tracr.rasp import rasp

LENGTHS, TEXTS = (6, 8, 10), 64
LONGEST = max(LENGTHS)
LETTERS, DIGITS = list("abcde"), [str(digit) for digit in range(10)]
WORDS = ["a", "an", "to", "cat", "dog", "bird", "fish", "horse", "mouse"]
MARKS = [*"abc", ",", "(", ")"]
TRUE = rasp.Comparison.TRUE
UNIT = 250
Test = Callable[[Any, Any], bool]

tokens, indices = rasp.tokens, rasp.indices
digits = rasp.Map(int, tokens)


def same(key: object, query: object) -> bool:
    """Where there is no token, as before the first, nothing is selected."""
    return key is not None and key == query


def letters_of(draw: np.random.Generator, length: int) -> list[str]:
    return draw.choice(LETTERS, length).tolist()


def digits_of(draw: np.random.Generator, length: int) -> list[str]:
    return draw.choice(DIGITS, length).tolist()


def different(draw: np.random.Generator, length: int) -> list[str]:
    return draw.permutation(DIGITS)[:length].tolist()


def words_of(draw: np.random.Generator, length: int) -> list[str]:
    return draw.choice(WORDS, length).tolist()


def marks_of(draw: np.random.Generator, length: int) -> list[str]:
    return draw.choice(MARKS, length).tolist()


@dataclass
class Program:
    """A RASP program while it is written: its selectors with the relations that they are."""

    draw: Callable[[np.random.Generator, int], list[str]] = letters_of
    causal: bool = False
    selectors: list[tuple[rasp.Selector, str, bool]] = field(default_factory=list)

    def fetch(
        self, relation: str, keys: rasp.SOp, queries: rasp.SOp, test: Test,
        values: rasp.SOp = tokens, default: int | None = None,
    ) -> rasp.SOp:  # fmt: skip
        """The mean of the values that are selected; a row that selects none rests on the start."""
        selector = rasp.Select(keys, queries, test)
        self.selectors.append((selector, relation, False))
        return rasp.Aggregate(selector, values, default)

    def count(self, relation: str, keys: rasp.SOp, queries: rasp.SOp, test: Test) -> rasp.SOp:
        """How many are selected; the head always reads the start too."""
        selector = rasp.Select(keys, queries, test)
        self.selectors.append((selector, relation, True))
        return rasp.SelectorWidth(selector)

    def shift(self, by: int) -> rasp.SOp:
        return self.fetch(f"distance == {by}", indices, indices, lambda k, q: k - q == by)

    def length(self) -> rasp.SOp:
        return self.count("not key.is_special", tokens, tokens, TRUE)


Build = Callable[[Program], rasp.SOp]
PROGRAMS: dict[str, tuple[dict[str, Any], Build]] = {}


def program(**options: Any) -> Callable[[Build], Build]:  # noqa: ANN401
    """Add a program; the options are those of `Program`."""

    def add(build: Build) -> Build:
        PROGRAMS[build.__name__] = (options, build)
        return build

    return add


def simple(
    name: str, relation: str, keys: rasp.SOp, queries: rasp.SOp, test: Test, *,
    count: bool = False, **options: Any,  # noqa: ANN401
) -> None:  # fmt: skip
    """A program of one head."""

    def build(p: Program) -> rasp.SOp:
        if count:
            return p.count(relation, keys, queries, test)
        return p.fetch(relation, keys, queries, test, tokens if keys is indices else keys)

    PROGRAMS[name] = (options, build)


# --- places ------------------------------------------------------------------------------------
for step, word in ((-1, "right"), (1, "left"), (-2, "two_right"), (3, "three_left"), (0, "copy")):
    simple(f"shift_{word}", f"distance == {step}", indices, indices,
           lambda key, query, step=step: key - query == step)  # fmt: skip
simple("neighbours", "abs(distance) == 1", indices, indices, lambda k, q: abs(k - q) == 1)
simple("window_of_three", "abs(distance) <= 1", indices, indices, lambda k, q: abs(k - q) <= 1)
simple("window_of_five", "abs(distance) <= 2", indices, indices, lambda k, q: abs(k - q) <= 2)
simple("far_away", "abs(distance) >= 3", indices, indices, lambda k, q: abs(k - q) >= 3)
simple("so_far", "distance <= 0", indices, indices, lambda k, q: k <= q)
simple("from_here", "distance >= 0", indices, indices, lambda k, q: k >= q)
simple("before", "distance < 0", indices, indices, lambda k, q: k < q)
simple("after", "distance > 0", indices, indices, lambda k, q: k > q)
simple("first_token", "key.index == 1", indices, indices, lambda k, q: k == 0)
simple("third_token", "key.index == 3", indices, indices, lambda k, q: k == 2)


@program()
def reverse(p: Program) -> rasp.SOp:
    mirror = p.length() - indices - 1
    return p.fetch("key.from_end == query.index - 1", indices, mirror, same)


@program()
def last_token(p: Program) -> rasp.SOp:
    return p.fetch("key.from_end == 0", indices, p.length() - 1, same)


@program()
def last_but_one(p: Program) -> rasp.SOp:
    return p.fetch("key.from_end == 1", indices, p.length() - 2, same)


# --- sameness -----------------------------------------------------------------------------------
simple("histogram", "key.id == query.id", tokens, tokens, same, count=True)
simple("others", "key.id != query.id", tokens, tokens, rasp.Comparison.NEQ, count=True)
simple("causal_histogram", "key.id == query.id", tokens, tokens, same, count=True, causal=True)


def earlier(p: Program) -> rasp.SOp:
    here = rasp.SequenceMap(lambda t, i: (t, i), tokens, indices)
    return p.count("key.id == query.id and distance < 0", here, here,
                   lambda k, q: k[0] == q[0] and k[1] < q[1])  # fmt: skip


def later(p: Program) -> rasp.SOp:
    here = rasp.SequenceMap(lambda t, i: (t, i), tokens, indices)
    return p.count("key.id == query.id and distance > 0", here, here,
                   lambda k, q: k[0] == q[0] and k[1] > q[1])  # fmt: skip


@program()
def seen_before(p: Program) -> rasp.SOp:
    return earlier(p) > 0


@program()
def first_occurrence(p: Program) -> rasp.SOp:
    opens = rasp.SequenceMap(lambda t, n: t if n == 0 else "-", tokens, earlier(p))
    return p.fetch("first(key.id == query.id)", opens, tokens, same, indices)


@program()
def last_occurrence(p: Program) -> rasp.SOp:
    ends = rasp.SequenceMap(lambda t, n: t if n == 0 else "-", tokens, later(p))
    return p.fetch("last(key.id == query.id)", ends, tokens, same, indices)


@program()
def more_frequent(p: Program) -> rasp.SOp:
    often = p.count("key.id == query.id", tokens, tokens, same)
    return p.count("key.occurrences > query.occurrences", often, often, rasp.Comparison.GT)


@program()
def as_frequent(p: Program) -> rasp.SOp:
    often = p.count("key.id == query.id", tokens, tokens, same)
    return p.fetch("key.occurrences == query.occurrences", often, often, same, indices)


@program()
def unique_tokens(p: Program) -> rasp.SOp:
    often = p.count("key.id == query.id", tokens, tokens, same)
    return p.fetch("key.occurrences == 1", often, often, lambda k, q: k == 1, indices)


# --- what came before ---------------------------------------------------------------------------
@program()
def induction(p: Program) -> rasp.SOp:
    return p.fetch("key.prev.id == query.id", p.shift(-1), tokens, same)


@program(causal=True)
def causal_induction(p: Program) -> rasp.SOp:
    return p.fetch("key.prev.id == query.id", p.shift(-1), tokens, same)


@program()
def what_stood_before_it(p: Program) -> rasp.SOp:
    return p.fetch("key.next.id == query.id", p.shift(1), tokens, same)


@program()
def same_as_the_last(p: Program) -> rasp.SOp:
    return p.fetch("key.id == query.prev.id", tokens, p.shift(-1), same, indices)


@program(draw=marks_of)
def after_a_comma(p: Program) -> rasp.SOp:
    return p.fetch('key.prev.text == ","', p.shift(-1), tokens, lambda k, q: k == ",")


@program()
def same_company(p: Program) -> rasp.SOp:
    before = p.shift(-1)
    return p.fetch("key.prev.text == query.prev.text", before, before, same, indices)


# --- tokens of their own ------------------------------------------------------------------------
simple("count_a", 'key.text == "a"', tokens, tokens, lambda k, q: k == "a", count=True)
simple("vowels", 'key.text in {"a", "e"}', tokens, tokens, lambda k, q: k in "ae")
simple("causal_count_b", 'key.text == "b"', tokens, tokens, lambda k, q: k == "b", count=True,
       causal=True)  # fmt: skip
simple("skip_trigram", 'query.text == "c" and key.text == "a"', tokens, tokens,
       lambda k, q: q == "c" and k == "a")  # fmt: skip
simple("skip_trigrams", 'query.text in {"a", "b"} and key.text in {"d", "e"}', tokens, tokens,
       lambda k, q: q in "ab" and k in "de")  # fmt: skip
simple("commas_read_all", 'query.text == "," and not key.is_special', tokens, tokens,
       lambda k, q: q == ",", draw=marks_of)  # fmt: skip


@program(draw=marks_of)
def brackets(p: Program) -> rasp.SOp:
    here = rasp.SequenceMap(lambda t, i: (t, i), tokens, indices)
    opened = p.count('key.text == "(" and distance <= 0', here, indices,
                     lambda k, q: k[0] == "(" and k[1] <= q)  # fmt: skip
    closed = p.count('key.text == ")" and distance <= 0', here, indices,
                     lambda k, q: k[0] == ")" and k[1] <= q)  # fmt: skip
    return opened - closed


# --- numerals -----------------------------------------------------------------------------------
ON_DIGITS = {
    "count_less": ("number(key.text) < number(query.text)", lambda k, q: k < q),
    "count_greater": ("number(key.text) > number(query.text)", lambda k, q: k > q),
    "at_least_as_great": ("number(key.text) >= number(query.text)", lambda k, q: k >= q),
    "successor": ("number(key.text) == number(query.text) + 1", lambda k, q: k == q + 1),
    "predecessor": ("number(key.text) == number(query.text) - 1", lambda k, q: k == q - 1),
    "at_least_five": ("number(key.text) >= 5", lambda k, q: k >= 5),
    "below_three": ("number(key.text) < 3", lambda k, q: k < 3),
    "great_ones_read_small_ones": (
        "number(query.text) >= 5 and number(key.text) < 5", lambda k, q: q >= 5 > k,
    ),
    "sum_of_nine": ("number(key.text) + number(query.text) == 9", lambda k, q: k + q == 9),
    "same_parity": (
        'key.text in {"0", "2", "4", "6", "8"} and query.text in {"0", "2", "4", "6", "8"} or '
        'key.text in {"1", "3", "5", "7", "9"} and query.text in {"1", "3", "5", "7", "9"}',
        lambda k, q: (k - q) % 2 == 0,
    ),
}  # fmt: skip
for name, (relation, test) in ON_DIGITS.items():
    simple(name, relation, digits, digits, test, draw=digits_of, count=name.startswith("count"))
simple("pointer", "key.index == number(query.text) + 1", indices, digits, same, draw=digits_of)


@program(draw=different)
def sort(p: Program) -> rasp.SOp:
    place = p.count("number(key.text) < number(query.text)", digits, digits, rasp.Comparison.LT)
    return p.fetch("key.rank == query.index - 1", place, indices, same, digits)


@program(draw=different)
def greatest(p: Program) -> rasp.SOp:
    above = p.count("number(key.text) > number(query.text)", digits, digits, rasp.Comparison.GT)
    return p.fetch("highest(number(key.text))", above, indices, lambda k, q: k == 0, digits)


# --- lengths of words ---------------------------------------------------------------------------
size = rasp.Map(len, tokens)
simple("equal_length", "key.length == query.length", size, size, same, draw=words_of, count=True)
simple("longer", "key.length > query.length", size, size, rasp.Comparison.GT, draw=words_of)
simple("long_words", "key.length >= 4", size, size, lambda k, q: k >= 4, draw=words_of)


def expected(selected: list[list[bool]], always: bool) -> np.ndarray:
    """What a compiled head attends to, by RASP's own word on its selector."""
    length = len(selected) + 1
    weight = np.zeros((length, length))
    weight[1:, 1:] = selected
    weight[:, 0] = 1 if always else weight.sum(1) == 0
    weight[0] = np.eye(length)[0] if not always else weight[0]
    return weight / weight.sum(1, keepdims=True)


def attention_of(model: Any, texts: list[list[str]]) -> list[np.ndarray]:  # noqa: ANN401
    """What all heads attend to, `(layers, heads, T, T)` a text; texts of one length together."""
    found = {}
    for length in LENGTHS:
        mine = [i for i, text in enumerate(texts) if len(text) == length + 1]
        tokens = jnp.array([model.input_encoder.encode(texts[i]) for i in mine])
        logits = model.forward(model.params, tokens).transformer_output.attn_logits
        rows = jax.nn.softmax(jnp.stack(logits, 1), axis=-1)
        found |= dict(zip(mine, np.asarray(rows), strict=True))
    return [found[i] for i in range(len(texts))]


def main(folder: Path) -> None:
    arrays, models, texts = {}, [], {}
    vocabulary = {letters_of: LETTERS, digits_of: DIGITS, different: DIGITS, words_of: WORDS,
                  marks_of: MARKS}  # fmt: skip
    for draw in vocabulary:
        random = np.random.default_rng(sum(map(ord, draw.__name__)))
        texts[draw.__name__] = [
            ["BOS", *draw(random, int(random.choice(LENGTHS)))] for _ in range(TEXTS)
        ]
    for name, (options, build) in PROGRAMS.items():
        p = Program(**options)
        last = build(p)
        kind = p.draw.__name__
        model = compiling.compile_rasp_to_model(
            last,
            set(vocabulary[p.draw]),
            LONGEST + 1,
            causal=p.causal,
            compiler_bos="BOS",
            mlp_exactness=1000,
        )
        seen = attention_of(model, texts[kind])
        layers, heads = seen[0].shape[:2]
        kept, truths = [], []
        for layer, head in np.ndindex(layers, heads):
            for selector, relation, always in p.selectors:
                wanted = []
                for text in texts[kind]:
                    selected = np.array(rasp.evaluate(selector, text[1:]))
                    if p.causal:
                        selected = np.tril(selected)
                    wanted.append(expected(selected.tolist(), always))
                own = [one[layer, head] for one in seen]
                if all(np.abs(a - w).max() < 0.05 for a, w in zip(own, wanted, strict=True)):
                    kept.append(own)
                    truths.append({"head": f"{layer}.{head}", "relation": relation,
                                   "and_start": always})  # fmt: skip
                    break
        if len(truths) < len(p.selectors):
            sys.exit(f"{name}: {len(truths)} heads of {len(p.selectors)} selectors: {truths}")
        packed = np.zeros((TEXTS, len(kept), LONGEST + 1, LONGEST + 1), np.uint8)
        for h, head in enumerate(kept):
            for t, matrix in enumerate(head):
                packed[t, h, : len(matrix), : len(matrix)] = np.rint(matrix * UNIT)
        arrays[name] = packed
        models.append({"name": name, "texts": kind, "causal": p.causal, "heads": truths})
        print(f"{name}: {len(truths)} heads", flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "compiled.npz", **arrays)
    written = {"texts": {k: [" ".join(t[1:]) for t in v] for k, v in texts.items()},
               "models": models}  # fmt: skip
    (folder / "compiled.json").write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
