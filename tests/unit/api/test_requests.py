"""An option is one line: dataclass, command line, Python, settings page and run.json follow."""

import inspect
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import headscribe as hs
from headscribe.api import requests
from headscribe.api.runs import begin
from headscribe.cli.commands import command
from headscribe.cli.settings import request_section
from headscribe.core.errors import UsageError
from headscribe.results import run
from headscribe.results.requests import Option, options_of, verb

REQUESTS = [
    one
    for one in vars(requests).values()
    if isinstance(one, type) and one.__module__ == requests.__name__
]


@dataclass(frozen=True)
class CountRequest(requests.Kept):
    """Count the words of texts."""

    texts: requests.Texts = None
    _: KW_ONLY
    longest: Annotated[int, Option("Words of at most so many letters.", least=1)] = 9


@verb(CountRequest)
def count(request: CountRequest) -> dict[str, object]:
    """Count words.

    Raises:
        UsageError: too short.
    """
    run = begin(request, "count", ("made", "words"), {"texts": "f00"})
    return run.manifest


SEEN: list[dict[str, object]] = []


def shown(found: dict[str, object], *, as_json: bool) -> None:
    SEEN.append(found)


def the_command() -> typer.Typer:
    app = typer.Typer()
    app.command()(command(CountRequest, f"{__name__}:count", shown))
    app.command("other")(lambda: None)
    return app


def test_the_page_of_settings_says_what_is_needed() -> None:
    page = "\n".join(request_section(requests.EffectsRequest))
    assert "| `model` | `MODEL` | needed |" in page


def test_one_line_is_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`longest` stands in one line of the dataclass alone."""
    names = [one.name for one in fields(CountRequest)]
    # Python: signature and documentation.
    assert set(inspect.signature(count).parameters) == set(names)
    assert list(inspect.signature(count).parameters)[:2] == ["texts", "longest"]
    assert inspect.signature(count).parameters["longest"].default == 9
    assert inspect.signature(count).parameters["longest"].annotation is int
    assert inspect.signature(count).parameters["texts"].kind.name == "POSITIONAL_OR_KEYWORD"
    assert "    longest: Words of at most so many letters.\n" in inspect.getdoc(count)
    # The page of settings.
    page = "\n".join(request_section(CountRequest))
    for name in names:
        assert f"| `{name}` |" in page
    # The command line: help and call.
    monkeypatch.setitem(__import__("sys").modules, __name__, inspect.getmodule(shown))
    runner = CliRunner()
    said = runner.invoke(the_command(), ["count", "--help"]).output
    flags = [one.flag for one in options_of(CountRequest) if not one.option.python_only]
    assert set(flags) == {"--text", "--device", "--dtype", "--out", "--resume", "--longest"}
    for flag in flags:
        assert flag in said
    assert "Words of at most so many letters." in " ".join(said.split())
    done = runner.invoke(
        the_command(), ["count", "--longest", "5", "--text", "a", "--out", str(tmp_path / "run")]
    )
    assert done.exit_code == 0, done.output
    # run.json
    config = SEEN[-1]["config"]
    assert config == {
        "texts": ["a"], "longest": 5, "out": str(tmp_path / "run"), "resume": False,
        "device": None, "dtype": None,
    }  # fmt: skip


def test_resume_insists_on_what_numbers_depend_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(UsageError, match=r"the run to resume \(--out RUN\)"):
        count(["a b"], resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"a run to resume in .*, found other files"):
        count(["a b"], out=tmp_path / "other", resume=True)
    # Interrupted before there was a run: the same command begins it.
    count(["a b"], out=tmp_path / "run", longest=4, resume=True)
    assert f"no run in {tmp_path / 'run'} yet: it begins now" in caplog.text
    count(["a b"], out=tmp_path / "run", longest=4, resume=True)
    with pytest.raises(UsageError, match="longest differ from the unfinished run"):
        count(["a b"], out=tmp_path / "run", longest=5, resume=True)


def test_a_run_is_kept_without_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "RUNS", tmp_path / "runs")
    count(["a b"])
    count(["a b"])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [
        "made--words",
        "made--words-2",
    ]


def test_home_is_found_without_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "texts.txt").write_text("one\ntwo")
    assert len(hs.corpus("~/texts.txt")) == 2
    for out in ("~/run", Path("~/second")):
        made = count("~/texts.txt", out=out)
        assert made["config"]["out"] == str(tmp_path / Path(out).name)
        assert made["config"]["texts"] == str(tmp_path / "texts.txt")
        assert (tmp_path / Path(out).name / "run.json").is_file()
        assert run.Run.open(out).kind == "count"
    assert not Path("~").exists()


def test_wrong_options_are_named() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'longst'"):
        count(["a"], longst=4)
    with pytest.raises(UsageError, match="expected at least 1 for longest, got 0"):
        count(["a"], longest=0)


@pytest.mark.parametrize("request_class", REQUESTS)
def test_every_option_has_its_sentence_and_stands_on_the_page(request_class: type) -> None:
    page = "\n".join(request_section(request_class))
    for one in options_of(request_class):
        assert one.option.sentence.endswith(".")
        assert f"| `{one.name}` |" in page
    assert request_class.__doc__
