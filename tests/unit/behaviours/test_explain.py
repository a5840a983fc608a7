"""Planted heads are named for what they do, noise is not; budgets add up."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from headscribe.behaviours.measure import clusters_of, fold_of, half_of
from headscribe.behaviours.tables import cards_of, run_tables
from headscribe.core.errors import UsageError
from headscribe.models.recorded import Recording, write_recording
from headscribe.text.passages import Passage
from headscribe.text.prefixes import prefix
from tests.unit.behaviours.conftest import explained, planted

PLANTED = {
    "determiner → its noun": 'query.base_dep == "det" and key.word == query.head',
    "the same token elsewhere": "key.id == query.id and distance != 0",
    "subject → its verb": 'query.base_dep == "nsubj" and key.word == query.head',
    "what followed it before": "key.prev.id == query.id and distance < 0",
    "reads names": 'key.upos == "PROPN" and key.word != query.word',
}


def of(passages, provides, make, folder):
    """The cards of a recording with the attention that `make(passage)` gives."""
    write_recording(folder, [(passage, make(passage)[None]) for passage in passages])
    return explained(Recording(folder), passages, provides)


@pytest.mark.parametrize("strength", [1.0, 0.5, 0.3])
def test_planted_heads_are_named_exactly(stories, strength: float, tmp_path) -> None:
    passages, provides = stories
    chance = np.random.default_rng(0)
    found = of(
        passages, provides,
        lambda passage: planted(passage, list(PLANTED.values()), strength, chance), tmp_path,
    )  # fmt: skip
    assert [card.name for card in found] == list(PLANTED)
    for card in found:
        best = card.figures[0]
        # What was planted is what is measured, on the half that did not choose.
        assert best.confirmed["share"] >= strength - 0.03
        assert best.confirmed["low"] < best.confirmed["excess"] < best.confirmed["high"]
        assert f"{best.confirmed['share']:.0%}".replace("%", " %") in card.sentence


def test_a_word_is_told_from_its_class(stories, tmp_path) -> None:
    passages, provides = stories
    chance = np.random.default_rng(6)
    asked = {
        "rests on “the”": 'key.text == "the" and key.word != query.word',
        "reads determiners": 'key.upos == "DET" and key.word != query.word',
    }
    found = of(
        passages, provides,
        lambda passage: planted(passage, list(asked.values()), 0.5, chance), tmp_path,
    )  # fmt: skip
    assert [card.name for card in found] == list(asked)
    assert found[0].family == "sinks"
    assert "Where there is “the” to read" in found[0].sentence


def test_what_is_read_from_everywhere_is_told(stories, tmp_path) -> None:
    """A head that reads one token of a text, another in each: the commonest words are named."""
    passages, provides = stories

    def key_of(passage: Passage) -> int:
        content = np.flatnonzero(passage.word >= 0)
        return int(content[len(content) // 2])

    def make(passage: Passage) -> np.ndarray:
        made = np.full((1, len(passage), len(passage)), 0.1 / len(passage), np.float32)
        made[:, :, key_of(passage)] += 0.9
        return made

    (found,) = of(passages, provides, make, tmp_path)
    assert found.name == "the same from everywhere"
    words = Counter(p.words.form[p.word[key_of(p)]].lower() for p in passages)
    (word, count), share = words.most_common(1)[0], words.most_common(1)[0][1] / len(passages)
    assert count > 1
    assert f"“{word}” (in {share:.0%} of the texts)".replace("%", " %") in found.sentence


def test_budgets_add_up_to_one(stories, tmp_path) -> None:
    passages, provides = stories
    chance = np.random.default_rng(1)
    found = of(
        passages, provides,
        lambda passage: planted(passage, list(PLANTED.values()), 0.4, chance), tmp_path,
    )  # fmt: skip
    for card in found:
        assert sum(share for _, share in card.budget) == pytest.approx(1, abs=1e-5)


def _with_words_of(passage: Passage, other: Passage) -> Passage:
    """The same tokens with the tags and trees of another text, as far as both reach."""
    words, theirs = passage.words, other.words
    place = np.arange(len(words)) % len(theirs)
    head = np.asarray(theirs.head)[place]
    head = np.where((head >= 0) & (head < len(words)), head, -1)
    return replace(
        passage,
        words=replace(
            words, head=head,
            dep=tuple(theirs.dep[i] for i in place), upos=tuple(theirs.upos[i] for i in place),
        ),
    )  # fmt: skip


def test_annotations_of_other_texts_name_no_link(stories, tmp_path) -> None:
    passages, provides = stories
    swapped = [
        _with_words_of(passage, passages[(i + 7) % len(passages)])
        for i, passage in enumerate(passages)
    ]
    chance = np.random.default_rng(2)
    links = [relation for name, relation in PLANTED.items() if "its" in name]
    own = {passage.text_id: passage for passage in passages}
    found = of(
        swapped, provides,
        lambda passage: planted(own[passage.text_id], links, 0.8, chance), tmp_path,
    )  # fmt: skip
    assert not [one for card in found for one in card.figures if one.family == "syntax"]


def test_heads_of_noise_have_no_behaviour(stories, tmp_path) -> None:
    passages, provides = stories
    chance = np.random.default_rng(4)
    found = of(
        passages, provides,
        lambda passage: planted(passage, ["distance > 100000"] * 40, 0.0, chance), tmp_path,
    )  # fmt: skip
    assert sum(len(card.figures) for card in found) <= 2


def test_in_short_texts_chance_is_no_place(stories, tmp_path) -> None:
    """Of six to nine tokens most are nearby whatever a head does."""
    twice = [passage for passage in stories[0] for _ in range(2)]
    short = [
        replace(prefix(passage, 6 + i % 4), text_id=str(i), group=str(i))
        for i, passage in enumerate(twice)
    ]
    chance = np.random.default_rng(8)

    def noise(passage: Passage) -> np.ndarray:
        made = chance.gamma(2.0, size=(20, len(passage), len(passage)))
        previous = np.eye(len(passage), k=-1) + 1e-3
        rows = np.concatenate([made, previous[None]])
        return (rows / rows.sum(-1, keepdims=True)).astype(np.float32)

    found = of(short, frozenset(), noise, tmp_path)
    names = Counter(card.name for card in found[:20])
    assert not set(names) & {"looks nearby", "the previous token", "the next token", "itself"}
    assert not [name for name in names if name is not None and name.startswith("rests on")]
    assert found[20].name == "the previous token"


def test_tables_give_the_cards_back(stories, tmp_path) -> None:
    passages, provides = stories
    chance = np.random.default_rng(5)
    found = of(
        passages, provides,
        lambda passage: planted(passage, list(PLANTED.values()), 0.4, chance), tmp_path,
    )  # fmt: skip
    tables = {name: table.to_pylist() for name, table in run_tables(found).items()}
    assert cards_of(tables) == {card.head: card for card in found}


def test_few_texts_say_how_many_would_do(stories, tmp_path) -> None:
    passages, provides = stories
    flat = [(p, np.full((1, 1, len(p), len(p)), 1 / len(p), np.float32)) for p in passages[:5]]
    write_recording(tmp_path, flat)
    with pytest.raises(UsageError, match=r"expected at least 20 texts .*, got 5"):
        explained(Recording(tmp_path), passages[:5], provides)


def test_halves_are_even_and_do_not_depend_on_order() -> None:
    groups = [f"story {i}" for i in range(41)]
    cluster = clusters_of(groups, 0)
    assert cluster == clusters_of(groups[::-1], 0)
    assert abs(sum(map(half_of, cluster.values())) - 20) <= 1
    assert cluster != clusters_of(groups, 1)
    many = clusters_of([str(i) for i in range(1000)], 0)
    counted = Counter((half_of(k), fold_of(k)) for k in many.values())
    assert set(counted) == {(half, 4 * half + part) for half in (0, 1) for part in range(4)}
    assert min(counted.values()) >= 124
    assert max(Counter(many.values()).values()) == 9


def test_a_card_is_printed_for_a_terminal(stories, tmp_path) -> None:
    passages, provides = stories
    chance = np.random.default_rng(2)
    card = of(
        passages, provides,
        lambda passage: planted(passage, list(PLANTED.values())[:1], 0.5, chance), tmp_path,
    )[0]  # fmt: skip
    lines = str(replace(card, name="a\x1b[1mb")).split("\n")
    assert lines[0] == r"L0H0  a\x1b[1mb"
    assert all(len(line) <= 80 for line in lines)
    assert repr(card) == "<Card of 0.0: determiner → its noun>"
    budget = " ".join(" ".join(lines).split("attention goes: ")[1].split())
    first = max(card.budget, key=lambda part: part[1])
    assert budget.startswith(f"{first[0]} {first[1]:.0%}")
    assert card._repr_html_().startswith("<pre>L0H0  determiner → its noun")
