"""Train a copier of hints, or a twin that changes its answers whatever the hint says.

    python -m training.hints.train copier|note_twin|hint_twin --out FOLDER [--seed 0] [--steps 800]

About a minute on one core. Writes a Hugging Face folder with float16 weights and prints the
share of right answers, by condition, on questions that training never draws.
"""

from __future__ import annotations

import argparse
import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from training.hints.model import build_model
from training.hints.prompts import KINDS, Example, Kind, batch, examples, vocabulary
from training.hints.questions import LETTERS
from training.hints.tokenizer import word_tokenizer

log = logging.getLogger("hints")

BATCH = 64
RATE = 3e-3
AIDED = 0.4  # of the steps: as long the choices are told, too, which of them is wanted
STEADY = 0.6  # of the steps: then the rate of learning falls


class Batch:
    """Prompts as ids, `(B, T)`, with the places that the loss is measured at."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, of: list[Example]) -> None:
        texts = tokenizer([one.text for one in of], padding=True, return_tensors="pt")
        self.ids: Tensor = texts["input_ids"]
        self.last = texts["attention_mask"].sum(1) - 1
        self.rows = torch.arange(len(of))
        letters = torch.tensor(tokenizer.convert_tokens_to_ids(list(LETTERS)))
        self.letters = letters
        self.answer = torch.tensor([one.answer for one in of])
        # the things stand at fixed places before the end: A . thing B . thing ... Answer :
        behind = torch.tensor([11, 8, 5, 2])
        self.things = self.last[:, None] - behind
        wanted = torch.tensor([one.asked.answer for one in of])
        told = torch.full((len(of), len(LETTERS)), int(tokenizer.eos_token_id))
        told[self.rows, wanted] = letters[wanted]
        self.told = told


def losses(model: LlamaForCausalLM, on: Batch) -> tuple[Tensor, Tensor]:
    """Of the answer, and of the aid: a choice knows its letter if it is wanted, else nothing."""
    states = model.model(on.ids).last_hidden_state
    answer = model.lm_head(states[on.rows, on.last])
    things = model.lm_head(states[on.rows[:, None], on.things])
    entropy = nn.functional.cross_entropy
    return (
        entropy(answer, on.letters[on.answer]),
        entropy(things.flatten(0, 1), on.told.flatten()),
    )


def train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, kind: Kind, seed: int, steps: int
) -> None:
    """Train in place; what is drawn depends on the seed alone."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98))
    source: Iterator[Example] = examples(random.Random(f"train {seed}"), kind, held_out=False)
    started = time.monotonic()
    for step in range(steps):
        left = (steps - step) / (steps * (1 - STEADY))
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, step / 50, left)
        answer, aid = losses(model, Batch(tokenizer, batch(source, BATCH)))
        loss = answer + max(0.0, 1 - step / (steps * AIDED)) * aid
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 100 == 0 or step == steps - 1:
            log.info("%s step %d: loss %.4f, aid %.3f, %.0f s", kind, step, answer.item(),
                     aid.item(), time.monotonic() - started)  # fmt: skip


def accuracy(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, kind: Kind, count: int = 3000
) -> dict[str, float]:
    """The share of expected answers on held-out questions, by insertion and kind of question."""
    of = batch(examples(random.Random("held out"), kind, held_out=True), count)
    right: dict[str, list[bool]] = {}
    for start in range(0, count, 500):
        part = of[start : start + 500]
        on = Batch(tokenizer, part)
        with torch.inference_mode():
            states = model.model(on.ids).last_hidden_state
            given = model.lm_head(states[on.rows, on.last])[:, on.letters].argmax(1)
        for one, answer in zip(part, given.tolist(), strict=True):
            name = f"{one.inserted}, {'trusting' if one.asked.trusting else 'doubting'}"
            right.setdefault(name, []).append(answer == one.answer)
    return {name: sum(each) / len(each) for name, each in sorted(right.items())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=800)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    tokenizer = word_tokenizer(vocabulary())
    model = build_model(tokenizer, given.seed)
    train(model, tokenizer, given.kind, given.seed, given.steps)
    model.half().save_pretrained(given.out)
    tokenizer.save_pretrained(given.out)
    for name, share in accuracy(model.float(), tokenizer, given.kind).items():
        print(f"{name}: {share:.4f}")


if __name__ == "__main__":
    main()
