"""The answer from the command line and from Python, on a real small model."""

import json
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree, rmtree

import numpy as np
import pytest

import headscribe as hs
from headscribe.cli import explain
from headscribe.report.page import report
from headscribe.results.run import STAGES
from tests.commands import Command, wrong
from tests.integration.browser import Reader, chromium

ENTRY = {
    "head", "name", "sentence", "reads", "family", "sink_share", "budget", "budget_differs",
    "behaviours", "formula", "iou", "profile_iou", "gain", "writes",
}  # fmt: skip


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> hs.Explained:
    out = tmp_path_factory.mktemp("answer") / "run"
    return hs.explain("bundled:stories", "bundled:samples", max_tokens=32, out=out)


def test_every_head_has_a_card(answer: hs.Explained) -> None:
    assert len(answer.cards) == 36
    named = [card for card in answer.cards.values() if card.family]
    assert answer.run.manifest["named"] == len(named) >= 20
    assert f"{len(named)} of 36 heads" in answer.summary
    for card in answer.cards.values():
        assert sum(share for _, share in card.budget) == pytest.approx(1, abs=1e-4)
        assert 0 <= card.differs < 0.2
    alike = sum(card.differs <= 0.03 for card in answer.cards.values())
    assert f"for {alike} of 36 heads" in answer.summary
    for card in answer.cards.values():
        assert len(card.name.replace("→", "").split()) <= 6
    assert answer.card("L1H2") is answer.card("1.2") is answer.card((1, 2))
    with pytest.raises(hs.UsageError, match=r"no head 9\.9 in .*: it has 6 layers of 6 heads, 0\."):
        answer.card("9.9")


def test_a_fit_beside_it_gives_the_formula(answer: hs.Explained) -> None:
    assert {entry["iou"] for entry in answer.to_json()} == {None}
    texts = [f"The {one} sat on the {one}. The {one} slept." for one in ("cat", "dog", "cow")]
    beside = answer.folder.parent / "fit"
    fit = hs.fit("bundled:stories", texts, terms=1, out=beside)
    try:
        again = hs.explain(answer.folder)
        assert again.fit is not None
        assert again.fit.folder.samefile(beside)
        (entry,) = again.to_json([hs.HeadId(3, 3)])
        (term,) = fit["3.3"].formula.terms
        assert entry["formula"][0]["relation"] == str(term.relation)
        iou = fit["3.3"].scores["formula", "raw", "iou"].mean
        assert entry["iou"] == pytest.approx(iou, abs=1e-4)
        assert entry["gain"] == pytest.approx(entry["iou"] - entry["profile_iou"], abs=2e-4)
    finally:
        rmtree(beside)


def test_the_run_opens_again(answer: hs.Explained) -> None:
    again = hs.open(answer.folder)
    assert isinstance(again, hs.Explained)
    assert again.to_json() == answer.to_json()
    assert hs.explain(answer.folder).to_json() == answer.to_json()
    assert len(again.frame("cards")) == 36


def test_the_command_line(answer: hs.Explained) -> None:
    def run(*arguments: str | Path) -> str:
        done = Command("explain", *arguments, cwd=answer.folder.parent, COLUMNS="80").wait()
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = run(answer.folder)
    kept = str(answer.folder)
    assert all(len(line) <= 80 or kept in line for line in said.splitlines())
    assert answer.card("1.2").name[:20] in said or not answer.card("1.2").family
    listed = json.loads(run(answer.folder, "--json"))
    assert [set(entry) for entry in listed] == [ENTRY] * 36
    for heads in (("--head", "1.2"), ("1.2",), ("L1H2", "3.3")):
        said = run(answer.folder, *heads).replace("\n", " ")
        assert answer.card("1.2").sentence[:30] in said
        assert (answer.card("3.3").sentence[:30] in said) == (len(heads) == 2 and "3.3" in heads)
    # A head that is not there does not lose those that are.
    for more in ((), ("--json",)):
        done = Command("explain", answer.folder, "9.9", "1.2", *more, cwd=answer.folder.parent)
        done = done.wait()
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
        assert "no head 9.9 in" in done.stderr
        assert answer.card("1.2").sentence[:30] in done.stdout
    done = Command("explain", answer.folder, "9.9", "--json", cwd=answer.folder.parent).wait()
    assert (done.returncode, done.stdout) == (2, "")


