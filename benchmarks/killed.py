"""`kill -9` at random moments, then `--resume`: the tables of a run that was never interrupted?

    python -m benchmarks.killed [--moments 20] [--command survey] [--engine local] [--seed 0]
        [--out FILE]

A survey of the bundled storyteller, words by a small pipeline in an annotating process with an
empty cache, sums stored after every batch. Each attempt runs in a process of its own, is killed at
a moment between its first text and the end of an uninterrupted one, and resumed to the end. Of
`--command discover`, the offline search on two heads, every other one is killed in its last tenth,
where tables are written. Every table must equal the uninterrupted run's byte by byte. Afterwards
no process of it may be left.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import spacy

from headscribe.results.run import Run
from headscribe.text.corpora import corpus

PROGRAM = """
import os, signal, sys, threading, time
from pathlib import Path
import headscribe as hs
from headscribe.results import run

run.KEEP_EVERY, run.KEEP_SHARE = 0.0, 1e9
engine, pipeline, texts, out, delay = sys.argv[1:6]
started = []

def report(*_):
    if not started:
        started.append(time.perf_counter())
        if float(delay) > 0:
            threading.Timer(float(delay), os.kill, (os.getpid(), signal.SIGKILL)).start()

asked = {
    "annotator": pipeline, "out": out, "on_progress": report,
    "resume": os.path.exists(os.path.join(out, "run.json")),
}
model = hs.load("bundled:stories", device="cpu")
if engine == "discover":
    hs.discover(
        model, texts, heads="4.0,3.2", rounds=2, terms=2, smallest=0.0, max_tokens=24,
        library=out + "-library.jsonl", **asked,
    )
else:
    hs.survey(
        model, texts, engine=engine, workers=1, token_budget=256, max_tokens=48, **asked
    )
print(time.perf_counter() - started[0] if started else 0.0, flush=True)
os._exit(0)
"""


def attempt(folder: Path, engine: str, run: str, delay: float) -> float | None:
    """Seconds of a survey, None if it was killed before its end."""
    arguments = [engine, str(folder / "pipeline"), str(folder / "texts.txt"), str(folder / run)]
    environment = os.environ | {"HEADSCRIBE_CACHE": str(folder / f"{run}-cache")}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments, str(delay)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode == -signal.SIGKILL:
        return None
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    return float(done.stdout)


def stage(folder: Path) -> str:
    """How far a killed run had come."""
    if not (folder / "run.json").is_file():
        return "before run.json"
    run = Run.open(folder)
    if run.complete:
        return "complete"
    if run.manifest["tables"]:
        return "writing tables"
    if (folder / "heads").is_dir():
        return f"{len(list((folder / 'heads').glob('*.json')))} heads"
    parts = len(list((folder / "stages").glob("shard-*.parquet")))
    return f"{parts} parts" if parts else "state" * run.has_kept("sums.unfinished") or "no sums"


def left_over(folder: Path) -> list[str]:
    """Processes that still work on the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if str(folder) in command and entry.name != str(os.getpid()):
                found.append(f"{entry.name} {command[:120]}")
    return found


def prepare(folder: Path, texts: int) -> None:
    """A pipeline that loads in a moment, and texts."""
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(folder / "pipeline")
    lines = [" ".join(text.text.split()) for text in corpus("bundled:samples")][:texts]
    (folder / "texts.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Kill, resume, compare; print and keep the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--command", default="survey", choices=("survey", "discover"))
    parser.add_argument("--engine", default="local")
    parser.add_argument("--texts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    how = options.engine if options.command == "survey" else options.command
    moments, lines = random.Random(options.seed), []
    with tempfile.TemporaryDirectory(prefix="killed-") as name:
        folder = Path(name)
        prepare(folder, options.texts)
        whole = attempt(folder, how, "whole", 0)
        assert whole is not None
        tables = Run.open(folder / "whole").manifest["tables"]
        # Compiled loops are in their cache now: this one tells how long a survey takes.
        whole = attempt(folder, how, "timed", 0) or whole
        number = escaped = 0
        while number < options.moments:
            late = options.command == "discover" and number % 2
            run, delay = f"killed{number + escaped}", moments.uniform(0.9 * late, 1) * whole
            ended = attempt(folder, how, run, delay)
            if ended is not None:  # faster than the one that was timed
                whole, escaped = min(whole, ended), escaped + 1
                continue
            number, at = number + 1, stage(folder / run)
            attempt(folder, how, run, 0)
            wrong = [
                table
                for table in tables
                if (folder / run / f"{table}.parquet").read_bytes()
                != (folder / "whole" / f"{table}.parquet").read_bytes()
            ]
            if wrong:
                raise SystemExit(f"killed after {delay:.2f} s ({at}): {', '.join(wrong)} differ")
            lines.append(f"| {number} | {delay:.2f} | {at} | equal |\n")
            print(lines[-1].strip(), file=sys.stderr, flush=True)
        time.sleep(2)
        left = left_over(folder)
        if left:
            raise SystemExit(f"still running: {left}")
    page = (
        "# Killed and resumed\n\n"
        f"`python -m benchmarks.killed --command {options.command} --engine {options.engine} "
        f"--moments {options.moments} --seed {options.seed}`: {len(lines)} runs were "
        f"killed before their end; an uninterrupted one takes {whole:.1f} s. {len(tables)} tables "
        f"compared byte by byte: {', '.join(tables)}. No process was left.\n\n"
        "| attempt | killed after, s | how far it was | tables after resuming |\n"
        "|---|---|---|---|\n"
    ) + "".join(lines)
    print(page)
    if options.out:
        options.out.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
