"""Treebank files with every feature that real ones have, written and read back."""

import gzip
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headscribe.core.errors import UsageError
from headscribe.text.corpora import read

WORDS = st.one_of(
    st.sampled_from(["The", "cat", "sat", "3 000", "_", "#tag", "don't", "U\u2028V", "a\x85b"]),
    st.sampled_from(["הילד", "ספר", "قطة", "猫", "é", "e\u0301", "🐈\u200d⬛", "نصّ", "İ"]),
    st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="_"), min_size=1,
            max_size=6),
)  # fmt: skip


@dataclass
class Sentence:
    """A sentence as it is meant: its units, each of one or several words, and what is around it."""

    units: list[tuple[str, list[str]]]
    spaces: list[bool]
    heads: list[int]
    text_given: bool
    named: bool
    empties: list[int] = field(default_factory=list)

    @property
    def forms(self) -> list[str]:
        return [word for _, words in self.units for word in words]

    @property
    def text(self) -> str:
        pairs = zip(self.units, self.spaces, strict=True)
        return "".join(form + " " * space for (form, _), space in pairs).rstrip()

    def lines(self, number: int) -> list[str]:
        made = [f"# sent_id = s{number}"] if self.named else []
        made += ["# newpar", f"# text = {self.text}"] if self.text_given else []
        at = 0
        if 0 in self.empties:
            made.append("0.1\tghost\t_\t_\t_\t_\t_\t_\t_\t_")
        for (form, words), space in zip(self.units, self.spaces, strict=True):
            misc = "_" if space else "Gloss=x|SpaceAfter=No"
            if len(words) > 1:
                made.append(f"{at + 1}-{at + len(words)}\t{form}" + "\t_" * 7 + f"\t{misc}")
                misc = "_"
            for word in words:
                head = self.heads[at] + 1
                at += 1
                dep = "root" if head == 0 else "dep"
                made.append(f"{at}\t{word}\t{word}\tX\t_\t_\t{head}\t{dep}\t_\t{misc}")
                if at in self.empties:
                    made.append(f"{at}.1\tghost\tghost\tVERB\t_\t_\t_\t_\t0:root\t_")
        return made


@st.composite
def sentences(draw: st.DrawFn) -> Sentence:
    units: list[tuple[str, list[str]]] = []
    for _ in range(draw(st.integers(1, 6))):
        words = draw(st.lists(WORDS, min_size=1, max_size=3))
        form = words[0] if len(words) == 1 else draw(st.sampled_from(["".join(words), "du"]))
        units.append((form, words))
    if draw(st.integers(0, 20)) == 0:  # a sentence beyond any model's window
        units *= draw(st.integers(100, 300))
    count = sum(len(words) for _, words in units)
    root = draw(st.integers(0, count - 1))
    heads = [-1 if at == root else root for at in range(count)]
    spaces = draw(st.lists(st.booleans(), min_size=len(units), max_size=len(units)))
    empties = draw(st.lists(st.integers(0, count), max_size=3, unique=True))
    return Sentence(units, spaces, heads, draw(st.booleans()), draw(st.booleans()), empties)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    banks=st.lists(
        st.tuples(st.sampled_from([None, "", "book"]), st.lists(sentences(), max_size=4)),
        min_size=1, max_size=4,
    ).filter(lambda banks: any(made for _, made in banks)),
    ending=st.sampled_from(["\n", "\r\n"]),
    bom=st.booleans(),
    compressed=st.booleans(),
)  # fmt: skip
def test_what_is_written_is_read(banks, ending, bom, compressed):
    lines: list[str] = []
    wanted: list[Sentence] = []
    for document, made in banks:
        for number, sentence in enumerate(made):
            if number == 0 and document is not None:
                lines.append(f"# newdoc id = {document}" if document else "# newdoc")
            wanted.append(sentence)
            lines += [*sentence.lines(len(wanted)), ""]
    raw = ("\ufeff" * bom + ending.join([*lines, ""])).encode()
    with TemporaryDirectory() as folder:
        path = Path(folder) / ("bank.conllu.gz" if compressed else "bank.conllu")
        path.write_bytes(gzip.compress(raw) if compressed else raw)
        corpus = read(path)
    assert len(corpus) == len(wanted)
    for number, (text, meant) in enumerate(zip(corpus, wanted, strict=True), 1):
        assert text.text == (meant.text.strip() if meant.text_given else meant.text)
        assert text.words.form == tuple(meant.forms)
        assert text.words.head.tolist() == meant.heads
        assert text.words.dep == tuple("root" if h < 0 else "dep" for h in meant.heads)
        if meant.named:
            assert text.id == f"s{number}"
        # A word of one unit stands where it is written, those of a token within the token.
        place = 0
        at = 0
        for form, words in meant.units:
            while text.text[place] != form[0]:
                place += 1
            for word in words:
                start, end = text.words.spans[at].tolist()
                assert place <= start < end <= place + len(form)
                if len(words) == 1:
                    assert text.text[start:end] == word
                at += 1
            place += len(form)
    # Whatever stands under one document, or under none, shares a group before blocks are made.
    assert len({text.group for text in corpus}) <= max(len(wanted), 1)


WITHHELD = (
    "# sent_id = {n}\n# text = {text}\n"
    "1\t_\t_\tDET\tDT\t_\t2\tdet\t_\t_\n"
    "2\t_\t_\tNOUN\tNN\t_\t0\troot\t_\tSpaceAfter=No\n"
    "3\t{sign}\t_\tPUNCT\t.\t_\t2\tpunct\t_\t_\n\n"
)


@pytest.mark.parametrize("sign", ["_", "."])
@pytest.mark.parametrize("text", ["_ __", "__ ___.", ""])
def test_withheld_words_are_named(tmp_path, text, sign):
    bank = WITHHELD.format(n=1, text=text, sign=sign)
    (tmp_path / "bank.conllu").write_text(bank)
    with pytest.raises(UsageError, match=r"got none \(1 with withheld words\); the treebank's own"):
        read(tmp_path / "bank.conllu")
    whole = "1\tSit\tsit\tVERB\t_\t_\t0\troot\t_\t_\n\n"
    (tmp_path / "part.conllu").write_text(bank + whole + bank)
    part = read(tmp_path / "part.conllu")
    assert [text.text for text in part] == ["Sit"]
    assert part.skipped == {"with withheld words": 2}
    assert "2 sentences are left out: their words are withheld (`_`)" in part.notes


def test_signs_are_not_withheld(tmp_path):
    lines = ["1\t_\t_\tPUNCT\t_\t_\t0\troot\t_\t_", "2\t_\t_\tSYM\t_\t_\t1\tpunct\t_\t_"]
    (tmp_path / "bank.conllu").write_text("\n".join(lines) + "\n")
    assert [text.text for text in read(tmp_path / "bank.conllu")] == ["_ _"]
