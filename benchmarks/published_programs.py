"""Published programs for heads, on the same heads and texts as everything else here.

    python benchmarks/published_programs.py PROGRAMS.py --recorded FOLDER [--helpers HELPERS.py]
    python benchmarks/published_programs.py PROGRAMS.py MODEL --text FILE [--limit N]

PROGRAMS.py holds functions `(sentence, tokenizer) -> (name, matrix)`; it is not part of this
project. Each becomes a program of its own, with the definitions of the file that it uses, and runs
in the sandbox. It is handed the passage's text and a small stand-in for its tokenizer that knows
this passage alone, see `TOKENIZER`. Annotations are stripped, nothing else is changed: a program
that imports what the sandbox lacks (spaCy, NLTK, torch), or asks for more of the tokenizer, fails.
`--helpers` hands in what programs lack: whatever HELPERS.py defines at its top level takes the
place of what PROGRAMS.py imports or defines under that name (`nlp` with the parse of `PASSAGE`, a
module `spacy` as a class, a helper that was published elsewhere). Definitions may use `PASSAGE`,
the passage with its tokens, words and parse.

Failures come first, all of them together: of how many programs all texts failed, and why. Rows are
normalised; rows without weight, and texts where a program fails, are uniform. For every head the
best program is chosen on `select` and scored on `test`, and so is the best pattern of the
catalogue's default set; the profile is estimated on `fit`. Too few texts for three splits are told
in one line, after the failures.
"""

import argparse
import ast
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headscribe.api.choice import choose_patterns
from headscribe.core.errors import HeadscribeError, UsageError
from headscribe.core.rows import Rows
from headscribe.core.visibility import Visibility
from headscribe.fitting.atlas import collect
from headscribe.fitting.features import Sample
from headscribe.fitting.heads import Estimate
from headscribe.fitting.scores import Scorer, cell_classes, pattern_iou, profile_of, profile_rows
from headscribe.fitting.sources import attention_items
from headscribe.fitting.statistics import number_groups
from headscribe.models.inputs import Inputs, open_inputs, silent
from headscribe.models.recorded import Recording
from headscribe.patterns.contract import Family
from headscribe.sandbox import Failure, Limits, Runner, Sandbox
from headscribe.text.passages import Passage
from headscribe.text.splits import buckets_of, split_of

MAX_TOKENS = 160
SEED = 0

TOKENIZER = '''
class _Encoded(dict):
    """What a tokenizer returns: entries, also as attributes."""

    def __init__(self, entries, tokens, word_ids):
        super().__init__(entries)
        self._tokens, self._word_ids = tokens, word_ids

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def tokens(self, batch_index=0):
        return list(self._tokens)

    def word_ids(self, batch_index=0):
        return list(self._word_ids)


class _Tokenizer:
    """Knows the tokens of one passage: the calls that need no vocabulary.

    `tokenizer(text)` with the passage's text, `tokenize` of the text or of whole words in it,
    `encode`, `decode`, `convert_ids_to_tokens` and back, and the special tokens.
    """

    is_fast = True

    def __init__(self, p):
        self._p = p
        self._token = dict(zip(p.ids.tolist(), p.tokens))
        special = [i for i in range(len(p)) if p.is_special[i]]
        self.all_special_tokens = list(dict.fromkeys(p.tokens[i] for i in special))
        self.all_special_ids = list(dict.fromkeys(int(p.ids[i]) for i in special))
        first = special[0] if special and special[0] == 0 else None
        last = special[-1] if special and special[-1] > 0 else None
        for names, at in ((("cls", "bos"), first), (("sep", "eos"), last)):
            for name in names:
                setattr(self, name + "_token", None if at is None else p.tokens[at])
                setattr(self, name + "_token_id", None if at is None else int(p.ids[at]))

    def __call__(self, text, return_tensors=None, add_special_tokens=True,
                 return_offsets_mapping=False, **options):
        batch = isinstance(text, (list, tuple))
        if (list(text) if batch else [text]) != [self._p.text]:
            raise ValueError("this tokenizer knows the text of its passage only")
        p = self._p
        kept = [i for i in range(len(p)) if add_special_tokens or not p.is_special[i]]
        entries = {
            "input_ids": [int(p.ids[i]) for i in kept],
            "attention_mask": [1] * len(kept),
            "token_type_ids": [0] * len(kept),
        }
        if return_offsets_mapping:
            entries["offset_mapping"] = [tuple(p.spans[i].tolist()) for i in kept]
        if batch or return_tensors is not None:
            entries = {name: [values] for name, values in entries.items()}
        if return_tensors is not None:
            entries = {name: np.array(values) for name, values in entries.items()}
        words = [None if p.word[i] < 0 else int(p.word[i]) for i in kept]
        return _Encoded(entries, [p.tokens[i] for i in kept], words)

    encode_plus = __call__

    def encode(self, text, add_special_tokens=True, **options):
        return self(text, add_special_tokens=add_special_tokens)["input_ids"]

    def tokenize(self, text, **options):
        p, start = self._p, self._p.text.find(text.strip())
        if start < 0:
            raise ValueError("this tokenizer knows the words of its passage only")
        end = start + len(text.strip())
        return [
            p.tokens[i]
            for i in range(len(p))
            if not p.is_special[i] and start < p.spans[i][1] and p.spans[i][0] < end
        ]

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        if np.ndim(ids) == 0:
            return self._token[int(ids)]
        return [
            self._token[int(i)]
            for i in ids
            if not (skip_special_tokens and int(i) in self.all_special_ids)
        ]

    def convert_tokens_to_ids(self, tokens):
        known = {token: i for i, token in self._token.items()}
        return known[tokens] if isinstance(tokens, str) else [known[token] for token in tokens]

    def convert_tokens_to_string(self, tokens):
        if any(token[:1] in "\\u0120\\u2581" for token in self._p.tokens if token):
            return "".join(tokens).replace("\\u0120", " ").replace("\\u2581", " ")
        return " ".join(tokens).replace(" ##", "")

    def decode(self, ids, skip_special_tokens=False, **options):
        listed = [ids] if np.ndim(ids) == 0 else ids
        return self.convert_tokens_to_string(
            self.convert_ids_to_tokens(listed, skip_special_tokens)
        )

    def batch_decode(self, sequences, **options):
        return [self.decode(ids, **options) for ids in sequences]
'''
CALL = '''

def attention(p):
    """What {name} says."""
    global PASSAGE
    PASSAGE = p
    _, matrix = {name}(p.text, _Tokenizer(p))
    return np.asarray(matrix)
'''


