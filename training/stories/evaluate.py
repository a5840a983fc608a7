"""Measure the bundled story model beside stories260k, on stories that neither was trained on.

    python -m training.stories.evaluate [--model FOLDER] [--data ../shared/data] [--json FILE]

Prints the figures of the model card; ends with status 1 if one of the three targets is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from training.stories.corpus import read_test_stories
from training.stories.figures import (
    best_head,
    encode,
    induction_scores,
    perplexity,
    previous_token_scores,
)

BUNDLED = Path("src/headscribe/assets/stories")
PREVIOUS_TOKEN, INDUCTION = 0.5, 0.3  # least mean attention of the best head
PROMPTS = (
    "Once upon a time, there was a little girl named Lily.",
    'Tom had a red ball, a blue kite and a green drum. He said to Mia, "I have a red ball,',
)


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Model in float32 and tokenizer of a folder, with attention that can be read."""
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", local_files_only=True
    )
    return model.eval(), AutoTokenizer.from_pretrained(folder, local_files_only=True)


@torch.no_grad()
def continuation(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, prompt: str, tokens: int = 80
) -> str:
    """The prompt and its greedy continuation."""
    ids = encode(tokenizer, prompt)
    made = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=tokenizer.eos_token_id,
    )
    return tokenizer.decode(made[0], skip_special_tokens=True)


def measure(folder: Path, stories: list[str]) -> dict[str, Any]:
    """All figures of one model."""
    model, tokenizer = load(folder)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "bytes": (folder / "model.safetensors").stat().st_size,
        "perplexity": asdict(perplexity(model, tokenizer, stories)),
        "previous_token": asdict(best_head(previous_token_scores(model, tokenizer, stories))),
        "induction": asdict(best_head(induction_scores(model, tokenizer))),
        "samples": [continuation(model, tokenizer, prompt) for prompt in PROMPTS],
    }


def missed(figures: dict[str, Any], peer: dict[str, Any]) -> list[str]:
    """The targets that the figures do not reach, in words."""
    faults = []
    if figures["previous_token"]["attention"] < PREVIOUS_TOKEN:
        faults.append(f"previous-token head below {PREVIOUS_TOKEN}")
    if figures["induction"]["attention"] < INDUCTION:
        faults.append(f"induction head below {INDUCTION}")
    if figures["perplexity"]["per_word"] > peer["perplexity"]["per_word"]:
        faults.append("perplexity per word above that of stories260k")
    return faults


def main() -> None:
    """Read the command line, measure both models, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=BUNDLED)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    stories = read_test_stories(arguments.data)
    figures = measure(arguments.model, stories)
    peer = measure(arguments.data / "stories260k", stories)
    text = json.dumps({"stories": figures, "stories260k": peer}, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")
    if faults := missed(figures, peer):
        sys.exit("; ".join(faults))


if __name__ == "__main__":
    main()
