"""What every entry of the catalogue predicts on a sentence, written by hand; see `sentences`."""

from tests.contract.sentences import LINES, QUOTE, STORY, TINY
from tests.passages import Passage

EXPECTED: dict[str, tuple[Passage, str]] = {
    # The first key for special tokens and for rows that have no next token.
    "next_token": (STORY, "0>0 1>2 2>3 3>4 4>5 5>6 6>7 7>8 8>9 9>10 10>11 11>12 12>0"),
    "previous_token": (STORY, "0-1>0 2>1 3>2 4>3 5>4 6>5 7>6 8>7 9>8 10>9 11>10 12>0"),
    "same_token": (STORY, "0>0 1>1 2>2 3>3 4>4 5>5 6>6 7>7 8>8 9>9 10>10 11>11 12>0"),
    "punctuation": (STORY, "0-6>7,11 7-11>11 12>12"),
    "previous_punctuation": (
        STORY,
        "0>0 1>1 2>2 3>3 4>4 5>5 6>6 7-11>7 12>7,11",
    ),
    "repetition": (
        STORY,
        "0>0 1>1,8 2>2,9 3>3 4>4 5>5 6>6 7>7 8>1,8 9>2,9 10>10 11>11 12>0",
    ),
    "part_of_speech": (
        STORY,
        "0>0 1>8 2>6,9 3>10 4>5 5>4 6>2,9 7>11 8>1 9>2,6 10>3 11>7 12>12",
    ),
    "dependency": (
        STORY,
        "0>0 1>2 2>1,3 3>2,6,10-11 4-5>6 6>3-5 7>10 8>9 9>8,10 10>3,7,9 11>3 12>0",
    ),
    # Honest variants: no fall-backs.
    "next_token_only": (STORY, "1>2 2>3 3>4 4>5 5>6 6>7 7>8 8>9 9>10 10>11 11>12"),
    "previous_token_only": (STORY, "1>0 2>1 3>2 4>3 5>4 6>5 7>6 8>7 9>8 10>9 11>10"),
    "same_token_only": (STORY, "1>1 2>2 3>3 4>4 5>5 6>6 7>7 8>8 9>9 10>10 11>11"),
    "punctuation_only": (STORY, "0-6>7,11 7-10>11"),
    "previous_punctuation_only": (STORY, "8-11>7 12>7,11"),
    "repetition_without_self": (STORY, "1>8 2>9 8>1 9>2"),
    "part_of_speech_only": (STORY, "1>8 2>6,9 3>10 4>5 5>4 6>2,9 7>11 8>1 9>2,6 10>3 11>7"),
    "dependency_only": (
        STORY,
        "1>2 2>1,3 3>2,6,10-11 4-5>6 6>3-5 7>10 8>9 9>8,10 10>3,7,9 11>3",
    ),
    "to_head": (STORY, "1>2 2>3 4-5>6 6>3 7>10 8>9 9>10 10-11>3"),
    "to_children": (STORY, "2>1 3>2,6,10-11 6>4-5 9>8 10>7,9"),
    # Baselines.
    "uniform": (STORY, "0-12>0-12"),
    "first_token": (STORY, "0-12>0"),
    "last_token": (STORY, "0-12>12"),
    "self": (TINY, "0>0 1>1 2>2"),
    "previous": (TINY, "0>0 1>0 2>1"),
    "next": (TINY, "0>1 1>2 2>2"),
    # Offsets and windows.
    "offset:-5": (STORY, "5>0 6>1 7>2 8>3 9>4 10>5 11>6 12>7"),
    "offset:-4": (STORY, "4>0 5>1 6>2 7>3 8>4 9>5 10>6 11>7 12>8"),
    "offset:-3": (STORY, "3>0 4>1 5>2 6>3 7>4 8>5 9>6 10>7 11>8 12>9"),
    "offset:-2": (TINY, "2>0"),
    "offset:-1": (TINY, "1>0 2>1"),
    "offset:0": (TINY, "0>0 1>1 2>2"),
    "offset:1": (TINY, "0>1 1>2"),
    "offset:2": (TINY, "0>2"),
    "offset:3": (STORY, "0>3 1>4 2>5 3>6 4>7 5>8 6>9 7>10 8>11 9>12"),
    "offset:4": (STORY, "0>4 1>5 2>6 3>7 4>8 5>9 6>10 7>11 8>12"),
    "offset:5": (STORY, "0>5 1>6 2>7 3>8 4>9 5>10 6>11 7>12"),
    "window:1": (TINY, "0>0-1 1>0-2 2>1-2"),
    "window:2": (TINY, "0-2>0-2"),
    "window:left:2": (TINY, "1>0 2>0-1"),
    "window:right:2": (TINY, "0>1-2 1>2"),
    "window:4": (
        STORY,
        "0>0-4 1>0-5 2>0-6 3>0-7 4>0-8 5>1-9 6>2-10 7>3-11 8>4-12 9>5-12 10>6-12 11>7-12 12>8-12",
    ),
    "window:left:4": (
        STORY,
        "1>0 2>0-1 3>0-2 4>0-3 5>1-4 6>2-5 7>3-6 8>4-7 9>5-8 10>6-9 11>7-10 12>8-11",
    ),
    "window:right:4": (
        STORY,
        "0>1-4 1>2-5 2>3-6 3>4-7 4>5-8 5>6-9 6>7-10 7>8-11 8>9-12 9>10-12 10>11-12 11>12",
    ),
    "window:8": (
        STORY,
        "0>0-8 1>0-9 2>0-10 3>0-11 4-8>0-12 9>1-12 10>2-12 11>3-12 12>4-12",
    ),
    "window:left:8": (
        STORY,
        "1>0 2>0-1 3>0-2 4>0-3 5>0-4 6>0-5 7>0-6 8>0-7 9>1-8 10>2-9 11>3-10 12>4-11",
    ),
    "window:right:8": (
        STORY,
        "0>1-8 1>2-9 2>3-10 3>4-11 4>5-12 5>6-12 6>7-12 7>8-12 8>9-12 9>10-12 10>11-12 11>12",
    ),
    "decay": (TINY, "0>0:6,1:3,2:2 1>0:1,1:2,2:1 2>0:2,1:3,2:6"),
    "decay:left": (TINY, "0>0 1>0:1,1:2 2>0:2,1:3,2:6"),
    "decay:right": (TINY, "0>0:6,1:3,2:2 1>1:2,2:1 2>2"),
    # Boundaries.
    "sentence_start": (QUOTE, "1-8>1 9-14>9"),
    "previous_sentence_end": (QUOTE, "9-14>8"),
    "next_sentence_start": (QUOTE, "1-8>9"),
    "word_start": (STORY, "1>1 2>2 3>3 4-5>4 6>6 7>7 8>8 9>9 10>10 11>11"),
    "word_end": (STORY, "1>1 2>2 3>3 4-5>5 6>6 7>7 8>8 9>9 10>10 11>11"),
    # Lexical.
    "repetition_with_self": (
        STORY,
        "1>1,8 2>2,9 3>3 4>4 5>5 6>6 7>7 8>1,8 9>2,9 10>10 11>11",
    ),
    "last_occurrence": (STORY, "8>1 9>2"),
    "next_occurrence": (STORY, "1>8 2>9"),
    "induction": (STORY, "8>2 9>3"),
    "induction:before": (STORY, "8>0 9>1"),
    "induction:two": (STORY, "9>3"),
    "next_punctuation": (STORY, "0-6>7 7-10>11"),
    "last_punctuation": (STORY, "8-11>7 12>11"),
    "all_punctuation": (STORY, "0-12>7,11"),
    "same_clause": (STORY, "1-7>1-7 8-11>8-11"),
    "to_opening": (QUOTE, "7>4 12>10"),
    "to_closing": (QUOTE, "4>7 10>12"),
    "same_form": (STORY, "1>8 2>9 8>1 9>2"),
    "rare_words": (TINY, "0-2>2"),
    "capitalised": (QUOTE, "0-15>1,3,9"),
    "numbers": (QUOTE, "0-15>6"),
    "line_breaks": (LINES, "0-10>4,7,8"),
    "function_words": (STORY, "0-12>1,8"),
    "to_word_start": (STORY, "5>4"),
    "to_continuation": (STORY, "4>5"),
    "same_word": (STORY, "4>5 5>4"),
    # Syntactic.
    "siblings": (
        STORY,
        "2>6,10-11 6>2,10-11 7>9 9>7 10>2,6,11 11>2,6,10",
    ),
    "grandparent": (STORY, "1>3 4-5>3 7>3 8>10 9>3"),
    "grandchildren": (STORY, "3>1,4-5,7,9 10>8"),
    "other_part_of_speech": (
        STORY,
        "1>2-7,9-11 2>1,3-5,7-8,10-11 3>1-2,4-9,11 4-5>1-3,6-11 6>1,3-5,7-8,10-11 7>1-6,8-10 "
        "8>2-7,9-11 9>1,3-5,7-8,10-11 10>1-2,4-9,11 11>1-6,8-10",
    ),
    "same_phrase": (STORY, "1>2 2>1 4>5-6 5>4,6 6>4-5 8>9 9>8"),
    "root": (QUOTE, "0-15>2,11"),
    "verb_to_object": (STORY, "3>6"),
    "object_to_verb": (STORY, "6>3"),
    "verb_to_adposition": (QUOTE, "2>5 11>13"),
    "adposition_to_verb": (QUOTE, "5>2 13>11"),
    "same_lemma": (STORY, "1>8 2>9 8>1 9>2"),
    "pronoun_to_noun": (QUOTE, "9>3"),
    # Sinks.
    "bos": (STORY, "0-12>0"),
    "sep": (STORY, "0-12>12"),
    "end": (STORY, "0-12>11"),
    "special": (STORY, "0-12>0,12"),
    "punctuation_else_last": (STORY, "0-6>7,11 7-10>11 11-12>12"),
    "previous_punctuation_else_first": (STORY, "0-7>0 8-11>7 12>7,11"),
    "repetition_else_sep": (STORY, "0>12 1>8 2>9 3-7>12 8>1 9>2 10-12>12"),
    "repetition_else_first": (STORY, "0>0 1>8 2>9 3-7>0 8>1 9>2 10-12>0"),
    "induction_else_first": (STORY, "0-7>0 8>2 9>3 10-12>0"),
    "to_head_else_sep": (
        STORY,
        "0>12 1>2 2>3 3>12 4-5>6 6>3 7>10 8>9 9>10 10-11>3 12>12",
    ),
}
"""Sentence and matrix by name; the universal relations have a test of their own."""
