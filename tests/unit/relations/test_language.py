"""What parses, how it prints, what is known of it, and what the errors say."""

import pytest

from headscribe.core.errors import UsageError
from headscribe.relations import parse


@pytest.mark.parametrize(
    ("source", "printed"),
    [
        ("key.word==query.head", "key.word == query.head"),
        ("key.dep in ['det','amod','det']", 'key.dep in {"amod", "det"}'),
        ("query.index not in (3, 1,)", "query.index not in {1, 3}"),
        ("(key.is_punct and (query.is_punct and key.is_bos))", None),
        ("key.is_punct and (query.is_punct or key.is_bos)", None),
        ("- - distance * -(2.50) - (1 - 2)", "--distance * -2.5 - (1 - 2)"),
        ("-(distance + 1)", "-(distance + 1)"),
        ("(-1) * distance", "-1 * distance"),
        ("not (not key.is_bos)", "not not key.is_bos"),
        ("(distance > 1) == key.is_bos", "(distance > 1) == key.is_bos"),
        ("-5<=distance<0", "-5 <= distance < 0"),
        ("key.text == '\"\\u00e9\\n'", 'key.text == "\\"é\\n"'),
        ("key.is_punct\n  and distance\t> 0", "key.is_punct and distance > 0"),
        ("1e3 + .5 + 1e16", "1000 + 0.5 + 1e+16"),
        ("key.from_end==text_length-2", "key.from_end == text_length - 2"),
        (
            "number( key.text )<number(query.prev.text)",
            "number(key.text) < number(query.prev.text)",
        ),
        ("key.prev.next.is_punct", "key.prev.next.is_punct"),
        ("otherwise(key.is_bos, 1/(1 + distance))", "otherwise(key.is_bos, 1 / (1 + distance))"),
    ],
)
def test_prints_canonically(source, printed):
    relation = parse(source)
    if printed is None:
        printed = source.replace("(query.is_punct and key.is_bos)", "query.is_punct and key.is_bos")
        printed = printed[1:-1] if printed.startswith("(") else printed
    assert str(relation) == relation.source == printed
    assert parse(printed) == relation
    assert hash(parse(printed)) == hash(relation)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "query.hed == 1",
            "column 7: `query.hed` is no token attribute; did you mean `query.head`",
        ),
        ('key.text == "ééé" and key.hed == 2', "column 27: `key.hed`"),
        ("keys.dep == 1", "column 1: `keys` is no token of the pair; did you mean `key`"),
        (
            "distanc == 1",
            "column 1: `distanc` is no name of the relation language; did you mean `distance`",
        ),
        ("number(key.index) > 1", "column 12: `number` takes text, `key.index` is a number"),
        ('number("12") > 1', "column 1: `number` reads a token's text, "),
        ("key.text_length > 1", "column 5: `key.text_length` is no token attribute"),
        ("key == 1", "column 1: `key` is a token; ask for an attribute"),
        ("key.prev == 1", "column 5: `key.prev` is a token"),
        ("key.head.word == 1", "column 10: `head` leads to no token"),
        ("any > 1", "column 1: `any` is a function"),
        (
            "nearst(key.is_bos)",
            "`nearst` is no function of the relation language; did you mean `nearest`",
        ),
        ("nearest(distance)", "column 9: `nearest` takes a condition, `distance` is a number"),
        ("nearest(key.is_bos, key.is_eos)", "`nearest` takes 1 argument"),
        ("otherwise(key.is_bos)", "takes 2 or more argument"),
        ("abs(x=1)", "column 6: .* '='|plain arguments"),
        ("min(*key)", "plain arguments only|Starred"),
        ("key.dep == 3", "only like compares with like: `key.dep` is text, `3` is a number"),
        ("key.dep < query.dep", "`<` compares numbers"),
        ("key.dep", "a relation is a condition or a number, `key.dep` is text"),
        ("key.dep and key.is_bos", "column 5: `and` takes a condition, `key.dep` is text"),
        ('key.dep in "det"', "`in` takes a set of literals"),
        ("key.dep in {}", "takes a set of literals"),
        ("key.dep in {key.dep}", "members of a set are literals"),
        ("key.dep in {1}", "only like compares with like"),
        ("key.is_bos in {1}", "`in` takes a number or text"),
        ("1 < key.index in {1}", "cannot be chained"),
        ("key.index is 1", "use `==`"),
        ("key.index in {" + ",".join(map(str, range(201))) + "}", "at most 200 members, got 201"),
        ("distance ** 2", "powers are no part of the language"),
        ("distance % 2", "'%' has no meaning here"),
        ("key.is_bos & key.is_eos", "use `and`"),
        ("key.is_bos  # why", "no comments"),
        ("True", "no literal of the language"),
        ("+distance", "the only signs"),
        ("key[0]", "Subscript is no part"),
        ("1e999", "must be finite"),
        ("9" * 25, "at most 24 characters"),
        ('key.text == "' + "\x01" * 1800 + '"', "6000 characters in canonical print"),
        ("0x10", "a number is written as"),
        ("1_000", "a number is written as"),
        ("(distance", "1 bracket"),
        ("distance)", r"'\)' closes nothing"),
        ("1) or (2", r"column 2: '\)' closes nothing"),
        ('"open', "is not closed"),
        ("key.text == '\\x41'", "only the escapes"),
        ("key.text == '\\ud800'", "half of a surrogate"),
        ("key.text == '\ud800'", "half of a surrogate"),
        ("distance\0", "NUL"),
        ("key.ｗord == 1", r"column 5: '\\uff57' is not ASCII"),
        ("", "got nothing"),
        ("key.is_bos " + " " * 6000, "at most 6000 characters"),
        (" + ".join(["1"] * 101), "nested deeper than 32|at most 200 nodes"),
        ("max(" + ", ".join(["1"] * 200) + ")", "at most 200 nodes"),
    ],
)
def test_refuses_with_column_and_reason(source, message):
    with pytest.raises(UsageError, match=message) as error:
        parse(source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "needs", "atoms", "ahead", "later"),
    [
        ('key.word == query.head and query.dep == "det"', {"head", "dep"}, 2, True, False),
        ("-5 <= distance < 0", set(), 2, False, False),
        ("log1p(abs(distance))", set(), 1, False, False),
        ("key.is_punct and not query.is_punct", set(), 2, False, False),
        ("key.is_punct == query.is_punct", set(), 1, False, False),
        ("key.prev.id == query.id", set(), 1, False, False),
        ("key.next.id == query.id", set(), 1, True, False),
        ("key.next.id == query.id and distance < 0", set(), 2, False, False),
        ("key.next.next.id == query.id and distance < 0", set(), 2, True, False),
        ("key.next.prev.id == query.id", set(), 1, True, False),
        ("key.prev.next.id == query.id", set(), 1, False, False),
        ("query.next.id == key.id and distance < 0", set(), 2, True, False),
        ("any(key.next.is_punct) and distance < 0", set(), 2, True, False),
        ("any(key.next.is_punct and distance < 0)", set(), 2, False, False),
        ("(distance < -1) * key.next.next.index", set(), 1, False, False),
        ("key.is_punct and distance > 0", set(), 2, False, True),
        ("otherwise(nearest(key.is_punct and 0 < distance), key.is_bos)", set(), 3, False, True),
        ("distance in {1, 2}", set(), 1, False, True),
        ("distance == 1 or distance == 2", set(), 2, False, True),
        ("distance == 1 or distance == -2", set(), 2, False, False),
        ("key.length > 3", set(), 1, True, False),
        ("key.sentence == query.sentence", {"sentence"}, 1, True, False),
        ("key.number == query.number", {"morph"}, 1, True, False),
        ("key.from_end == query.index - 1", set(), 1, True, False),
        ("key.index + query.index == text_length", set(), 1, True, False),
        ("key.rank < query.rank", set(), 1, True, False),
        ("key.earlier == 0 and number(key.text) > number(query.text)", set(), 2, False, False),
        ("key.phrase == query.phrase", {"head", "dep"}, 1, True, False),
    ],
)
def test_what_is_known_without_a_passage(source, needs, atoms, ahead, later):
    relation = parse(source)
    assert relation.needs == needs
    assert relation.atoms == atoms
    assert relation.looks_ahead is ahead
    assert relation.needs_later_keys is later
