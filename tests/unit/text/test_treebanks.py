"""CoNLL-U: words where they stand in the text, trees as they are, errors by line."""

from pathlib import Path

import conllu
import pytest

from headscribe.core.errors import UsageError
from headscribe.text.corpora import Corpus, read
from headscribe.text.treebanks import split_span

GOOD = """\
# newdoc id = first
# sent_id = s1
# text = He doesn't go  du 3 000.
1	He	he	PRON	PRP	Case=Nom|Number=Sing	4	nsubj	_	_
2-3	doesn't	_	_	_	_	_	_	_	_
2	does	do	AUX	VBZ	_	4	aux	_	_
3	n't	not	PART	RB	_	4	advmod	_	_
4	go	go	VERB	VB	_	0	root	_	_
4.1	gone	go	VERB	_	_	_	_	0:root	_
5-6	du	_	_	_	_	_	_	_	_
5	de	de	ADP	_	_	7	case	_	_
6	le	le	DET	_	_	7	det	_	_
7	3 000	3000	NUM	CD	_	4	obl	_	SpaceAfter=No
8	.	.	PUNCT	.	_	4	punct	_	_

# newdoc
# sent_id = s2
1	Ah	ah	INTJ	_	_	0	root	_	Gloss=x|SpaceAfter=No
2	!	!	PUNCT	_	_	1	punct	_	_
"""


def parsed(folder: Path, content: str) -> Corpus:
    path = folder / "bank.conllu"
    path.write_text(content)
    return read(path)


def test_words_stand_where_the_text_has_them(tmp_path):
    first, second = parsed(tmp_path, GOOD)
    words = first.words
    assert (first.id, first.group) == ("s1", "first")
    assert words.form == ("He", "does", "n't", "go", "de", "le", "3 000", ".")
    cut = [first.text[start:end] for start, end in words.spans]
    assert cut == ["He", "does", "n't", "go", "du", "du", "3 000", "."]
    assert words.head.tolist() == [3, 3, 3, -1, 6, 6, 3, 3]
    assert words.dep == ("nsubj", "aux", "advmod", "root", "case", "det", "obl", "punct")
    assert words.upos == ("PRON", "AUX", "PART", "VERB", "ADP", "DET", "NUM", "PUNCT")
    assert words.xpos == ("PRP", "VBZ", "RB", "VB", "", "", "CD", ".")
    assert words.morph == ("Case=Nom|Number=Sing", *[""] * 7)
    assert words.lemma[2] == "not"
    assert words.sentence.tolist() == [0] * 8
    assert words.entity is None
    assert second.text == "Ah!"
    assert second.group == "bank:document 2"
    assert second.words.xpos is None


def test_sentences_without_document_or_name(tmp_path):
    corpus = parsed(tmp_path, "1\ta\t_\t_\t_\t_\t_\t_\t_\t_\n\n\n\n1\tb\t_\t_\t_\t_\t_\t_\t_\t_")
    assert [(text.id, text.group, text.text) for text in corpus] == [
        ("bank:1", "bank", "a"),
        ("bank:5", "bank", "b"),
    ]
    assert corpus.texts[0].words.provides == {"morph", "sentence"}


def test_an_underscore_may_be_a_word(tmp_path):
    (text,) = parsed(tmp_path, "1\t_\t_\tPUNCT\t_\t_\t0\troot\t_\t_\n")
    assert text.text == "_"
    assert text.words.lemma == ("_",)


@pytest.mark.parametrize(
    ("form", "words", "spans"),
    [
        ("doesn't", ["does", "n't"], [(5, 9), (9, 12)]),
        ("Im", ["i", "m"], [(5, 6), (6, 7)]),
        ("dámelo", ["da", "me", "lo"], [(5, 7), (7, 9), (9, 11)]),
        ("du", ["de", "le"], [(5, 7), (5, 7)]),
        ("won't", ["will", "not"], [(5, 10), (5, 10)]),
        ("zum", ["zu", "dem"], [(5, 8), (5, 8)]),
    ],
)
def test_multiword_tokens_split_or_share_their_span(form, words, spans):
    assert split_span(form, words, 5) == spans


def row(number: str = "1", form: str = "a", head: str = "0") -> str:
    return f"{number}\t{form}\t_\tX\t_\t_\t{head}\tdep\t_\t_\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1 a\n", ":1: expected 10 tab-separated columns of CoNLL-U, got 1"),
        (row("x"), ":1: expected a word number, got 'x'"),
        (row("2"), ":1: expected word 1, got 2"),
        (row() + row(), ":2: expected word 2, got 1"),
        (row("2-1") + row(), ":1: expected word 1, got 2-1"),
        (row("1-2") + row("1-2") + row(), ":2: expected word 1, got 1-2"),
        (row("1-3", "ab") + row() + row("2", "b"), ":1: expected words up to 3, got 2"),
        (row("1.1"), ":1: expected at least one word"),
        (row(head="2"), r":1: expected a head within 0\.\.1, got '2'"),
        (row(head="0") + row("2", head="_"), r":2: expected a head within 0\.\.2, got '_'"),
        (row(head="-1"), "expected a head within"),
        (row(head="1"), ":1: expected a tree, but word 1 is its own ancestor"),
        (
            row(head="0") + row("2", head="3") + row("3", head="4") + row("4", head="2"),
            "is its own ancestor",
        ),
        ("# text = b\n" + row(), ":2: expected 'a' at character 1 of `# text`, got 'b'"),
        ("# text = a b\n" + row(), ":1: expected words for all of `# text`, got none for ' b'"),
        ("# text = \n" + row(), ":2: expected 'a' at character 1"),
        ("# only = a comment\n", "expected at least one text"),
        (row(form=""), ":1: expected 10 tab-separated columns"),
    ],
)
def test_broken_treebanks(tmp_path, content, message):
    with pytest.raises(UsageError, match=message) as caught:
        parsed(tmp_path, content)
    assert "bank.conllu" in str(caught.value)


def test_deep_trees_are_no_cycles(tmp_path):
    count = 300
    chain = "".join(row(str(i), head=str(i - 1)) for i in range(1, count + 1))
    (text,) = parsed(tmp_path, chain)
    assert text.words.head.tolist() == list(range(-1, count - 1))


def test_a_treebank_as_another_reader_sees_it():
    """Multiword tokens, an empty node, missing spaces, documents, letters beyond ASCII."""
    path = Path(__file__).parents[2] / "data" / "treebank.conllu"
    corpus = read(path)
    with path.open(encoding="utf-8") as file:
        for text, sentence in zip(corpus, conllu.parse_incr(file), strict=False):
            rows = [token for token in sentence if isinstance(token["id"], int)]
            assert text.id == sentence.metadata["sent_id"]
            assert text.text == sentence.metadata["text"]
            assert text.words.form == tuple(token["form"] for token in rows)
            assert text.words.upos == tuple(token["upos"] for token in rows)
            assert text.words.dep == tuple(token["deprel"] for token in rows)
            assert text.words.head.tolist() == [token["head"] - 1 for token in rows]
            for form, (start, end) in zip(text.words.form, text.words.spans, strict=True):
                assert text.text[start:end].casefold() == form.casefold() or "'" in text.text
    assert len(corpus) == 4
    assert [text.group for text in corpus] == ["walk", "walk", "café", "café"]
