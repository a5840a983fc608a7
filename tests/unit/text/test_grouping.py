"""Groups to split by, whatever a corpus says of its documents."""

from hypothesis import given
from hypothesis import strategies as st

from headscribe.text.corpora import from_strings
from headscribe.text.grouping import BLOCK, FOLDS, blocks_of

documents = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c", "d", "e", "f"]), st.integers(0, 400)), min_size=1,
    max_size=120,
)  # fmt: skip


@given(documents)
def test_groups_can_be_split_where_there_are_texts_enough(made: list[tuple[str, int]]) -> None:
    made.sort(key=lambda one: one[0])
    groups, texts = [group for group, _ in made], [str(number) for _, number in made]
    found, note = blocks_of(groups, texts)
    distinct, different = len(set(groups)), len(set(texts))
    if distinct >= FOLDS or different < max(FOLDS, 2 * distinct):
        assert found == groups
    else:
        assert note is not None
        assert "splits and intervals go by" in note
        # Equal texts share a block, and a block holds neighbours of one document only.
        assert len(dict(zip(texts, found, strict=True))) == different
        assert len(set(found)) >= min(different, FOLDS)
        for block in set(found):
            members = {text for text, own in zip(texts, found, strict=True) if own == block}
            assert len(members) <= BLOCK
    # No two texts of different documents ever come together, but for equal ones.
    for block in set(found):
        origin = {g for g, own, t in zip(groups, found, texts, strict=True) if own == block}
        assert len(origin) == 1 or different < len(texts)


def test_a_long_treebank_goes_by_blocks_of_neighbours() -> None:
    texts = [f"sentence {i}" for i in range(1000)]
    found, note = blocks_of(["bank"] * 1000, texts)
    assert len(set(found)) == 100
    assert found[:11] == ["bank, block 1"] * 10 + ["bank, block 2"]
    assert note == (
        "the corpus is one document: splits and intervals go by blocks of 10 neighbouring texts, "
        "which are less independent than documents"
    )


def test_one_text_says_what_would_help() -> None:
    assert "more texts would help" in from_strings(["All there is."]).notes[0]
    assert "3 texts are few" in from_strings(["one", "two", "three"]).notes[0]
    assert from_strings([f"text {i}" for i in range(12)]).notes == ()
