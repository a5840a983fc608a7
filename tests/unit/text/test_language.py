"""Texts that are not in the language of the annotator are noticed, and said."""

import pytest

from headscribe.text.annotators import annotator, default_for
from headscribe.text.corpora import from_strings

FOREIGN = {
    "German": "Das Haus ist groß. Wir gehen in den Wald, und der Hund schläft unter dem Tisch.",
    "French": "Le chat dort sur le tapis. Nous allons dans la forêt avec nos amis.",
    "Portuguese": "O gato dorme no tapete. Vamos à floresta com os nossos amigos no jardim.",
    "Indonesian": "Kucing itu tidur di atas tikar. Kami pergi ke hutan bersama teman kami.",
    "Japanese": "今日は天気がいいです。",
    "Russian": "Кошка сидит на коврике.",
    "Greek": "Η γάτα κάθεται.",
    "Hebrew": "החתול ישב על השטיח",
}

ENGLISH = [
    "The cat sat on the mat.",
    "THE CAT SAT ON THE MAT AND THE DOG BARKED AT THE MOON.",
    "Cytosolic phosphorylation of the kinase inhibits ubiquitination and proteasomal degradation.",
    "Anna met Olaf in Gdansk. Krzysztof and Wojciech saw Agnieszka at Szczecin.",
    "Notwithstanding the foregoing, the lessee shall indemnify the lessor hereunder.",
    "http://www.nola.com/lsu/t-p/football/index.ssf?/lsustory/secnotes08.html",
    "sat",
    "?!",
    "café naïve",
]


@pytest.mark.parametrize("language", FOREIGN)
def test_other_languages_are_not_parsed_unless_insisted_on(language):
    corpus = from_strings([FOREIGN[language]])
    chosen = default_for(corpus)
    assert chosen.name == "plain"
    assert not chosen.provides
    (note,) = chosen.notes
    assert "seem not to be English" in note
    assert "--annotator bundled:en insists" in note
    insisted = annotator("bundled:en", corpus)
    assert insisted.name == "bundled:en"
    assert "upos" in insisted.provides
    assert "may not be English" in insisted.notes[0]
    assert insisted.fingerprint == annotator("bundled:en").fingerprint


@pytest.mark.parametrize("text", ENGLISH)
def test_english_is_parsed_without_a_note(text):
    chosen = default_for(from_strings([text]))
    assert chosen.name == "bundled:en"
    assert chosen.notes == ()


def test_a_few_foreign_texts_are_said_and_many_refuse():
    english = [f"The cat number {n} sat on the mat." for n in range(20)]
    some = default_for(from_strings([*english, FOREIGN["Russian"], FOREIGN["German"]]))
    assert some.name == "bundled:en"
    assert "2 of 22 texts" in some.notes[0]
    many = default_for(from_strings(english[:6] + list(FOREIGN.values())[:4]))
    assert many.name == "plain"
    assert "4 of 10 texts" in many.notes[0]
    # One quotation in a text of its language is no foreign text.
    assert not default_for(from_strings([*english, "He said: Кошка! and then he went away."])).notes