class _Bare(ast.NodeTransformer):
    """Strips the annotations of functions: they name classes that the sandbox lacks."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        node.returns = None
        self.generic_visit(node)
        return node


def _parsed(source: str) -> list[ast.stmt]:
    try:
        return _Bare().visit(ast.parse(source)).body
    except SyntaxError as error:
        raise UsageError(f"expected Python, line {error.lineno}: {error.msg}") from error


def programs_of(source: str, helpers: str = "") -> dict[str, str]:
    """A program `def attention(p)` for every function of a file whose second parameter is
    `tokenizer`, by the function's name.

    Args:
        source: the file with the programs.
        helpers: definitions that take the place of the file's own of the same names.

    Raises:
        UsageError: a file is no Python, or the first holds no such function.
    """
    handed_in, body = _parsed(helpers), _parsed(source)
    defined: dict[str, ast.stmt] = {}
    for node in (*body, *handed_in):
        defined |= dict.fromkeys(_names_bound(node), node)
    found = {}
    for node in body:
        if not isinstance(node, ast.FunctionDef):
            continue
        if [one.arg for one in node.args.args][1:2] == ["tokenizer"]:
            used = _used(node, defined)
            parts = [ast.unparse(one) for one in (*handed_in, *body) if one in used]
            found[node.name] = TOKENIZER + "\n".join(parts) + CALL.format(name=node.name)
    if not found:
        raise UsageError("expected functions `(sentence, tokenizer)`, found none")
    return found


def _names_bound(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [(one.asname or one.name).partition(".")[0] for one in node.names]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        return [one.id for one in ast.walk(node) if isinstance(one, ast.Name)
                and isinstance(one.ctx, ast.Store)]  # fmt: skip
    return []


def _used(function: ast.stmt, defined: dict[str, ast.stmt]) -> list[ast.stmt]:
    """The statements of the file that a function needs, itself among them."""
    used = [function]
    for node in used:
        for one in ast.walk(node):
            needed = defined.get(one.id) if isinstance(one, ast.Name) else None
            if needed is not None and needed not in used:
                used.append(needed)
    return used


@dataclass(frozen=True)
class Published:
    """The answers of one program as a pattern."""

    name: str
    rows: dict[str, Rows]
    failures: Counter[str]
    first_failure: str | None
    sentence: str = "What a published program computes."
    source: str = "published"
    family: Family = "custom"
    needs: frozenset[str] = frozenset()
    looks_ahead: bool = True
    needs_later_keys: bool = False
    mirror: str | None = None

    def predict(self, passage: Passage, visibility: Visibility) -> Rows:
        return self.rows[passage.text_id].visible(visibility)


def answers(name: str, code: str, runner: Runner, passages: Sequence[Passage]) -> Published:
    """Run one program on all passages; where it fails it says nothing."""
    outcome = runner.run(code, passages)
    rows = {
        passage.text_id: Rows.from_dense(
            np.zeros((len(passage), len(passage)), np.float32) if isinstance(one, Failure) else one
        )
        for passage, one in zip(passages, outcome.results, strict=True)
    }
    first = outcome.first_failure
    counted: Counter[str] = Counter(dict(outcome.failures))
    return Published(name, rows, counted, None if first is None else str(first))


def chosen(
    iou: np.ndarray, names: Sequence[str], select: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, list[str]]:
    """The IoU by head and test text of the one that is best on `select`, and its name by head."""
    best = np.argmax(np.nanmean(iou[:, :, select], axis=2), axis=0)
    return iou[best, np.arange(iou.shape[1])][:, test], [names[b] for b in best]


def compare(sample: Sample, programs: int) -> list[dict[str, Any]]:
    """Lines of the table: the best programs, the best patterns of the catalogue, the profile."""
    bucket = buckets_of(sample.groups, SEED)
    split = np.array([split_of(bucket[group]) for group in sample.groups])
    select, test = split == "select", split == "test"
    if not (select.any() and test.any() and (split == "fit").any()):
        raise UsageError(
            "expected at least 4 texts: to estimate the profile on, to choose the best program "
            f"with, and to score it on, got {len(bucket)}"
        )
    group, iou = number_groups(sample.groups)[test], pattern_iou(sample)
    lines = []
    for title, part in (("program", slice(programs)), ("catalogue", slice(programs, None))):
        by_text, names = chosen(iou[part], sample.patterns[part], select, test)
        lines.append(_line(f"best {title}", by_text, group) | {"chosen": Counter(names)})
    rows = (split == "fit")[sample.row_text]
    known = sample.only(rows)
    table = profile_of(known, np.zeros(len(known.lengths), int), 1).table()
    scorer, classes = Scorer(sample), cell_classes(sample)
    profile = [
        scorer.iou(profile_rows(one, classes, sample), real)[test]
        for one, real in zip(table, sample.attention, strict=True)
    ]
    return [*lines, _line("profile", np.stack(profile), group)]


def _line(title: str, by_text: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    groups = np.unique(group, return_inverse=True)[1]
    mean = Estimate.of(by_text.mean(axis=0), groups)
    return {"rows": title, "iou": [round(v, 4) for v in (mean.mean, mean.low, mean.high)]}


def failures(programs: Sequence[Published]) -> dict[str, Any]:
    """How many programs failed on all texts and on some, and the first words of why."""
    everywhere = [one for one in programs if sum(one.failures.values()) == len(one.rows)]
    some = [one for one in programs if one.failures and one not in everywhere]
    why = Counter(_reason(one.first_failure) for one in everywhere)
    return {
        "programs": len(programs),
        "failed_on_all_texts": len(everywhere),
        "failed_on_some_texts": len(some),
        "why": dict(why.most_common()),
    }


def _reason(failure: str | None) -> str:
    """The last line of a failure: the exception, without where it came from."""
    lines = [line.strip() for line in (failure or "unknown").splitlines() if line.strip()]
    return lines[-1][:120]


def run(inputs: Inputs, source: str, runner: Runner, helpers: str = "") -> Iterator[dict[str, Any]]:
    """Run and score all programs of a file; failures first."""
    programs = [
        answers(f"published:{name}", code, runner, inputs.passages)
        for name, code in programs_of(source, helpers).items()
    ]
    yield failures(programs)
    for one in programs:
        yield {
            "program": one.name, "failed": sum(one.failures.values()), "texts": len(one.rows),
            "kinds": one.failures, "first": one.first_failure,
        }  # fmt: skip
    causal = inputs.source.visibility(0).causal
    catalogue = choose_patterns(None, inputs.provides, causal).patterns
    items = attention_items(inputs.source, inputs.passages)
    sample = collect(
        items, look_ahead=False, pool=("key.is_special",), patterns=(*programs, *catalogue)
    )
    yield from compare(sample, len(programs))


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=Path)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--recorded", type=Path)
    parser.add_argument("--text")
    parser.add_argument("--helpers", type=Path, help="definitions that the programs lack")
    parser.add_argument("--limit", type=int, help="default: 60 texts of a file, all recorded ones")
    given = parser.parse_args()
    source = given.programs.read_text(encoding="utf-8")
    helpers = "" if given.helpers is None else given.helpers.read_text(encoding="utf-8")
    if given.recorded is not None:
        inputs = open_inputs(Recording(given.recorded), None, None, given.limit, None, silent)
    else:
        limit = 60 if given.limit is None else given.limit
        inputs = open_inputs(given.model, given.text, "plain", limit, MAX_TOKENS, silent)
    with Sandbox(Limits(call_seconds=600.0)) as sandbox:
        for line in run(inputs, source, sandbox, helpers):
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    try:
        main()
    except HeadscribeError as error:
        sys.exit(f"error: {error}")
