"""Annotating processes: the same words, whoever finds them, and nothing left behind."""

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import spacy

from headscribe.core.errors import RunError, UsageError
from headscribe.core.processes import Command
from headscribe.text import annotation as annotation_module
from headscribe.text import workers as workers_module
from headscribe.text.annotation import (
    CHUNK,
    CHUNK_CHARACTERS,
    WORTH_A_WORKER,
    Annotation,
    annotated,
    default_workers,
)
from headscribe.text.annotators import annotator
from headscribe.text.cache import AnnotationCache
from headscribe.text.corpora import from_strings
from headscribe.text.workers import Workers
from tests.unit.text.test_cache import Counting, same

CORPUS = from_strings([f"Anna saw {i} birds. They were “gone”." for i in range(3 * CHUNK)])


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A pipeline that loads in a moment."""
    folder = tmp_path_factory.mktemp("pipeline")
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(folder)
    return str(folder)


def alive(pid: int) -> bool:
    """Whether a process runs, or waits to be buried."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(pid: int, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive(pid)


def test_the_words_do_not_depend_on_the_number_of_processes(pipeline: str, tmp_path: Path) -> None:
    chosen = annotator(pipeline)
    seen: list[tuple[int, int]] = []
    alone = list(annotated(CORPUS, chosen, cache=AnnotationCache(tmp_path / "a"), workers=0))
    cache = AnnotationCache(tmp_path / "b")
    two = list(annotated(CORPUS, chosen, lambda *done: seen.append(done), cache, workers=2))
    assert [text.id for text, _ in two] == [text.id for text in CORPUS]
    assert all(same(a, b) for (_, a), (_, b) in zip(alone, two, strict=True))
    assert {words.provides for _, words in two} == {frozenset({"sentence"})}
    assert seen == [(i + 1, len(CORPUS)) for i in range(len(CORPUS))]
    with Annotation(CORPUS.texts, chosen, cache=cache, workers=2) as annotation:
        assert annotation._workers is None, "everything is cached: no process is started"
        again = [annotation.words(text.id) for text in CORPUS]
    assert all(same(words, found) for words, (_, found) in zip(again, two, strict=True))


def test_a_vanished_process_is_replaced_and_said(
    pipeline: str, tmp_path: Path, monkeypatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Texts are asked for in another order, one process is killed, then the rest is given up."""
    monkeypatch.setattr(annotation_module, "AHEAD", 0)
    chosen = annotator(pipeline)
    expected = dict(annotated(CORPUS, chosen, cache=AnnotationCache(tmp_path / "a"), workers=0))
    cache = AnnotationCache(tmp_path / "b")
    first, middle, last = (CORPUS.texts[i] for i in (0, CHUNK, -1))
    with (
        caplog.at_level(logging.WARNING, "headscribe"),
        Annotation(CORPUS.texts, chosen, cache=cache, workers=1) as annotation,
    ):
        assert same(annotation.words(last.id), expected[last])
        annotation._workers._commands[0].kill()
        assert same(annotation.words(middle.id), expected[middle])
        pids = [worker.pid for worker in annotation._workers._commands]
    assert "an annotating process was ended by signal 9; another goes on for it" in caplog.text
    assert len(pids) == 2
    assert not any(map(alive, pids)), "closing buries the processes"
    assert same(annotation.words(first.id), expected[first])


def test_processes_that_always_vanish_fail_the_run(pipeline: str, monkeypatch) -> None:
    start = workers_module._started

    def doomed(name: str) -> Command:
        worker = start(name)
        worker.kill()
        return worker

    monkeypatch.setattr(workers_module, "_started", doomed)
    with (
        Workers(annotator(pipeline), 1) as workers,
        pytest.raises(
            RunError, match=r"3 processes were lost, the last was ended by signal 9.*--workers"
        ),
    ):
        workers.annotate(CORPUS.texts[:2]).result()


def test_what_goes_wrong_in_a_process_is_raised_here(pipeline: str, tmp_path: Path) -> None:
    chosen = annotator(pipeline)
    long = from_strings(["a" * 1_000_001])
    with pytest.raises(UsageError, match="text text:1: expected at most 1000000 characters"):
        list(annotated(long, chosen, cache=AnnotationCache(tmp_path), workers=1))
    changed = annotator(pipeline)
    changed.fingerprint = "spacy-another"
    with pytest.raises(RunError, match="its files changed"):
        list(annotated(CORPUS, changed, cache=AnnotationCache(tmp_path), workers=1))


def test_processes_end_with_their_parent(pipeline: str, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from headscribe.text.annotators import annotator\n"
        "from headscribe.text.corpora import from_strings\n"
        "from headscribe.text.workers import Workers\n"
        "workers = Workers(annotator(sys.argv[1]), 1)\n"
        "workers.annotate(from_strings(['one text']).texts).result()\n"
        "print(workers._commands[0].pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, pipeline], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    assert gone(pid)


def test_small_work_and_unknown_annotators_stay_in_this_process(tmp_path: Path) -> None:
    assert default_workers(WORTH_A_WORKER - 1) == 0
    assert default_workers(WORTH_A_WORKER) == 1
    assert 1 <= default_workers(10**9) <= 8
    counting = Counting(cacheable=False)
    with Annotation(CORPUS.texts, counting, workers=2) as annotation:
        assert annotation._workers is None
    assert counting.asked == []


def test_chunks_bound_texts_and_characters(tmp_path: Path) -> None:
    texts = from_strings(["a" * (CHUNK_CHARACTERS // 2)] * 5 + ["b"] * (CHUNK + 1)).texts
    annotation = Annotation(texts, Counting(), cache=AnnotationCache(tmp_path))
    assert [len(chunk) for chunk in annotation._chunks] == [2, 2, 16, 2]
