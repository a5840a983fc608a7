"""How long the explorer's answers take, as a page waits for them, and the click in a browser.

    python -m benchmarks.explore_cost [--runs RUN] [--tokens 64] [--texts 15]

SmolLM2-135M (`bundled:smollm2`) is served as `headscribe explore` serves it. Of every text, which
the server has not seen before, the grid is asked, then what the clicks ask: a word, another word,
the pair, one head. Wall seconds with the way over the loopback and the JSON; drawing is counted
only where Chromium types and clicks (`--browser`): from the last key to the grid, with the pause
in which a page waits for more keys, and from a click to its list. Medians and slowest are printed.
"""

import argparse
import json
import time
import urllib.request
from collections import defaultdict
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any

import headscribe as hs
from headscribe.models.model import Model

STORIES = Path(__file__).resolve().parents[2] / "shared/data/tinystories/train.jsonl.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="bundled:smollm2")
    parser.add_argument("--text", default=str(STORIES))
    parser.add_argument("--runs", nargs="*", default=[])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--texts", type=int, default=15)
    parser.add_argument("--browser", action="store_true")
    given = parser.parse_args()
    model = hs.load(given.model)
    texts = [cut(model, one.text, given.tokens) for one in hs.corpus(given.text, given.texts)]
    spent: dict[str, list[float]] = defaultdict(list)
    with hs.explore(model, given.runs) as page:
        for number, text in enumerate(texts):
            grid = asked(page.address, spent, "grid", "read", text=text)
            last = len(grid["labels"]) - 1
            for kind, name, fields in (
                ("word", "words", {"at": last}),
                ("read from it", "words", {"at": last // 2, "toward": "read"}),
                ("pair", "words", {"at": last, "to": last // 2}),
                ("head", "head", {"head": f"{number % model.layers}.{number % model.heads}"}),
                ("follows", "follows", {"head": f"{number % model.layers}.0"}),
                ("next token", "change", {"off": [f"{number % model.layers}.0"]}),
            ):
                asked(page.address, spent, kind, name, text=text, **fields)
    if given.browser:
        with hs.explore(model, given.runs) as page:
            drawn(page.address, spent, texts)
    for kind, seconds in spent.items():
        print(f"{kind:14}median {median(seconds):.3f} s, slowest {max(seconds):.3f} s")


def drawn(address: str, spent: dict[str, list[float]], texts: list[str]) -> None:
    """Seconds until a browser shows the grid of a text that was pasted, and what a click asks."""
    from tests.integration.browser import Page, chromium

    with chromium() as browser:
        reader = Page(browser, address)
        reader.visit(address)
        page = reader.page
        for text, at in zip(texts, cycle((3, 7, 11)), strict=False):
            page.click("nav >> text=Heads")
            reader.settled()
            before = page.inner_text(".body .headline")
            page.evaluate("document.querySelector('.body .headline').id = 'old'")
            began = time.perf_counter()
            page.fill("#text", text)
            page.wait_for_selector("#old", state="detached")
            page.wait_for_selector(".body .headline")
            page.wait_for_selector("[aria-busy]", state="detached")
            page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
            spent["grid drawn"].append(time.perf_counter() - began)
            assert page.inner_text(".body .headline") != before
            page.click("nav >> text=Words")
            reader.settled()
            began = time.perf_counter()
            page.click(f"[aria-label='The word'] [data-unit='{at}']")
            page.wait_for_selector(f"[aria-label='The word'] [data-unit='{at}'][aria-pressed=true]")
            page.wait_for_selector("[aria-busy]", state="detached")
            page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
            spent["word drawn"].append(time.perf_counter() - began)
        reader.close()


def cut(model: Model, text: str, tokens: int) -> str:
    """The beginning of a text that has so many tokens."""
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"][:tokens]
    return str(model.tokenizer.decode(ids))


def asked(
    address: str, spent: dict[str, list[float]], kind: str, name: str, **fields: object
) -> dict[str, Any]:
    """The answer to a question, and its seconds kept under `kind`."""
    request = urllib.request.Request(
        f"{address}ask/{name}",
        json.dumps(fields | {"page": "p", "number": sum(map(len, spent.values()))}).encode(),
        {"Content-Type": "application/json", "Origin": "/".join(address.split("/")[:3])},
    )
    began = time.perf_counter()
    with urllib.request.urlopen(request) as response:
        answer: dict[str, Any] = json.load(response)
    spent[kind].append(time.perf_counter() - began)
    if "error" in answer:
        raise SystemExit(f"{kind}: {answer['error']}")
    return answer


if __name__ == "__main__":
    main()
