"""How large a report is and how fast it is: runs of the shapes that matter, in Debian's Chromium.

    python benchmarks/report.py [RUN...]      synthetic runs, and real ones beside them

Needs the extra `dev` and /usr/bin/chromium; writes benchmarks/report.md.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from headscribe.report.page import write_page
from headscribe.results.examples import ExampleRow, table_of
from headscribe.results.run import Run

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = "/usr/bin/chromium"
METRICS = ("jsd", "sae", "sae_sum", "mae", "iou", "overlap", "mass", "mass_gain", "hit", "hit_gain")
FAMILIES = ("positional", "lexical", "syntactic", "sink")

PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
MOVES = """async () => {
  const cells = [...document.querySelectorAll('.cell')];
  const frames = [];
  let last = performance.now();
  for (const cell of cells.slice(0, 300)) {
    cell.dispatchEvent(new PointerEvent('pointerover', { bubbles: true }));
    cell.focus({ preventScroll: true });
    await new Promise(requestAnimationFrame);
    const now = performance.now();
    frames.push(now - last);
    last = now;
  }
  frames.sort((a, b) => a - b);
  return [frames[frames.length >> 1], frames[Math.floor(frames.length * 0.95)]];
}"""


def survey(folder: Path, layers: int, heads: int, texts: int, lengths: tuple[int, ...]) -> Run:
    """A survey of so many texts with 24 patterns, all metrics, views and splits."""
    rng = np.random.default_rng(0)
    names = [f"pattern_{n}" for n in range(24)]
    run = Run.create(folder, "survey", {"seed": 0, "model": f"{layers:08x}{heads:08x}"})
    run.manifest |= {
        "model": {"name": folder.name, "layers": layers, "heads": heads, "causal": False},
        "corpus": {"name": "synthetic", "texts": texts, "tokens": 40 * texts},
        "versions": {"headscribe": "0.1.0"},
        "patterns": [
            {"name": name, "sentence": "What it says.", "family": FAMILIES[n % 4], "source": ""}
            for n, name in enumerate(names)
        ],
    }
    shape = np.array([len(names), layers, heads, len(METRICS), 2, 4])
    at = np.unravel_index(np.arange(shape.prod()), shape)
    score = rng.uniform(0, 1, len(at[0]))
    gain = rng.normal(-0.1, 0.2, len(score))
    columns: dict[str, Any] = {
        "pattern": pa.array(names).take(pa.array(at[0])),
        "layer": at[1].astype(np.int32), "head": at[2].astype(np.int32),
        "metric": pa.array(METRICS).take(pa.array(at[3])),
        "view": pa.array(["raw", "content"]).take(pa.array(at[4])),
        "split": pa.array(["all", "fit", "select", "test"]).take(pa.array(at[5])),
        "score": score, "low": score - 0.003, "high": score + 0.003,
        "texts": np.full(len(score), texts), "rows": score * 1e5,
        "coverage": rng.uniform(0.2, 1, len(score)),
        "baseline": pa.array(["profile", "uniform"]).take(pa.array(at[0] % 2)),
        "gain": gain, "gain_low": gain - 0.01, "gain_high": gain + 0.01,
    }  # fmt: skip
    run.write_table("scores", pa.table(columns))
    rows = []
    for number, length in enumerate(lengths):
        words = [f"word{n}" for n in rng.integers(0, 999, length)]
        facts = {"text": " ".join(words), "labels": words, "words": {"form": words},
                 "word_of_token": list(range(length)), "special": [False] * length}  # fmt: skip
        rows.append(ExampleRow.of_text(f"t{number}", length, facts))
        for kind, listed in (
            ("head", [f"{n}.{h}" for n in range(layers) for h in range(heads)]),
            ("pattern", names),
        ):
            for name in listed:
                matrix = rng.random((length, length), np.float32) ** 30 + 1e-9
                rows.append(ExampleRow.of_matrix(
                    f"t{number}", kind, name, matrix / matrix.sum(axis=1, keepdims=True)
                ))  # fmt: skip
    run.write_table("examples", table_of(rows))
    run.finish()
    return run


def measured(browser: "Browser", target: Path, head: str) -> list[str]:
    """First paint, frames while moving over the grid, and how long a head takes to be drawn."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    started = time.perf_counter()
    page.goto(f"file://{target}")
    page.wait_for_selector(".cell")
    grid = time.perf_counter() - started
    paint = page.evaluate(PAINT)
    middle, slow = page.evaluate(MOVES)
    started = time.perf_counter()
    page.evaluate("head => { location.hash = `/0/head/${head}` }", head)
    page.wait_for_selector(".unit, .lacking")
    shown = time.perf_counter() - started
    context.close()
    return [
        f"{paint:.0f}",
        f"{grid * 1000:.0f}",
        f"{middle:.1f}",
        f"{slow:.1f}",
        f"{shown * 1000:.0f}",
    ]


def main(real: list[str]) -> None:
    """Measure all, and write the table."""
    from playwright.sync_api import sync_playwright

    lines = [
        "# The report: size and speed", "",
        "Written by `python benchmarks/report.py`; Debian's Chromium, two cores. Synthetic runs "
        "hold random numbers, which do not compress: real ones are smaller. The examples are six "
        "texts, as a survey keeps them (two of 512 tokens). Frames: time between two, while "
        "pointer and focus move over 300 cells of the grid (16.7 ms is the screen's own rate).",
        "",
        "| run | MB | written in s | first paint ms | grid drawn ms | frame, median ms "
        "| frame, 95 % ms | a head drawn ms |", "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        cases = [
            ("BERT-base, 10,000 texts, examples of 64 tokens", 12, 12, (64,) * 6),
            ("BERT-base, 10,000 texts, examples of 512 tokens", 12, 12, (512,) * 2),
            ("32 x 32 heads, examples of 64 tokens", 32, 32, (64,) * 6),
        ]
        runs = [
            (title, [survey(folder / f"case{n}", layers, heads, 10_000, lengths)])
            for n, (title, layers, heads, lengths) in enumerate(cases)
        ]
        if real:
            runs.append(
                (" + ".join(Path(one).name for one in real), [Run.open(one) for one in real])
            )
        for title, shown in runs:
            target = folder / "report.html"
            started = time.perf_counter()
            write_page(shown, target)
            seconds = time.perf_counter() - started
            size = target.stat().st_size / 1e6
            cells = [title, f"{size:.2f}", f"{seconds:.1f}", *measured(browser, target, "1.1")]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
        browser.close()
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
