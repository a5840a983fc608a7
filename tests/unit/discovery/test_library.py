from dataclasses import replace

import numpy as np
import pytest

from headscribe.core.errors import RunError, UsageError
from headscribe.core.visibility import CAUSAL, FULL
from headscribe.discovery.library import Entry, Library, entry_name, library_scores, overlap
from headscribe.discovery.run import Settings, discover
from headscribe.fitting.formula import Formula, Term
from headscribe.patterns.registry import Registry
from headscribe.sandbox import Trusted
from tests.unit.discovery.conftest import FORMULAS, HEADS, POOL, items, made

PREVIOUS = "import numpy as np\ndef attention(p):\n    return np.eye(len(p), k=-1)"
SAME = """
import numpy as np

def attention(p):
    return 3 * np.tri(len(p), k=-1) * np.triu(np.ones((len(p), len(p))), -1)
"""
BROKEN = "def attention(p):\n    return 1 / 0"


def python(name, code, **changes):
    facts = {"model": "m", "head": "0.0"} | changes
    return Entry(name, {"kind": "python", "program": code}, "It looks back.", False, facts)


def formula(name, given, head="0.1"):
    return Entry(
        name,
        {"kind": "formula", "formula": given.to_json(), "relations": []},
        "s",
        False,
        {"model": "m", "head": head},
    )


@pytest.fixture
def library():
    return Library([python("found:m:0-0", PREVIOUS), formula("found:m:0-1", FORMULAS[1])])


def test_it_is_read_as_it_was_written(library, tmp_path):
    path = tmp_path / "library.jsonl"
    library.write(path)
    assert Library.read(path) == library
    assert [one.name for one in tmp_path.iterdir()] == ["library.jsonl"]
    path.write_text(path.read_text() + "{}\n")
    with pytest.raises(RunError, match="line 3"):
        Library.read(path)
    with pytest.raises(UsageError, match="is none"):
        Library.read(tmp_path / "absent")


def test_its_programs_are_patterns(library, material):
    registry = Registry()
    for pattern in library.patterns(Trusted()):
        registry.register(pattern)
    assert registry.names == ("found:m:0-0", "found:m:0-1")
    rows = registry.get("found:m:0-0").predict(material.passages[0], FULL)
    assert rows.covered.tolist() == [False] + [True] * (len(material.passages[0]) - 1)
    assert [one.name for one in library.patterns()] == ["found:m:0-1"]  # no runner, no Python


def test_near_duplicates_are_merged_with_their_provenance(library, material):
    passages = material.passages[:10]
    same = python("other", SAME, model="n")
    assert library.add(same, passages, FULL, Trusted()) == "found:m:0-0"
    assert len(library.entries) == 2
    assert [one["model"] for one in library.entries[0].merged] == ["n"]
    wobbly = replace(
        FORMULAS[1], terms=tuple(Term(t.relation, t.weight + 0.01) for t in FORMULAS[1].terms)
    )
    assert library.add(formula("x", wobbly), passages, FULL) == "found:m:0-1"
    other = Formula("o", (Term("distance == 1", 4.0),))
    fresh = formula("found:m:0-1", other, "0.2")
    assert library.add(fresh, passages, FULL) == "found:m:0-1-2"
    assert len(library.entries) == 3
    before = list(library.entries)
    for again in (same, fresh):
        library.add(again, passages, FULL, Trusted())
    assert library.entries == before, "a run that is resumed at its end adds nothing"


def test_overlap():
    one, other = np.eye(4)[:, :], np.eye(4)
    other = other.copy()
    other[0] = [0, 1, 0, 0]
    assert overlap([one], [one]) == 1
    assert overlap([one], [other]) == pytest.approx(0.75)
    assert overlap([np.zeros((2, 2))], [np.zeros((2, 2))]) == 1


def test_names_fit_the_registry():
    assert entry_name("org/some model!", "7.10") == "found:org-some-model:7-10"


def test_what_cannot_run_is_named(library, material):
    library.entries.append(python("broken", BROKEN))
    scores, left_out = library_scores(library, material, Trusted())
    assert left_out == ("broken",)
    assert scores["found:m:0-1"].shape == (2, len(material.passages))
    assert scores["found:m:0-1"][1].mean() > 0.7
    assert library_scores(library, material, None)[1] == ("found:m:0-0", "broken")


def test_what_a_file_says_of_looking_ahead_is_not_believed():
    """A program in Python is tested again, and a formula is what it reads."""
    peek = "import numpy as np\ndef attention(p):\n    return np.tri(len(p)) * (p.ids == p.ids[-1])"
    pool = ("key.is_special", "distance == -1")
    causal = made(HEADS[:1], CAUSAL, pool=pool, look_ahead=False)
    told = [python("peek", peek), python("honest", PREVIOUS)]
    told += [formula("reads", Formula("r", (Term("key.next.id == query.id", 1.0),)))]
    assert not any(one.looks_ahead for one in told)
    scores, left_out = library_scores(Library(told), causal, Trusted())
    assert left_out == ("peek", "reads")
    assert set(scores) == {"honest"}
    assert all(one.looks_ahead for one in Library(told[:2]).patterns(Trusted()))


def test_a_known_program_has_to_be_beaten(tmp_path):
    """What the library holds already is no discovery."""

    def found(name, library=None):
        settings = Settings(rounds=1, terms=3)
        options = {"model": "made-up", "settings": settings, "pool": POOL, "library": library}
        return discover(items, HEADS, HEADS[1:], tmp_path / name, **options)

    first = found("first")
    (entry,) = Library.read(tmp_path / "first" / "library.jsonl").entries
    assert first.library.entries == [entry]
    assert entry.provenance["head"] == "0.1"
    again = found("again", first.library)
    (outcome,) = again.outcomes
    assert outcome.rivals["library"] == entry.name
    assert outcome.status == "rejected"
    assert outcome.attempts[0].kind == "select"
    assert outcome.attempts[0].select_p > 0.5
    assert again.library.entries == [entry]


ODD = "\u2028\u2029\u0085\x0b\x0c\x1c\x1d\x1e\u202e"


@pytest.mark.parametrize("character", ODD)
def test_characters_that_break_lines_elsewhere_break_no_library(tmp_path, character):
    """In a comment of a program, in the sentence, in the name of a model, in a relation."""
    code = f"def attention(p):\n    # {character} and on\n    return np.eye(len(p))\n"
    where = {"model": f"a{character}b", "head": "0.0"}
    said = f"It says {character}."
    entries = [Entry("one", {"kind": "python", "program": code}, said, False, where)]
    formula = Formula.parse(f'+1.0  key.text == "\\u{ord(character):04x}"\n+1.0  key.is_bos')
    stored = {"kind": "formula", "formula": formula.to_json(), "relations": []}
    entries.append(Entry("two", stored, said, False, where))
    Library(entries).write(tmp_path / "l.jsonl")
    assert Library.read(tmp_path / "l.jsonl").entries == entries
    assert Formula.parse(str(formula)).terms == formula.terms
