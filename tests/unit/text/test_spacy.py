"""spaCy pipelines made on the spot, and the bundled one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import spacy
from spacy.language import Language
from spacy.tokens import Doc

import headscribe
from headscribe.core.errors import RunError, UsageError
from headscribe.text.annotators import annotator, default_for
from headscribe.text.annotators.spacy import Spacy
from headscribe.text.annotators.universal import RELATIONS, RENAMED, RESHAPED, universal
from headscribe.text.corpora import Text, from_strings


@Language.component(
    "headscribe_test_chain",
    assigns=["token.pos", "token.tag", "token.lemma", "token.morph", "token.dep", "token.head"],
)
def chain(doc: Doc) -> Doc:
    """Every token hangs on the one before, blanks included; a stop ends its sentence."""
    for token in doc:
        token.is_sent_start = token.i == 0 or doc[token.i - 1].text == "."
    for token in doc:
        first = bool(token.is_sent_start)
        token.head = token if first else doc[token.i - 1]
        token.dep_ = "ROOT" if first else "dobj"
        token.pos_ = "PUNCT" if token.text == "." else "NOUN"
        token.tag_ = "T"
        token.lemma_ = token.text.lower()
        token.set_morph("Number=Sing|Case=Nom" if token.text == "I" else "")
    return doc


@Language.component("headscribe_test_strange", assigns=["token.dep", "token.head"])
def strange(doc: Doc) -> Doc:
    for token in doc:
        token.head = token
        token.dep_ = "pobj"
    return doc


@Language.component("headscribe_test_merge")
def merge(doc: Doc) -> Doc:
    with doc.retokenize() as retokenizer:
        retokenizer.merge(doc[0 : len(doc)])
    return doc


def pipeline(*names: str) -> Language:
    nlp = spacy.blank("en")
    for name in names:
        nlp.add_pipe(name)
    return nlp


def text(characters: str) -> Text:
    return Text("t", "t", characters)


def test_every_field_and_blanks_that_are_no_words():
    made = Spacy(pipeline("headscribe_test_chain"), "chain")
    (words,) = made.annotate([text("I  saw\n\nhim. Stop")])
    assert words.form == ("I", "saw", "him", ".", "Stop")
    assert words.spans.tolist() == [[0, 1], [3, 6], [8, 11], [11, 12], [13, 17]]
    assert words.head.tolist() == [-1, 0, 1, 2, -1]
    assert words.dep == ("root", "obj", "obj", "obj", "root")
    assert words.sentence.tolist() == [0, 0, 0, 0, 1]
    assert words.lemma[0] == "i"
    assert words.upos[3] == "PUNCT"
    assert words.xpos == ("T",) * 5
    assert words.morph == ("Case=Nom|Number=Sing", "", "", "", "")
    assert made.provides == words.provides
    assert "entity" not in made.provides


def test_a_text_of_blanks_and_a_sentence_of_blanks():
    made = Spacy(pipeline("headscribe_test_chain"), "chain")
    nothing, words = made.annotate([text("\n \n"), text("\n\nYes. \n\n No")])
    assert len(nothing) == 0
    assert nothing.provides == made.provides
    assert words.head.tolist() == [-1, 0, -1]
    assert words.dep == ("root", "obj", "root")
    assert words.sentence.tolist() == [0, 0, 1]


def test_fields_are_those_that_the_components_assign():
    assert Spacy(pipeline(), "blank").provides == frozenset()
    assert Spacy(pipeline("sentencizer"), "s").provides == {"sentence"}
    nlp = pipeline("entity_ruler")
    nlp.get_pipe("entity_ruler").add_patterns([{"label": "GPE", "pattern": "Rome"}])
    made = Spacy(nlp, "ruler")
    (words,) = made.annotate([text("to Rome")])
    assert words.entity == ("", "GPE")
    assert words.provides == made.provides == {"entity"}


def test_given_words_come_back_as_they_are():
    made = Spacy(pipeline("headscribe_test_chain"), "chain")
    characters = "I can't. No"
    forms = ["I", "ca", "n't", ".", "No"]
    spans = np.array([[0, 1], [2, 4], [4, 7], [7, 8], [9, 11]])
    words = made.annotate_words(forms, spans, characters)
    assert words.form == tuple(forms)
    assert (words.spans == spans).all()
    assert words.head.tolist() == [-1, 0, 1, 2, -1]
    assert words.provides == made.provides
    assert len(made.annotate_words([], np.zeros((0, 2), int), "")) == 0
    with pytest.raises(UsageError, match="1 of them empty"):
        made.annotate_words([""], np.zeros((1, 2), int), "a")
    with pytest.raises(UsageError, match="expected 5 words from merge, got 1"):
        Spacy(pipeline("headscribe_test_merge"), "merge").annotate_words(forms, spans, characters)


def test_fingerprints_tell_pipelines_apart(tmp_path):
    blank, ruled = pipeline(), pipeline("sentencizer")
    assert Spacy(blank, "a").fingerprint == Spacy(pipeline(), "b").fingerprint
    assert Spacy(blank, "a").fingerprint != Spacy(ruled, "a").fingerprint
    ruled.to_disk(tmp_path / "one")
    first = annotator(str(tmp_path / "one"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert annotator(str(tmp_path / "two")).fingerprint == first.fingerprint
    with (tmp_path / "two" / "sentencizer").open("a") as file:
        file.write(" ")
    assert annotator(str(tmp_path / "two")).fingerprint != first.fingerprint


@pytest.mark.parametrize(
    ("label", "expected"),
    [("dobj", "obj"), ("nsubjpass", "nsubj:pass"), ("acl:relcl", "acl:relcl"), ("ROOT", "root")],
)
def test_labels_with_a_universal_name(label, expected):
    assert universal(label) == expected


@pytest.mark.parametrize("label", [*sorted(RESHAPED), "sb", "oa", "", "Nsubj", "pobj:x"])
def test_labels_without_a_universal_name(label):
    with pytest.raises(UsageError, match="expected Universal Dependencies labels"):
        universal(label)


def test_renamed_labels_are_universal():
    assert len(RELATIONS) == 37
    assert {name.partition(":")[0] for name in RENAMED.values()} <= RELATIONS
    assert not RESHAPED & (RELATIONS | RENAMED.keys())


def test_trees_of_other_labels_are_left_out_and_named():
    nlp = pipeline("parser")
    for label in ("nsubj", "dobj", "acl||obj"):
        nlp.get_pipe("parser").add_label(label)
    nlp.initialize()
    fine = Spacy(nlp, "fine").provides
    assert "dep" in fine
    for label in ("pobj", "prep"):
        nlp.get_pipe("parser").add_label(label)
    nlp.initialize()
    web = Spacy(nlp, "web")
    assert web.provides == fine - {"dep", "head"}
    assert "sentence" in web.provides
    (note,) = web.notes
    assert "the spaCy pipeline web are left out, its tags and lemmas kept" in note
    assert "got pobj, prep; its trees have another shape" in note
    (words,) = web.annotate([text("a b")])
    assert words.head is None
    assert words.dep is None
    assert words.form == ("a", "b")


def test_german_labels_are_left_out_too():
    nlp = pipeline("parser")
    for label in ("sb", "oa", "nk"):
        nlp.get_pipe("parser").add_label(label)
    nlp.initialize()
    german = Spacy(nlp, "de")
    assert not {"dep", "head"} & german.provides
    assert "got nk, oa, sb" in german.notes[0]


def test_a_strange_label_of_another_component_is_named():
    made = Spacy(pipeline("headscribe_test_strange"), "strange")
    with pytest.raises(RunError, match=r"text t: spaCy pipeline strange: .*got pobj"):
        next(made.annotate([text("a b")]))


def test_texts_beyond_the_longest():
    nlp = pipeline()
    short = Spacy(nlp, "short")
    nlp.max_length = 5
    with pytest.raises(UsageError, match="text t: expected at most 5 characters for short, got 6"):
        next(short.annotate([text("abcdef")]))


def refusal(folder: Path) -> str | None:
    try:
        annotator(str(folder))
    except UsageError as error:
        return str(error)
    return None


def test_damaged_folders_are_errors_that_name_them(tmp_path):
    nlp = pipeline("parser")
    nlp.get_pipe("parser").add_label("nsubj")
    nlp.initialize()
    nlp.to_disk(tmp_path / "whole")
    annotator(str(tmp_path / "whole"))
    files = [path for path in (tmp_path / "whole").rglob("*") if path.is_file()]
    refused = 0
    for number, file in enumerate(sorted(files)):
        for content in (None, b"", b"\x00\xff{", file.read_bytes()[: file.stat().st_size // 2]):
            folder = tmp_path / f"{number}"
            shutil.copytree(tmp_path / "whole", folder)
            damaged = folder / file.relative_to(tmp_path / "whole")
            damaged.unlink() if content is None else damaged.write_bytes(content)
            message = refusal(folder)
            if message is not None:
                refused += 1
                assert str(folder) in message
                assert "again" in message
                assert "\n" not in message
            shutil.rmtree(folder)
    assert refused > 15
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"expected the file .*empty/meta\.json, got none"):
        annotator(str(tmp_path / "empty"))


def test_a_missing_bundled_pipeline(monkeypatch):
    import headscribe.text.annotators.spacy as module

    monkeypatch.setitem(module.BUNDLED, "bundled:xx", "xx")
    with pytest.raises(RunError, match=r"knows no asset xx: install headscribe again"):
        annotator("bundled:xx")


def test_the_bundled_pipeline():
    folder = Path(headscribe.__file__).parent / "assets" / "en"
    if not (folder / "meta.json").exists():
        pytest.skip(f"needs the bundled pipeline in {folder}; `make -C training/en` makes it")
    corpus = from_strings(["The cat doesn't sit  on the mat.\n\nIt ran away!"])
    bundled = default_for(corpus)
    assert bundled.name == "bundled:en"
    assert {"lemma", "upos", "morph", "dep", "head", "sentence"} <= bundled.provides
    (words,) = bundled.annotate(corpus.texts)
    assert words.form[:5] == ("The", "cat", "does", "n't", "sit")
    assert words.upos[:2] == ("DET", "NOUN")
    assert words.dep[:2] == ("det", "nsubj")
    assert words.head[:2].tolist() == [1, 4]
    assert words.sentence.max() == 1
    given = bundled.annotate_words(words.form, words.spans, corpus.texts[0].text)
    assert given.form == words.form
    assert given.provides == bundled.provides
