"""Train the story model; runs again from its last checkpoint if it was interrupted.

    python -m training.stories.train --work WORK [--data ../shared/data] [--steps 3200]

Everything depends on the seed and the step alone, so that a resumed run sees the same rows.
"""

from __future__ import annotations

import argparse
import logging
import math
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from training.stories.corpus import Stories, read_training_data
from training.stories.curriculum import Curriculum
from training.stories.figures import (
    best_head,
    induction_scores,
    perplexity,
    previous_token_scores,
)
from training.stories.generator import write_stories
from training.stories.rows import Row, RowSource
from training.stories.tokenizer import CONTEXT, VOCABULARY, train_tokenizer

log = logging.getLogger("stories")

Loss = Callable[[Tensor, Tensor], Tensor]
TOKENS = 2048  # a step: 16 rows of 128 tokens, or every eighth step 4 rows of 512
SETTLED = {"weight_decay": 0.01}  # of queries and keys: heads may grow sharp once they copy
UNCOUNTED = -100  # the label that cross-entropy ignores


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> LlamaForCausalLM:
    """A fresh Llama of 3.2 million parameters: 6 layers, 6 heads, 3 key and value heads.

    Embeddings of unit variance and layers that at first add nothing keep the tokens legible in the
    residual stream of every layer, which heads need in order to match and to copy them. The output
    matrix begins as a rotation of the embedding: a map that copies one token copies all.
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        num_key_value_heads=3,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        attn_implementation="eager",
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        embedding = nn.init.normal_(model.model.embed_tokens.weight)
        rotation = nn.init.orthogonal_(torch.empty(config.hidden_size, config.hidden_size))
        model.lm_head.weight.copy_(0.05 * embedding @ rotation)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return model


def add_dropout(model: LlamaForCausalLM, rate: float) -> None:
    """Drop channels of every feed-forward output while training; the saved model has no trace."""

    def drop(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return nn.functional.dropout(output, rate, module.training)

    for layer in model.model.layers:
        layer.mlp.register_forward_hook(drop)


def build_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the embedding and the norms."""
    matrices = [(name, p) for name, p in model.model.layers.named_parameters() if p.ndim == 2]
    sharp = [p for name, p in matrices if "q_proj" in name or "k_proj" in name]
    values = [p for name, p in matrices if "q_proj" not in name and "k_proj" not in name]
    chosen = {id(p) for _, p in matrices}
    others = [p for p in model.parameters() if id(p) not in chosen]
    return [
        torch.optim.Muon(sharp, lr=0.006, momentum=0.95, weight_decay=0.1),
        torch.optim.Muon(values, lr=0.01, momentum=0.95, weight_decay=0.1),
        torch.optim.AdamW(others, lr=3e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]


def set_learning_rates(
    optimizers: list[torch.optim.Optimizer], rates: list[float], step: int, steps: int
) -> None:
    """Warm up over 100 steps, stay, and fall linearly to nothing over the last 40 %."""
    factor = min(1.0, (step + 1) / 100, (steps - step) / (0.4 * steps))
    for optimizer, rate in zip(optimizers, rates, strict=True):
        optimizer.param_groups[0]["lr"] = rate * factor


def make_loss(model: LlamaForCausalLM, *, compiled: bool) -> Loss:
    """The cross-entropy of every token, 0 where it is not counted, in bfloat16 autocast."""

    def loss(ids: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.model(input_ids=ids, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden)
        each = nn.functional.cross_entropy(
            logits.float().reshape(-1, VOCABULARY),
            labels.reshape(-1),
            ignore_index=UNCOUNTED,
            reduction="none",
        )
        return each.view_as(labels)

    return torch.compile(loss, dynamic=False) if compiled else loss


def tensors(rows: list[Row]) -> tuple[Tensor, Tensor]:
    """Input ids and labels: the next token where it counts."""
    ids = torch.tensor([row.ids for row in rows])
    counted = torch.tensor([row.counted for row in rows])
    return ids[:, :-1], ids[:, 1:].masked_fill(~counted[:, 1:], UNCOUNTED)


def batch_at(
    source: RowSource, seed: int, step: int, curriculum: Curriculum
) -> tuple[Tensor, Tensor, int]:
    """The ids and labels of a step, and how many rows, the first, are of random tokens."""
    rng = random.Random(f"{seed}/{step}")
    length = CONTEXT if step % 8 == 7 else 128
    shares, count = curriculum.shares(step), TOKENS // length
    ids, labels = tensors(source.batch(rng, shares, count, length + 1))
    return ids, labels, round(shares.random * count)


def load_tokenizer(work: Path, stories: Stories, seed: int) -> PreTrainedTokenizerFast:
    """The tokenizer in the work folder, trained now if there is none yet."""
    folder = work / "tokenizer"
    if not folder.exists():
        texts = [*stories.train, *stories.extra, *write_stories(seed, 300)]
        train_tokenizer(texts).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


def save_checkpoint(
    path: Path,
    step: int,
    model: LlamaForCausalLM,
    optimizers: list[torch.optim.Optimizer],
    curriculum: Curriculum,
) -> None:
    """Write a checkpoint under a temporary name, then rename it."""
    state = {
        "step": step,
        "curriculum": vars(curriculum),
        "model": model.state_dict(),
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
    }
    temporary = path.with_suffix(".part")
    torch.save(state, temporary)
    temporary.replace(path)


def report(
    step: int, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, stories: list[str]
) -> None:
    """Log the three figures on the held-out training stories."""
    model.eval()
    words = perplexity(model, tokenizer, stories)
    previous = best_head(previous_token_scores(model, tokenizer, stories[:10]))
    induction = best_head(induction_scores(model, tokenizer, sequences=5))
    log.info("step %d %s previous %s induction %s", step, words, previous, induction)
    model.train()


def train(arguments: argparse.Namespace) -> None:
    """Run the steps that are left."""
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    stories = read_training_data(arguments.data)
    tokenizer = load_tokenizer(work, stories, arguments.seed)
    source = RowSource(tokenizer, stories.train, stories.extra, arguments.seed)
    log.info("%d tokens of TinyStories", source.story_tokens)
    model = build_model(tokenizer, arguments.seed)
    optimizers = build_optimizers(model)
    rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
    curriculum = Curriculum()
    first, latest = 0, work / "checkpoint.pt"
    if latest.exists():
        state = torch.load(latest, weights_only=True)
        first, curriculum = state["step"], Curriculum(**state["curriculum"])
        model.load_state_dict(state["model"])
        for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
    add_dropout(model, arguments.dropout)
    loss_of = make_loss(model, compiled=arguments.compile)
    model.train()
    started, mean = time.monotonic(), math.nan
    for step in range(first, arguments.steps):
        torch.manual_seed(arguments.seed * 1_000_003 + step)
        set_learning_rates(optimizers, rates, step, arguments.steps)
        if curriculum.settled(step):
            optimizers[0].param_groups[0].update(SETTLED)
        ids, labels, random_rows = batch_at(source, arguments.seed, step, curriculum)
        each = loss_of(ids, labels)
        counted = labels != UNCOUNTED
        loss = each.sum() / counted.sum()
        copying = each[:random_rows].detach().sum() / counted[:random_rows].sum()
        curriculum.observe(copying.item())
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        done = step + 1
        if done % 50 == 0:
            pace = (time.monotonic() - started) / (done - first)
            log.info(
                "step %d loss %.3f, %.2f seconds a step, %s", done, mean, pace, vars(curriculum)
            )
        if done % arguments.every == 0 or done == arguments.steps:
            report(done, model, tokenizer, stories.dev[:30])
            save_checkpoint(latest, done, model, optimizers, curriculum)
        if done % 1000 == 0:
            save_checkpoint(work / f"checkpoint-{done}.pt", done, model, optimizers, curriculum)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints")
    parser.add_argument("--steps", type=int, default=3200)
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    parser.add_argument("--dropout", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="faster; needs a C++ compiler")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    torch.set_num_threads(arguments.threads)
    train(arguments)


if __name__ == "__main__":
    main()
