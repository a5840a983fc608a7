"""Progress is shown wherever somebody may wait: a bar, a cell of a notebook, or lines."""

import sys
from types import SimpleNamespace

import pytest

from headscribe.api import progress


def test_a_function_is_called_itself() -> None:
    seen: list[tuple[str, int, int]] = []
    with progress.shown(lambda *now: seen.append(now)) as show:
        show("scoring", 1, 2)
    assert seen == [("scoring", 1, 2)]


def test_lines_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    """The first after 10 seconds, then one in 30: never silent for two minutes, never a flood."""
    now = [0.0]
    lines = progress.Lines(lambda: now[0])
    for second in range(100):
        now[0] = float(second)
        lines("scoring", second, 100)
    said = capsys.readouterr().err.splitlines()
    assert said == [f"headscribe: scoring {second} of 100" for second in (10, 40, 70)]


def test_every_stage_has_its_line_where_that_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    lines = progress.Lines(lambda: 0.0, stages=True)
    for stage in ("loading", "loading", "reading", "loading"):  # two processes may take turns
        lines(stage, 0, 2)
    lines("writing", 0, 1)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "headscribe: loading 0 of 2", "headscribe: reading 0 of 2", "headscribe: writing"
    ]  # fmt: skip


def test_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress.shown(None) as show:
        show("scoring", 3, 4)
    said = capsys.readouterr()
    assert "scoring" in said.err
    assert "3/4" in said.err
    assert said.out == ""


def test_a_bar_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is drawn into the cell, and gone at the end."""
    import IPython
    from IPython import display

    shown: list[str] = []
    handle = SimpleNamespace(update=lambda html: shown.append(html.data))

    class ZMQInteractiveShell:
        """As a notebook's shell is called."""

    monkeypatch.setattr(IPython, "get_ipython", ZMQInteractiveShell)
    monkeypatch.setattr(display, "display", lambda *_, **__: handle)
    with progress.shown(None) as show:
        show("scoring <b>", 1, 4)
    assert "value='1' max='4'" in shown[0]
    assert "scoring &lt;b&gt; 1 of 4" in shown[0]
    assert shown[-1] == ""
