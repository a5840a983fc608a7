"""Write a checkpoint as the bundled model: float16 weights, configuration, tokenizer.

python -m training.stories.export --work WORK [--to src/headscribe/assets/stories]
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch
from transformers import AutoTokenizer, GenerationConfig

from training.stories.train import build_model

ASSETS = Path("src/headscribe/assets/stories")
LARGEST = 8_000_000  # bytes of weights that may go into the package


def export(work: Path, checkpoint: Path, folder: Path) -> None:
    """Save model, tokenizer and generation settings to `folder`; refuse a model over 8 MB."""
    tokenizer = AutoTokenizer.from_pretrained(work / "tokenizer")
    model = build_model(tokenizer, seed=0)
    model.load_state_dict(torch.load(checkpoint, weights_only=True)["model"])
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model.half().save_pretrained(folder)
    shutil.copytree(work / "tokenizer", folder, dirs_exist_ok=True)
    for file in folder.iterdir():
        file.chmod(0o644)
    size = (folder / "model.safetensors").stat().st_size
    if size > LARGEST:
        raise ValueError(f"expected at most {LARGEST} bytes of weights, got {size} in {folder}")


def main() -> None:
    """Read the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the folder given to train")
    parser.add_argument("--checkpoint", type=Path, help="default: WORK/checkpoint.pt")
    parser.add_argument("--to", type=Path, default=ASSETS)
    arguments = parser.parse_args()
    checkpoint = arguments.checkpoint or arguments.work / "checkpoint.pt"
    export(arguments.work, checkpoint, arguments.to)


if __name__ == "__main__":
    main()