def test_many_heads_are_answered_on_a_screen(
    answer: hs.Explained, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    named = {str(card.head): card for card in answer.cards.values() if card.family}
    unnamed = {str(card.head) for card in answer.cards.values()} - set(named)
    explain.print_answer(answer, short=True)  # 36 heads fit on a screen
    listed = re.findall(r"^  (\d+\.\d+) ", capsys.readouterr().out, re.M)
    assert sorted(listed) == sorted(named)
    monkeypatch.setattr(explain, "SCREEN", 35)
    explain.print_answer(answer, short=True)
    out = capsys.readouterr().out
    counts = [int(count) for count in re.findall(r"^ +(\d+)  \S", out, re.M)]
    assert sum(counts) == len(named)
    assert len(out.splitlines()) < 50
    for line in re.findall(r"^ +\d+  (?!\d+ other).+", out, re.M):
        name, heads = line[7:43].strip(), line[43:]
        for head, share in re.findall(r"(\d+\.\d+)(?: (\d+)%)?", heads):
            assert named[head].name == name
            if share and named[head].excess:
                expected = named[head].figures[0].confirmed["share"]
                assert int(share) == pytest.approx(100 * expected, abs=0.51)
    (rest,) = re.findall(r"^no name yet, .*?(?=\n\n)", out, re.M | re.S) or [""]
    assert set(re.findall(r"\d+\.\d+", rest)) == unnamed
    assert f"headscribe explain {answer.folder}" in out
    explain.print_answer(answer)
    assert len(re.findall(r"^  \d+\.\d+ ", capsys.readouterr().out, re.M)) == len(named)


def test_top_and_show_of_a_run_without_scores(answer: hs.Explained) -> None:
    here = answer.folder.parent
    done = Command("top", answer.folder, "-k", "3", "--json", cwd=here).wait()
    listed = json.loads(done.stdout)
    by = {name: [row for row in listed if row["behaviour"] == name] for name in
          {row["behaviour"] for row in listed}}  # fmt: skip
    followers = by["what followed it before"]
    assert len(followers) == 3
    for row in listed:
        card = answer.card(row["head"])
        (figure,) = [one for one in card.figures if one.behaviour == row["behaviour"]]
        assert figure.listed
        assert row["excess"] == figure.confirmed["excess"]
    for rows in by.values():
        excesses = [row["excess"] for row in rows]
        assert excesses == sorted(excesses, reverse=True)
    best = max(
        (figure.confirmed["excess"], str(card.head))
        for card in answer.cards.values()
        for figure in card.figures
        if figure.behaviour == "what followed it before" and figure.listed
    )
    assert (followers[0]["excess"], followers[0]["head"]) == best
    said = wrong(here, "top", answer.folder, "--pattern", "what followed it befor")
    assert "did you mean `what followed it before`" in said
    assert f"headscribe explain {answer.folder} 1.2" in wrong(here, "show", answer.folder, "L1H2")


def test_a_survey_answers_in_its_own_passes(answer: hs.Explained) -> None:
    out = answer.folder.parent / "survey"
    try:
        done = Command(
            "survey", "bundled:stories", "--text", "bundled:samples", "--max-tokens", "32",
            "--patterns", "previous_token", "--out", out, cwd=out.parent, COLUMNS="80",
        ).wait()  # fmt: skip
        assert done.returncode == 0, done.stderr
        survey = hs.open(out)
        assert isinstance(survey, hs.Survey)
        # The same batches are read as explain reads, so that not a digit differs.
        assert survey.cards == answer.cards
        assert survey.summary == answer.summary
        assert survey.summary[:60] in done.stdout
        assert f"headscribe top {out}" in done.stdout
        clearest = max(survey.cards.values(), key=lambda card: card.excess).head
        assert f"headscribe explain {out} {clearest}" in done.stdout
        card = survey.card(clearest)
        begins = f"{card.head.prose}  {card.name}\n{card.sentence[:40]}"
        shown = Command("show", out, clearest, cwd=out.parent, COLUMNS="80").wait()
        assert shown.stdout.startswith(begins)
        text = ("--text", "The cat sat on the mat. The cat sat.")
        shown = Command("show", out, clearest, *text, cwd=out.parent, COLUMNS="80").wait()
        assert shown.stdout.startswith(begins)
        (named,) = (f for f in card.figures if f.behaviour == card.name)
        drawn = shown.stdout.split(f"What “{card.name}” predicts\n")[1]
        expected = hs.predict(named.relation, text[1], "bundled:stories").values
        full = [line for line in drawn.splitlines() if "█" in line and "more" not in line]
        assert len(full) == (expected == 1).any(axis=1).sum() > 0
        told = Command("diff", out, answer.folder, "--json", cwd=out.parent).wait()
        names = json.loads(told.stdout)["names"]
        assert names["same_name"] == len(names["pairs"]) == answer.run.manifest["named"]
        assert survey.to_json() == hs.explain(out).to_json()
        assert survey.top("previous_token", k=1)[0][0] == hs.HeadId(1, 2)
    finally:
        rmtree(out)


def test_sums_of_another_version_are_said_when_a_run_goes_on(tmp_path: Path) -> None:
    """An interrupted run that was begun before the sums `even` and `picked` were kept."""
    texts = [f"The cat number {i} sat on the mat." for i in range(24)]

    def stop(task: str, done: int, total: int) -> None:
        if task == "scoring" and done:
            raise KeyboardInterrupt

    def explain(**more: object) -> hs.Explained:
        return hs.explain("bundled:stories", texts, out=tmp_path, annotator="plain", **more)

    with pytest.raises(KeyboardInterrupt):
        explain(on_progress=stop)
    (kept,) = (tmp_path / STAGES).glob("*.npz")
    with np.load(kept) as arrays:
        old = {name: arrays[name] for name in arrays if not name.endswith("/even")}
    assert len(old) < len(arrays.files)
    np.savez(kept, **old)
    with pytest.raises(hs.RunError, match="lacks even as this version sums them: remove it, and"):
        explain(resume=True)
    rmtree(tmp_path / STAGES)
    assert len(explain(resume=True).cards) == 36


def test_without_cards_a_survey_says_so(tmp_path: Path) -> None:
    texts = [f"The cat number {i} sat on the mat." for i in range(24)]
    plain = hs.survey(
        "bundled:stories", texts, patterns="previous_token", cards=False, out=tmp_path / "a"
    )
    few = hs.survey("bundled:stories", texts[:4], patterns="previous_token", out=tmp_path / "b")
    for run in (plain, few):
        assert not run.answered
        with pytest.raises(hs.UsageError, match="no cards: survey texts of at least 20 documents"):
            run.card("1.2")
    assert any("heads have no names: expected at least 20 texts" in note for note in
               few.run.manifest["notes"])  # fmt: skip
    assert not any("no names" in note for note in plain.run.manifest["notes"])
    one = hs.survey("bundled:stories", texts[:1], patterns="previous_token", out=tmp_path / "c")
    gain, names = one.run.manifest["notes"]
    assert "one text alone gives no gain" in gain
    assert "heads have no names" in names


def test_too_few_texts_say_how_many_would_do(tmp_path: Path) -> None:
    with pytest.raises(hs.UsageError, match="expected at least 20 texts"):
        hs.explain("bundled:stories", ["The cat sat.", "A dog ran."], out=tmp_path / "run")


def test_the_page_is_written_by_the_function_whatever_was_imported_before() -> None:
    code = "import headscribe.report.page; import headscribe as hs; assert callable(hs.report)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_heads_page_begins_with_its_card(answer: hs.Explained, tmp_path: Path) -> None:
    page = answer.report(tmp_path / "page.html")
    for width, scheme in ((1280, "light"), (390, "dark")):
        with chromium() as browser:
            reader = Reader(browser, width, scheme)
            reader.open(page, "0/head/3.3")
            said = reader.page.inner_text("main section:first-of-type")
            reader.close()
        card = answer.card("3.3")
        assert said.startswith(card.name)
        assert card.sentence in said
        for figure in card.figures:
            assert (figure.behaviour in said) == figure.listed
        assert reader.wrong == []


def test_the_pages_answer_first(answer: hs.Explained, tmp_path: Path) -> None:
    again = tmp_path / "again"
    copytree(answer.folder, again)
    named = answer.run.manifest["named"]
    page = report([answer.folder, again], tmp_path / "page.html")
    with chromium() as browser:
        reader = Reader(browser)
        reader.open(page, "0/answer")
        said = reader.page.inner_text("main")
        names = reader.page.locator("svg.grid .cell-name").all_text_contents()
        reader.go("0/compare")
        compared = reader.page.inner_text("main")
        reader.close()
    assert reader.wrong == []
    budget = said.index("Where the attention of all heads goes")
    assert said.index(answer.summary) < budget < said.index("Its heads by name")
    assert len(names) == named
    assert not any("…" in name for name in names)
    assert f"{named} of {named} heads keep their name" in compared
