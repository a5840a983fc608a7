"""Read the TinyStories files that the story model learns from and is measured on."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

DEV_STORIES = 60
"""Stories at the end of `train` that are held out to watch the training; `test` is never read."""

STORY_START = "Once upon a time"


@dataclass(frozen=True)
class Stories:
    """What may be seen while training."""

    train: list[str]  # whole stories
    extra: list[str]  # runs of paragraphs, whose ends are not always the end of a story
    dev: list[str]  # whole stories, held out from `train`


def read_stories(path: Path) -> list[str]:
    """The stories of a `.jsonl.gz` file, one JSON object with a `text` per line."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["text"].strip() for line in lines]


def read_extra(path: Path) -> list[str]:
    """The text of `extra.txt.gz`, which does not mark where stories begin, in runs of paragraphs.

    A run starts at every paragraph that opens like a story; other paragraphs are appended to it.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        paragraphs = [part.strip() for part in file.read().split("\n\n") if part.strip()]
    runs: list[list[str]] = []
    for paragraph in paragraphs:
        if not runs or paragraph.startswith(STORY_START):
            runs.append([])
        runs[-1].append(paragraph)
    return ["\n\n".join(run) for run in runs]


def read_training_data(data: Path) -> Stories:
    """`train`, `extra` and the held-out end of `train` from the folder `data`/tinystories."""
    stories = read_stories(data / "tinystories" / "train.jsonl.gz")
    return Stories(
        train=stories[:-DEV_STORIES],
        extra=read_extra(data / "tinystories" / "extra.txt.gz"),
        dev=stories[-DEV_STORIES:],
    )


def read_test_stories(data: Path) -> list[str]:
    """The 200 test stories, for `evaluate.py` only."""
    return read_stories(data / "tinystories" / "test.jsonl.gz")
