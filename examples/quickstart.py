"""Survey a small model on a few strings and read the answer. Needs no network."""

import tempfile
from pathlib import Path

import headscribe as hs

TEXTS = [
    "Tom had a red ball. Tom gave the red ball to Mia.",
    "The cat sat on the mat. The cat saw a dog and the dog saw the cat.",
    "Mia likes apples, plums and pears. Tom likes apples, plums and pears too.",
    "One day a bird sang in the tree. The bird sang all day in the tree.",
    'Lily asked, "Where is my hat?" Ben said, "Your hat is on the chair."',
]

with tempfile.TemporaryDirectory() as folder:
    model = hs.load("bundled:stories")
    survey = hs.survey(model, TEXTS, out=Path(folder) / "run")

    print("previous token:", survey.top("previous_token", k=3))
    print("best patterns of head 1.2:")
    for score in survey.head("1.2")[:3]:
        print(f"  {score.pattern:<24} distance {score.score:.3f}")

    @hs.pattern(source="this example")
    def article_before() -> str:
        """A noun attends to the article right before it."""
        return 'key.lower in {"a", "the"} and distance == -1'

    mine = hs.survey(model, TEXTS, patterns=["article_before"], out=Path(folder) / "mine")
    print("own pattern:", mine.top("article_before", k=1))
    page = survey.report(Path(folder) / "report.html")
    print("report:", page.stat().st_size // 1024, "KiB")
