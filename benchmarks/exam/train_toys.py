"""Trains small transformers whose heads' truth follows from their task, and keeps what they read.

    python -m benchmarks.exam.train_toys src/headscribe/exam

Their heads point (Vinyals et al. 2015, pointer networks): the answer of each is the place that it
reads, the start of the text where there is none, so that a task with one right answer leaves a head
one thing to do. Every toy has relative positions and word vectors to tell keys by, the second head
of a toy also what the first one read, and none is told which to use. A truth that a trained head
does not bear out (99 % of its attention on texts of its own, 80 % in every row) ends the script.
Written are `trained.npz` and `trained.json`, as `compile_programs.py` writes its own.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from headscribe.core.visibility import CAUSAL, FULL
from headscribe.exam.material import UNIT, Truth, passages_of

TEXTS, BATCH, STEPS, WIDTH = 64, 32, 8000, 32
MEAN, LEAST = 0.99, 0.8
LETTERS, DIGITS = list("abcdefghijkl"), [str(digit) for digit in range(10)]
Example = tuple[list[str], list[int]]
"""The words of a text, and the place that each token is to read; 0 is the start."""


def induction(draw: np.random.Generator) -> Example:
    """Letters, then pieces of the same in another order: what followed a letter the first time."""
    first = draw.permutation(LETTERS)[:8].tolist()
    cut = sorted(draw.choice(np.arange(1, 8), 3, replace=False).tolist())
    pieces = [first[a:b] for a, b in zip([0, *cut], [*cut, 8], strict=True)]
    second = [word for k in draw.permutation(4) for word in pieces[k]]
    if second[0] == first[-1]:  # what followed it the first time would be itself
        return induction(draw)
    return first + second, [0] * 9 + [first.index(word) + 2 for word in second]


def periods(lengths: Sequence[int]) -> Callable[[np.random.Generator], Example]:
    """Blocks that repeat: four tokens back, which in blocks of five is what induction reads."""

    def made(draw: np.random.Generator) -> Example:
        size = int(draw.choice(lengths))
        words = (draw.permutation(LETTERS)[:size].tolist() * 5)[:16]
        return words, [max(i - 4, 0) for i in range(17)]

    return made


def successor(draw: np.random.Generator) -> Example:
    """Digits, each once: the next greater one, wherever it stands."""
    words = draw.permutation(DIGITS)[:8].tolist()
    place = {word: i + 1 for i, word in enumerate(words)}
    return words, [0, *(place.get(str(int(word) + 1), 0) for word in words)]


def brackets(draw: np.random.Generator) -> Example:
    """Pairs of brackets that do not nest: the one that opened a closing one."""
    words: list[str] = []
    reads, opened = [0], 0
    while len(words) < 14:
        word = str(draw.choice([*"abc", ")" if opened else "("]))
        words.append(word)
        reads.append(opened if word == ")" else 0)
        opened = len(words) if word == "(" else 0 if word == ")" else opened
    return words, reads


def switching(draw: np.random.Generator) -> Example:
    """After a vowel the token before, else the one mark of the text."""
    words = draw.choice([*"aeibcdfg"], 12).tolist()
    mark = int(draw.integers(12))
    words[mark] = "+"
    return words, [0, *(i if word in "aei" else mark + 1 for i, word in enumerate(words))]


@dataclass(frozen=True)
class Task:
    """A toy: what it is trained on, what it is examined on, the truth of its heads."""

    train: Callable[[np.random.Generator], Example]
    exam: Callable[[np.random.Generator], Example]
    truths: tuple[str, ...]
    causal: bool = False


VOWELS = '{"a", "e", "i"}'
OTHERS = '{"+", "b", "c", "d", "f", "g"}'
TASKS = {
    "trained_induction": Task(
        induction, induction,
        ("distance == -1", "key.prev.id == query.id and distance < 0"), causal=True,
    ),
    "trained_shortcut": Task(
        periods([5]), periods([5, 5, 5, 6, 7]), ("distance == -4",), causal=True
    ),
    "trained_successor": Task(
        successor, successor, ("number(key.text) == number(query.text) + 1",)
    ),
    "trained_brackets": Task(brackets, brackets, ("key.index == query.opening",)),
    "trained_switching": Task(
        switching, switching,
        (f'query.text in {VOWELS} and distance == -1 or '
         f'query.text in {OTHERS} and key.text == "+"',),
    ),
}  # fmt: skip


class Head(nn.Module):
    """A head that tells keys by their vectors and by how far they are."""

    def __init__(self, width: int, length: int, causal: bool) -> None:
        super().__init__()
        self.score = nn.Parameter(torch.randn(width, width) * 0.02)
        self.bias = nn.Parameter(torch.zeros(2 * length - 1))
        index = torch.arange(length)
        self.register_buffer("gap", index[None, :] - index[:, None] + length - 1)
        self.register_buffer("hidden", torch.ones(length, length).triu(1).bool() & causal)

    def forward(self, vectors: Float[Tensor, "b n d"]) -> Float[Tensor, "b n n"]:
        logits = vectors @ self.score @ vectors.transpose(1, 2) + self.bias[self.gap]
        return logits.masked_fill(self.hidden, -torch.inf).softmax(-1)


class Toy(nn.Module):
    """One head, or one that carries vectors to a second one."""

    def __init__(self, words: int, length: int, layers: int, causal: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(words, WIDTH)
        self.heads = nn.ModuleList(Head(WIDTH * (k + 1), length, causal) for k in range(layers))

    def forward(self, ids: Int[Tensor, "b n"]) -> list[Float[Tensor, "b n n"]]:
        vectors = self.embed(ids)
        found: list[Tensor] = []
        for head in self.heads:
            found.append(head(vectors))
            vectors = torch.cat([vectors, found[-1] @ vectors], -1)
        return found


def trained(task: Task, seed: int) -> tuple[Toy, dict[str, int]]:
    """A toy after its training, and its vocabulary."""
    draw = np.random.default_rng(seed)
    torch.manual_seed(seed)
    some = [task.train(draw) for _ in range(200)]
    vocabulary = {
        word: i for i, word in enumerate(["BOS", *sorted({w for t, _ in some for w in t})])
    }
    toy = Toy(len(vocabulary), len(some[0][1]), len(task.truths), task.causal)
    optimiser = torch.optim.Adam(toy.parameters(), 1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        texts = [task.train(draw) for _ in range(BATCH)]
        ids = torch.tensor([[0, *(vocabulary[word] for word in words)] for words, _ in texts])
        reads = torch.tensor([read for _, read in texts])
        before = (torch.arange(reads.shape[1]) - 1).clamp_min(0).expand_as(reads)
        asked = zip(toy(ids)[::-1], (reads, before), strict=False)  # of the last, and of a first
        loss = -sum((a.gather(2, r[:, :, None]) + 1e-9).log().mean() for a, r in asked)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return toy, vocabulary


def main(folder: Path) -> None:
    """Train all toys."""
    arrays, models, texts = {}, [], {}
    for seed, (name, task) in enumerate(TASKS.items()):
        before = time.process_time()
        toy, vocabulary = trained(task, seed)
        draw = np.random.default_rng(1000 + seed)
        written = [task.exam(draw)[0] for _ in range(TEXTS)]
        texts[name] = [" ".join(words) for words in written]
        ids = torch.tensor([[0, *(vocabulary[word] for word in words)] for words in written])
        with torch.no_grad():
            read = np.stack([one.numpy() for one in toy(ids)], 1)
        seen = CAUSAL if task.causal else FULL
        for h, relation in enumerate(task.truths):
            true = np.concatenate([
                np.minimum(Truth(f"{h}.0", relation).rows(passage, seen), rows).sum(-1)
                for passage, rows in zip(passages_of(texts[name], name), read[:, h], strict=True)
            ])  # fmt: skip
            if true.mean() < MEAN or true.min() < LEAST:
                sys.exit(f"{name} head {h}: {true.mean():.3f} is true, {true.min():.2f} of a row")
        arrays[name] = np.rint(read * UNIT).astype(np.uint8)
        heads = [{"head": f"{h}.0", "relation": one} for h, one in enumerate(task.truths)]
        models.append({"name": name, "texts": name, "causal": task.causal, "heads": heads})
        weights = sum(one.numel() for one in toy.parameters())
        print(f"{name}: {weights} weights, {time.process_time() - before:.0f} s", flush=True)
    np.savez_compressed(folder / "trained.npz", **arrays)
    document = {"texts": texts, "models": models}
    (folder / "trained.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
