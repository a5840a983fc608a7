"""Python and the command line give one answer; own sentences; names that are no pattern."""

import json
from pathlib import Path
from shutil import copytree

import pytest

import headscribe as hs
from tests.commands import headscribe, wrong

SENTENCE = "The cat saw the dog."


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> hs.Survey:
    texts = hs.corpus("bundled:samples", 12)
    out = tmp_path_factory.mktemp("survey") / "run"
    own = 'key.lower == "the" and distance < 0'
    return hs.survey(
        "bundled:stories", texts, pattern=own, max_tokens=24, annotator="plain", out=out
    )


@pytest.mark.parametrize("pattern", [None, "previous_token", "repetition_without_self"])
def test_top_is_one_answer(survey: hs.Survey, pattern: str | None) -> None:
    named = [] if pattern is None else ["--pattern", pattern]
    done = headscribe("top", survey.folder, *named, "-k", 2, "--json", cwd=survey.folder)
    assert json.loads(done.stdout) == [score.as_dict() for score in survey.scores(pattern, k=2)]
    if pattern is not None:
        pairs = [(score.head_id, score.score) for score in survey.scores(pattern, k=2)]
        assert survey.top(pattern, k=2) == pairs


def test_a_pattern_that_was_not_scored_and_one_that_is_none(survey: hs.Survey) -> None:
    with pytest.raises(hs.UsageError, match=r"`induction` was not scored in .*--patterns default,"):
        survey.top("induction")
    here = survey.folder.parent
    said = wrong(here, "top", survey.folder, "--pattern", "inductoin")
    assert "did you mean `induction`" in said
    skipped = wrong(here, "top", survey.folder, "--pattern", "dependency")
    assert "`dependency` was not scored" in skipped
    assert "it needs head of every word" in skipped
    with pytest.raises(hs.UsageError, match=r"did you mean `previous_token`"):
        survey.scores("previous_tokn")


@pytest.mark.parametrize("head", ["1.2", "L1H2", "l1h2", (1, 2), hs.HeadId(1, 2)])
def test_heads_are_written_as_people_write_them(survey: hs.Survey, head: object) -> None:
    assert survey.head(head)[0].head == "1.2"
    if isinstance(head, str):
        assert headscribe("show", survey.folder, head, cwd=survey.folder).returncode == 0


def test_show_on_a_sentence_of_ones_own(survey: hs.Survey, tmp_path: Path) -> None:
    arguments = ["show", survey.folder, "L1H2", "--text", SENTENCE]
    done = headscribe(*arguments, "--png", "mine.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Attention of L1H2 on this text" in done.stdout
    assert (tmp_path / "mine.png").read_bytes().startswith(b"\x89PNG")
    own = next(name for name in survey.patterns if name.startswith("own:"))
    assert f"What {own} predicts" in headscribe(*arguments, "--pattern", own, cwd=tmp_path).stdout
    assert "got both" in wrong(tmp_path, *arguments, "--text-id", "x")


def test_one_matrix_by_every_way(survey: hs.Survey) -> None:
    """The attention of a head on a text of the survey is what the survey kept of it."""
    from headscribe.results.examples import read_examples

    text_id, example = next(iter(read_examples(survey.run).items()))
    text = next(t.text for t in hs.corpus("bundled:samples") if t.id == text_id)
    kept = example.heads["1.2"].matrix()
    length = len(kept)
    found = hs.attention("bundled:stories", text, (1, 2))
    assert abs(found.values[:length, :length] - kept).max() < 1e-4
    assert list(found.labels[:length]) == example.labels


def test_matrices_of_other_tokens_are_not_compared() -> None:
    read = hs.attention("bundled:stories", SENTENCE, "1.2")
    words = hs.predict("distance == -1", SENTENCE)
    with pytest.raises(hs.UsageError, match="expected matrices of one text by one tokenizer"):
        read.figure(words)
    with pytest.raises(hs.UsageError, match=r"it has 6 layers of 6 heads, 0\.0 to 5\.5"):
        hs.attention("bundled:stories", SENTENCE, "6.0")


def test_a_fit_from_its_folder_is_the_fit(story_fit: Path, tmp_path: Path) -> None:
    """What was fitted and what is read again say the same; a formula is a function of a text."""
    copytree(story_fit, tmp_path / "fit")
    fit = hs.fit(
        "bundled:stories", hs.corpus("bundled:samples", 20), terms=1, max_tokens=12,
        annotator="plain", out=tmp_path / "fit", resume=True,
    )  # fmt: skip
    again = hs.open(tmp_path / "fit")
    assert [str(one) for one in again.heads] == [str(one) for one in fit.heads]
    assert again["L1H2"].formula == fit[1, 2].formula
    assert again.to_json() == fit.to_json()
    assert str(again.mean("gain")) == str(fit.mean("gain"))
    predicted = again.function("1.2", "bundled:stories")(SENTENCE)
    assert abs(predicted.values.sum(axis=1) - 1).max() < 1e-5
    done = headscribe("fit", "bundled:stories", "--text", "bundled:samples", "--limit", 20,
                      "--terms", 1, "--max-tokens", 12, "--annotator", "plain", "--out", "fit",
                      "--resume", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) < 30, "where output is piped as well"
    assert "run: fit" in done.stdout
